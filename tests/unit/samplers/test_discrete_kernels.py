"""Kernels for discrete energies: exact transition matrices, planted bugs, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints

import ebm_ppl as ebm
from ebm_ppl.energies import (
    BoltzmannMachine,
    Graph,
    GraphIsing,
    Potts,
    RestrictedBoltzmannMachine,
    from_callable,
)
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.samplers import run_short_chain

pytestmark = pytest.mark.usefixtures("light_compilation")

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
MACHINE = RestrictedBoltzmannMachine(
    RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=3)
)


class Uneven(ebm.AbstractEnergy):
    """Two coordinates with different numbers of values, of an energy that is not quadratic."""

    event_shape = (2,)
    support = constraints.independent(
        constraints.integer_interval(jnp.array([0, -1]), jnp.array([2, 0])), 1
    )

    def _energy(self, x):
        return 0.3 * x[0] ** 3 - x[1] * x[0] + 0.5 * x[1]


ENERGIES = {
    "machine": MACHINE,
    "spins": GraphIsing(RNG.normal(size=3), 0.3, Graph.complete(3)),
    "units": BoltzmannMachine(RNG.normal(size=3), RNG.normal(size=3), Graph.complete(3)),
    "categories": Potts(3, [1.2, -0.7], Graph(3, [(0, 1), (1, 2)]), [0.4, -0.3]),
    "integers": from_callable(
        lambda x: 0.3 * x[0] ** 2 - 0.5 * x[0] * x[1] + jnp.cos(x[1]),
        (2,),
        constraints.integer_interval(-1, 2),
    ),
    "uneven": Uneven(),
}


@functools.cache
def table_of(name):
    return enumerate_states(ENERGIES[name])


@functools.cache
def kernel_of(name):
    return ebm.GibbsWithGradients(potential_fn=ebm.potential_fn(ENERGIES[name]))


@functools.cache
def changes_of(name):
    """Every change from every state with its log probability and log ratio, as the kernel has them."""
    states, kernel = jnp.asarray(table_of(name).states, dtype=jnp.float32), kernel_of(name)
    site, digit = map(np.ravel, np.indices(jax.eval_shape(kernel.log_proposal, states[0]).shape))

    @jax.jit
    @jax.vmap
    def changes(x):
        log_q = kernel.log_proposal(x)
        ends, log_ratio = jax.vmap(lambda i, k: kernel.propose(x, log_q, i, k))(site, digit)
        return ends, log_q.ravel(), log_ratio

    return [np.array(values) for values in changes(states)]


def gradient_matrix(name, with_ratio=True):
    """Law of Gibbs with gradients, and its transition matrix over all states."""
    table, (ends, log_q, log_ratio) = table_of(name), changes_of(name)
    matrix = np.zeros((len(table.states),) * 2)
    for row in range(len(table.states)):
        for end, share, ratio in zip(ends[row], np.exp(log_q[row]), log_ratio[row], strict=True):
            if share > 0:
                column = table.number_of(end)
                if not with_ratio:
                    ratio = table.log_probs[column] - table.log_probs[row]
                matrix[row, column] += share * np.exp(min(ratio, 0.0))
        matrix[row, row] += 1 - matrix[row].sum()
    return table.probs, matrix


@pytest.mark.parametrize("name", ENERGIES)
def test_gibbs_with_gradients_is_reversible(name):
    probs, matrix = gradient_matrix(name)
    assert matrix.min() > -1e-6
    flow = probs[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-6)
    np.testing.assert_allclose(probs @ matrix, probs, atol=1e-6)
    assert np.sum(np.abs(np.linalg.eigvals(matrix)) > 1 - 1e-6) == 1  # every state is reached


@pytest.mark.parametrize("name", ENERGIES)
def test_a_missing_proposal_ratio_would_be_seen(name):
    probs, matrix = gradient_matrix(name, with_ratio=False)
    assert np.abs(probs @ matrix - probs).sum() > 0.005


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("categories", "uneven") else pytest.mark.slow)
        for name in ENERGIES
    ],
)
def test_single_steps_have_the_exact_transition_law(name):
    """One step from each of a few states; each share leaves 5.5 standard errors at a rate of 4e-8.

    Power: 20,000 chains see a share near a half that is off by 0.02.
    """
    table, kernel, count = table_of(name), kernel_of(name), 20_000
    _, matrix = gradient_matrix(name)
    step = jax.jit(jax.vmap(lambda x, key: run_short_chain(kernel, x, 1, key)[0], (None, 0)))
    for row in (0, len(table.states) // 2):
        start = jnp.asarray(table.states[row], dtype=jnp.float32)
        ends = step(start, jax.random.split(KEY, count))
        shares = np.bincount(table.number_of(ends), minlength=len(matrix)) / count
        error = np.sqrt(np.maximum(matrix[row] * (1 - matrix[row]), 0) / count) + 1e-6
        assert np.all(np.abs(shares - matrix[row]) < 5.5 * error + 2 / count)


def layer_matrices(machine):
    """Law of the visible units, and of the hidden units given the visible ones and back, over all states."""
    visible, hidden = (enumerate_states(m) for m in (machine, machine.hidden_marginal))

    def shares(logits, given, states):
        up = np.asarray(jax.nn.sigmoid(jax.jit(jax.vmap(logits))(jnp.asarray(given))))
        return np.prod(np.where(states > 0, up[:, None], 1 - up[:, None]), axis=-1)

    to_hidden = shares(machine.hidden_logits, visible.states, hidden.states)
    return visible.probs, to_hidden, shares(machine.visible_logits, hidden.states, visible.states)


@functools.cache
def matrices():
    return layer_matrices(MACHINE)


def test_layers_in_turn_leave_the_free_energy_invariant():
    probs, to_hidden, to_visible = matrices()
    matrix = to_hidden @ to_visible
    flow = probs[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-6)
    np.testing.assert_allclose(probs @ matrix, probs, atol=1e-6)


def test_a_reversed_conditional_would_be_seen():
    """The sign of the weights, or the way up in place of the way down."""
    flipped = RestrictedBoltzmannMachine(
        -MACHINE.weights, MACHINE.visible_bias, MACHINE.hidden_bias
    )
    probs, to_hidden, _ = matrices()
    _, _, to_visible = layer_matrices(flipped)
    assert np.abs(probs @ to_hidden @ to_visible - probs).sum() > 0.01


def test_sweeps_are_steps():
    energy = ENERGIES["units"]
    kernel = ebm.BlockGibbs(potential_fn=ebm.potential_fn(energy), num_sweeps=3)
    x = jnp.zeros(3)
    expected, sweep = x, jax.jit(lambda key, x: energy.gibbs_sweep(key, x))
    for key in jax.random.split(KEY, 3):
        expected = sweep(key, expected)
    np.testing.assert_array_equal(jax.jit(lambda x: kernel.move(KEY, x).x)(x), expected)


def test_many_chains_are_swept_by_the_exact_transition_law():
    """40,000 chains from one state in one draw; each of 16 shares leaves 5.5 standard errors at 4e-8.

    Power: a share near a tenth that is off by 0.015 is seen. Neighbours that share random numbers, or a
    layer drawn with the words of the other, are far beyond it.
    """
    _, to_hidden, to_visible = matrices()
    table, count = table_of("machine"), 40_000
    kernel = ebm.BlockGibbs(potential_fn=ebm.potential_fn(MACHINE))
    start = jnp.broadcast_to(jnp.asarray(table.states[5], dtype=jnp.float32), (count, 4))
    for num_steps in (1, 2):
        ends = table.number_of(kernel.sweep_all(KEY, start, num_steps))
        law = np.linalg.matrix_power(to_hidden @ to_visible, num_steps)[5]
        error = np.sqrt(law * (1 - law) / count) + 1e-6
        assert np.all(np.abs(np.bincount(ends, minlength=16) / count - law) < 5.5 * error)
        pairs = np.corrcoef(table.log_probs[ends[::2]], table.log_probs[ends[1::2]])[0, 1]
        assert abs(pairs) < 5.5 / np.sqrt(count / 2)


def test_chains_of_energies_that_take_no_batches_have_a_key_each():
    energy = ENERGIES["units"]
    kernel = ebm.BlockGibbs(potential_fn=ebm.potential_fn(energy), num_sweeps=2)
    x = jnp.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    expected, sweep = x, jax.jit(jax.vmap(energy.gibbs_sweep))
    for key in jax.random.split(KEY, 2):
        expected = sweep(jax.random.split(key, 3), expected)
    np.testing.assert_array_equal(kernel.sweep_all(KEY, x, 1), expected)


def test_infinite_energies_are_refused_and_flagged():
    energy = from_callable(
        lambda x: jnp.where(x.sum() > 1.5, jnp.inf, 0.0), (3,), constraints.boolean
    )
    kernel = ebm.GibbsWithGradients(potential_fn=ebm.potential_fn(energy))
    starts = jnp.zeros((100, 3)).at[:, 0].set(1.0)
    state = jax.jit(lambda keys: kernel.sample(kernel.init(keys, 0, starts)))(
        jax.random.split(KEY, 100)
    )
    assert np.all(np.asarray(state.z).sum(axis=1) <= 1)
    flagged = np.asarray(state.diverging)
    assert 0 < flagged.sum() < 100
    assert np.all(np.asarray(state.accept_prob)[flagged] == 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ebm.GibbsWithGradients(ebm.as_model(ebm.energies.Quartic())),
            "must be given an energy of finitely many states",
        ),
        (
            lambda: ebm.BlockGibbs(ebm.as_model(ENERGIES["integers"])),
            "must be given an AbstractBlockwiseEnergy",
        ),
        (
            lambda: ebm.BlockGibbs(ebm.as_model(MACHINE), num_sweeps=0),
            "`num_sweeps` must be an integer of at least 1; got 0",
        ),
    ],
)
def test_energies_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_real_visible_units_are_sampled_too():
    """Means of 4000 chains of a machine whose moments are a sum over 8 normal laws; 5.5 standard errors."""
    machine = ebm.energies.GaussianBernoulliRBM(
        [[1.5, -0.5, 0.2], [-1.0, 0.8, 0.3]], [0.2, -0.4], [0.1, -0.3, 0.0], [0.1, -0.2]
    )
    hidden = enumerate_states(machine.hidden_marginal)
    centres = np.asarray(jax.vmap(machine.visible_mean)(jnp.asarray(hidden.states)))
    mean = hidden.probs @ centres
    variance = hidden.probs @ (centres - mean) ** 2 + np.exp(2 * np.asarray(machine.log_scale))
    kernel = ebm.BlockGibbs(potential_fn=ebm.potential_fn(machine))
    starts = centres[np.asarray(hidden.number_of(hidden.sample(KEY, (4000,))))]
    ends = jax.jit(jax.vmap(lambda x, key: run_short_chain(kernel, x, 3, key)[0]))(
        jnp.asarray(starts, dtype=jnp.float32), jax.random.split(jax.random.key(1), 4000)
    )
    assert np.all(np.abs(np.mean(ends, axis=0) - mean) < 5.5 * np.sqrt(variance / 4000))
    np.testing.assert_allclose(np.var(ends, axis=0), variance, rtol=0.15)


@pytest.mark.parametrize("name", sorted(ENERGIES))
def test_starts_that_are_no_states_are_refused(name):
    """Between two values, and beyond the largest; states themselves are taken."""
    kernel, last = kernel_of(name), jnp.asarray(table_of(name).states[-1], dtype=jnp.float32)
    starts = jnp.stack([last, last])
    keys = jax.random.split(KEY, 2)
    np.testing.assert_array_equal(kernel.init(keys, 0, starts).z, starts)
    for excess in (0.5, 2.0):
        with pytest.raises(ValueError, match=r"`init_params` must lie in .*; 1 of 2 chains start"):
            kernel.init(keys, 0, starts.at[1, 0].add(excess))
