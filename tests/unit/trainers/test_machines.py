"""Contrastive divergence on a tiny machine: its known bias, from exact transition matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import ebm_ppl as ebm
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.trainers import as_batch
from ebm_ppl.trainers._base import Model

START = RestrictedBoltzmannMachine.random(jax.random.key(0), 4, 2, weight_scale=1.0)
STATES = enumerate_states(START).states
# Patterns and noise that a machine of two hidden units cannot hold.
COUNTS = np.full(16, 16)
COUNTS[[0, 3, 5, 6, 15]] += 256
DATA_SHARE = COUNTS / COUNTS.sum()
# A law without any symmetry, whose best machine has finite weights.
UNEVEN = np.random.default_rng(4).dirichlet(np.ones(16))
DATA = np.repeat(STATES, COUNTS, axis=0)


def layer_laws(machine):
    """Exact law of the visible units after one sweep from each state."""
    hidden = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def shares(logits, states):
        up = jax.nn.sigmoid(logits)[:, None]
        return jnp.prod(jnp.where(states > 0, up, 1 - up), axis=-1)

    to_hidden = shares(jax.vmap(machine.hidden_logits)(STATES), hidden)
    return to_hidden @ shares(jax.vmap(machine.visible_logits)(hidden), STATES)


def mean_gradient(machine, share):
    """Mean of the energy's gradient under a law over all states."""
    return jax.grad(lambda m: share @ jax.vmap(m)(STATES))(machine)


def contrast(machine, num_steps, share=DATA_SHARE):
    """Exact mean gradient of CD-k; of maximum likelihood if the number of sweeps is `None`."""
    share = jnp.asarray(share)
    if num_steps is None:
        negative = jax.nn.softmax(-jax.vmap(machine)(STATES))
    else:
        negative = share @ jnp.linalg.matrix_power(layer_laws(machine), num_steps)
    return mean_gradient(machine, share - negative)


def length(gradient):
    return float(jnp.linalg.norm(ravel_pytree(gradient)[0]))


def bias(machine, num_steps):
    """Gradient of CD-k less that of maximum likelihood."""
    return jax.tree.map(jnp.subtract, contrast(machine, num_steps), contrast(machine, None))


def test_cd_is_biased_where_the_data_are_no_machine_and_less_so_with_more_sweeps():
    with float64():
        machine = to_float64(START)
        lengths = [length(bias(machine, num_steps)) for num_steps in (1, 2, 5, 20)]
    assert lengths[0] > 0.05
    assert np.all(np.diff(lengths) < 0)
    assert lengths[-1] < 1e-12


def test_cd_is_unbiased_where_the_data_are_a_machine():
    with float64():
        machine = to_float64(START)
        share = jax.nn.softmax(-jax.vmap(machine)(STATES))
        moved = share @ layer_laws(machine)
        assert length(mean_gradient(machine, share - moved)) < 1e-12


def stationary(num_steps):
    """Where the exact mean gradient of CD-k (or of maximum likelihood) vanishes, and what is left of it.

    Descent from the start, then Newton's iteration.
    """
    start, unravel = ravel_pytree(to_float64(START))

    def slope(flat):
        return ravel_pytree(contrast(unravel(flat), num_steps, UNEVEN))[0]

    @jax.jit
    def solve(flat):
        rule = optax.adam(0.05)

        def descend(_, carry):
            flat, state = carry
            updates, state = rule.update(slope(flat), state)
            return flat + updates, state

        flat, _ = jax.lax.fori_loop(0, 2000, descend, (flat, rule.init(flat)))

        def newton(_, flat):
            return flat - jnp.linalg.solve(jax.jacfwd(slope)(flat), slope(flat))

        flat = jax.lax.fori_loop(0, 20, newton, flat)
        return flat, jnp.linalg.norm(slope(flat))

    flat, left = solve(start)
    return unravel(flat), float(left)


def excess(machine):
    """Kullback-Leibler divergence of the machine from the data, in nats."""
    log_probs = jax.nn.log_softmax(-jax.vmap(machine)(STATES))
    return float(UNEVEN @ (np.log(UNEVEN) - np.asarray(log_probs)))


@pytest.mark.slow
def test_the_fixed_point_of_cd_1_lies_near_that_of_maximum_likelihood_and_not_on_it():
    """Without chance: all states, and all sweeps from each of them, are summed over.

    The bias is small, as Carreira-Perpinan and Hinton (2005) found, and smaller with more sweeps.
    """
    with float64():
        best, left = stationary(None)
        assert left < 1e-9
        losses = [excess(best)]
        for num_steps in (1, 2, 5):
            machine, left = stationary(num_steps)
            assert left < 1e-9
            losses.append(excess(machine))
            if num_steps == 1:
                assert length(contrast(machine, None, UNEVEN)) > 0.1
    np.testing.assert_allclose(losses, [0.03211, 0.03812, 0.03362, 0.03240], atol=1e-5)


def standard_errors_from_cd_1(objective):
    """Largest distance of an objective's mean gradient from the exact one of CD-1, in standard errors."""
    with float64():
        exact = np.asarray(ravel_pytree(contrast(to_float64(START), 1))[0])
    batch = as_batch(START, DATA)

    @jax.jit
    @jax.vmap
    def gradients(key):
        sample = objective.prepare(Model(START), batch, None, jnp.asarray(0), key).sample
        gradient = jax.grad(lambda m: jnp.mean(objective.losses(Model(m), batch, sample)))(START)
        return ravel_pytree(gradient)[0]

    draws = np.asarray(gradients(jax.random.split(jax.random.key(1), 60)), np.float64)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    return np.max(np.abs(draws.mean(axis=0) - exact) / (error + 1e-7)), error


class _SwappedPhases(ebm.ContrastiveDivergence):
    def losses(self, model, batch, sample):
        return -super().losses(model, batch, sample)


@pytest.mark.parametrize(
    ("make", "num_steps", "is_right"),
    [
        (ebm.ContrastiveDivergence, 1, True),
        (ebm.ContrastiveDivergence, 2, False),
        (_SwappedPhases, 1, False),
    ],
)
def test_the_objective_has_the_exact_gradient_of_cd_1(make, num_steps, is_right):
    """Means of 60 repetitions against the exact gradient of CD-1, 8 standard errors each.

    False alarm: 14 parameters, 59 degrees of freedom, below 1e-9. Power: one more sweep, or the phases
    exchanged, is seen; the bias of CD-1, without which it would be maximum likelihood, is more than 30
    standard errors.
    """
    distance, error = standard_errors_from_cd_1(make(ebm.BlockGibbs, num_steps, 4))
    assert (distance < 8) == is_right
    with float64():
        lost = np.asarray(ravel_pytree(bias(to_float64(START), 1))[0])
    assert np.max(np.abs(lost) / error) > 30
