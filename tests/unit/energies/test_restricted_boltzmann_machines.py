"""Free energies, conditionals and partition functions of machines with two layers, by enumeration."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import GaussianBernoulliRBM, RestrictedBoltzmannMachine
from ebm_ppl.partition import EnumerationNormalizer

KEY = jax.random.key(0)
WEIGHTS = np.random.default_rng(0).normal(size=(5, 3))
BINARY = RestrictedBoltzmannMachine(WEIGHTS, [0.5, -1.0, 0.0, 0.3, -0.2], [0.4, -0.6, 0.1])
REAL = GaussianBernoulliRBM(
    WEIGHTS[:2], visible_bias=[0.5, -1.0], hidden_bias=[0.4, -0.6, 0.1], log_scale=[-0.3, 0.2]
)


def states(num_units):
    return np.array(list(itertools.product([0.0, 1.0], repeat=num_units)))


def exactly(function, *arguments):
    """Batched, compiled, in double precision."""
    with float64():
        arrays = [jnp.asarray(argument) for argument in arguments]
        return np.asarray(jax.jit(function)(*arrays))


def joint_energies(machine, visible):
    exact = to_float64(machine)
    over_hidden = jax.vmap(exact.joint_energy, in_axes=(None, 0))
    return jax.vmap(over_hidden, in_axes=(0, None))(visible, jnp.asarray(states(3)))


@pytest.mark.parametrize("machine", [BINARY, REAL], ids=["binary", "real"])
def test_the_free_energy_sums_out_the_hidden_units(machine):
    visible = states(5) if machine is BINARY else np.random.default_rng(1).normal(size=(20, 2))
    with float64():
        free = np.asarray(jax.vmap(to_float64(machine))(jnp.asarray(visible)))
        joint = np.asarray(joint_energies(machine, jnp.asarray(visible)))
    np.testing.assert_allclose(free, -special.logsumexp(-joint, axis=1), rtol=1e-13)


@pytest.mark.parametrize("machine", [BINARY, REAL], ids=["binary", "real"])
def test_hidden_units_follow_bayes_rule(machine):
    visible = states(5) if machine is BINARY else np.random.default_rng(1).normal(size=(20, 2))
    with float64():
        logits = np.asarray(jax.vmap(to_float64(machine).hidden_logits)(jnp.asarray(visible)))
        joint = np.asarray(joint_energies(machine, jnp.asarray(visible)))
    posterior = special.softmax(-joint, axis=1)
    np.testing.assert_allclose(special.expit(logits), posterior @ states(3), rtol=1e-12)


def test_binary_visible_units_follow_bayes_rule():
    with float64():
        logits = np.asarray(jax.vmap(to_float64(BINARY).visible_logits)(jnp.asarray(states(3))))
        joint = np.asarray(joint_energies(BINARY, jnp.asarray(states(5))))
    posterior = special.softmax(-joint, axis=0)
    np.testing.assert_allclose(special.expit(logits), posterior.T @ states(5), rtol=1e-12)


def test_real_visible_units_are_normal_given_the_hidden_ones():
    visible = np.random.default_rng(1).normal(size=(20, 2))
    with float64():
        joint = np.asarray(joint_energies(REAL, jnp.asarray(visible)))
        means = np.asarray(jax.vmap(to_float64(REAL).visible_mean)(jnp.asarray(states(3))))
        marginal = np.asarray(jax.vmap(to_float64(REAL.hidden_marginal))(jnp.asarray(states(3))))
    scale = np.exp(np.asarray(REAL.log_scale, np.float64))
    expected = stats.norm.logpdf(visible[:, None], means, scale).sum(axis=-1)
    np.testing.assert_allclose(marginal - joint, expected, rtol=1e-12)


@pytest.mark.parametrize("num_visible", [2, 4])
def test_the_partition_function_is_that_of_either_layer(num_visible):
    rng = np.random.default_rng(2)
    machine = RestrictedBoltzmannMachine(
        rng.normal(size=(num_visible, 3)), rng.normal(size=num_visible), rng.normal(size=3)
    )
    with float64():
        free = np.asarray(jax.vmap(to_float64(machine))(jnp.asarray(states(num_visible))))
    log_z = special.logsumexp(-free)
    normalizer = EnumerationNormalizer()
    np.testing.assert_allclose(normalizer.exact(machine), log_z, rtol=1e-14)
    np.testing.assert_allclose(normalizer.exact(machine.hidden_marginal), log_z, rtol=1e-14)


def test_the_partition_function_of_real_visible_units_agrees_with_quadrature():
    grid = np.linspace(-12.0, 12.0, 801)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    with float64():
        free = np.asarray(jax.vmap(to_float64(REAL))(jnp.asarray(points)))
    # The trapezoidal rule converges faster than any power for so smooth an integrand.
    log_z = special.logsumexp(-free) + 2 * np.log(grid[1] - grid[0])
    np.testing.assert_allclose(EnumerationNormalizer().exact(REAL), log_z, rtol=1e-12)


def test_one_small_layer_is_enough_and_the_sum_can_be_differentiated():
    machine = RestrictedBoltzmannMachine(np.full((1000, 2), 0.01), np.zeros(1000), np.zeros(2))
    log_z, slope = eqx.filter_value_and_grad(EnumerationNormalizer())(machine)
    masses = np.array([1000 * np.log1p(np.exp(0.01 * hidden)) for hidden in range(3)])
    masses += np.log([1.0, 2.0, 1.0])
    np.testing.assert_allclose(log_z, special.logsumexp(masses), rtol=1e-6)
    share = special.softmax(masses) @ np.arange(3) / 2
    np.testing.assert_allclose(slope.hidden_bias, [share, share], rtol=1e-4)


def test_draws_have_the_conditional_laws():
    """False alarm: each of 80 shares leaves 5.5 standard errors at a rate of 4e-8; power: a log odds that
    is off by 0.05 where it is near 0 moves its share by 0.0125, 11 standard errors."""
    visible = jnp.asarray(states(5)[::4])
    keys = jax.random.split(KEY, 50_000)
    draws = jax.jit(jax.vmap(jax.vmap(BINARY.sample_hidden, (None, 0)), (0, None)))(keys, visible)
    expected = special.expit(np.asarray(jax.vmap(BINARY.hidden_logits)(visible), np.float64))
    error = np.sqrt(expected * (1 - expected) / len(keys))
    assert np.all(np.abs(np.asarray(draws.mean(axis=0)) - expected) < 5.5 * error)
    hidden = jnp.asarray(states(3))
    draws = jax.jit(jax.vmap(jax.vmap(BINARY.sample_visible, (None, 0)), (0, None)))(keys, hidden)
    expected = special.expit(np.asarray(jax.vmap(BINARY.visible_logits)(hidden), np.float64))
    error = np.sqrt(expected * (1 - expected) / len(keys))
    assert np.all(np.abs(np.asarray(draws.mean(axis=0)) - expected) < 5.5 * error)


def test_the_sweep_goes_to_the_hidden_layer_and_back():
    x = jnp.asarray(states(5)[13])
    key_hidden, key_visible = jax.random.split(KEY)
    expected = BINARY.sample_visible(key_visible, BINARY.sample_hidden(key_hidden, x))
    np.testing.assert_array_equal(BINARY.gibbs_sweep(KEY, x), expected)


def test_random_machines_have_the_marginals_of_the_data():
    mean = np.array([0.1, 0.5, 0.9])
    machine = RestrictedBoltzmannMachine.random(KEY, 3, 200, weight_scale=0.02, visible_mean=mean)
    np.testing.assert_allclose(special.expit(machine.visible_bias), mean, rtol=1e-6)
    np.testing.assert_allclose(np.std(machine.weights), 0.02, rtol=0.2)
    real = GaussianBernoulliRBM.random(KEY, 3, 200, weight_scale=0.02)
    np.testing.assert_array_equal(real.weights, machine.weights)
    np.testing.assert_array_equal(real.log_scale, np.zeros(3))


@pytest.mark.parametrize("cls", [RestrictedBoltzmannMachine, GaussianBernoulliRBM])
@pytest.mark.parametrize(
    ("weights", "visible", "hidden", "message"),
    [
        ([1.0], [0.0], [0.0], r"`weights` of shape \(visible, hidden\).*; got \(1,\)"),
        (np.zeros((0, 2)), [], [0.0, 0.0], r"got \(0, 2\)"),
        (np.zeros((2, 1)), [0.0], [0.0], r"Expected `visible_bias` of shape \(2,\); got \(1,\)"),
        (np.zeros((2, 1)), [0.0, 0.0], 0.0, r"Expected `hidden_bias` of shape \(1,\); got \(\)"),
        (np.full((1, 1), np.nan), [0.0], [0.0], "`weights` must be finite everywhere"),
        (np.zeros((1, 1)), [np.inf], [0.0], "`visible_bias` must be finite everywhere"),
    ],
)
def test_bad_parameters_are_refused(cls, weights, visible, hidden, message):
    with pytest.raises(ValueError, match=message):
        cls(weights, visible, hidden)


def test_bad_scales_and_means_are_refused():
    with pytest.raises(ValueError, match=r"Expected `log_scale` of shape \(2,\); got \(1,\)"):
        GaussianBernoulliRBM(np.zeros((2, 1)), [0.0, 0.0], [0.0], [0.0])
    with pytest.raises(ValueError, match=r"`visible_mean` must be within \(0, 1\); got 1"):
        RestrictedBoltzmannMachine.random(KEY, 2, 1, visible_mean=1.0)
    with pytest.raises(ValueError, match=r"`visible_mean` of shape \(\) or \(2,\); got \(3,\)"):
        RestrictedBoltzmannMachine.random(KEY, 2, 1, visible_mean=np.full(3, 0.5))
    with pytest.raises(ValueError, match="`weight_scale` must be a finite number above 0; got 0"):
        GaussianBernoulliRBM.random(KEY, 2, 1, weight_scale=0.0)


DATA = (np.random.default_rng(3).random((200, 12)) < np.linspace(0.1, 0.8, 12)).astype(float)
DATA[:80, 2:5] = 1
DATA[:120, 7:10] = DATA[:120, 7:8]


def test_a_start_from_data_spans_the_principal_components():
    machine = RestrictedBoltzmannMachine.from_data(DATA, 4, weight_scale=2.0)
    weights = np.asarray(machine.weights, np.float64) / 2.0
    values, vectors = np.linalg.eigh(np.cov(DATA.T, bias=True))
    expected = (vectors[:, -4:] * values[-4:]) @ vectors[:, -4:].T
    np.testing.assert_allclose(weights @ weights.T, expected, atol=1e-6)
    mean = (DATA.sum(axis=0) + 0.5) / 201
    np.testing.assert_allclose(machine.hidden_logits(jnp.asarray(mean)), np.zeros(4), atol=1e-5)
    at_half = machine.visible_logits(jnp.full(4, 0.5))
    np.testing.assert_allclose(at_half, special.logit(mean), atol=1e-5)


def test_a_start_from_data_is_turned_towards_few_units_and_depends_on_data_alone():
    weights = np.asarray(RestrictedBoltzmannMachine.from_data(DATA, 4).weights, np.float64) / 3.0
    again = RestrictedBoltzmannMachine.from_data(DATA[::-1].astype(bool), 4).weights / 3.0
    np.testing.assert_allclose(again, weights, atol=1e-5)
    values, vectors = np.linalg.eigh(np.cov(DATA.T, bias=True))
    principal = vectors[:, -4:] * np.sqrt(values[-4:])
    rng = np.random.default_rng(4)
    criterion = np.var(weights**2, axis=0).sum()
    for _ in range(20):
        rotation = stats.ortho_group.rvs(4, random_state=rng)
        assert criterion > np.var((principal @ rotation) ** 2, axis=0).sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DATA, 0), "`num_hidden` must be an integer of at least 1; got 0"),
        ((DATA, 13), r"`num_hidden` must be a number in \[1.0, 12.0\]; got 13"),
        ((DATA, 2, 0.0), "`weight_scale` must be a finite number above 0; got 0.0"),
        ((DATA[0], 1), r"`data` must be zeros and ones of shape .* got shape \(12,\)"),
        ((2 * DATA, 1), "`data` must be zeros and ones of shape .* values from 0.0 to 2.0"),
    ],
)
def test_a_start_from_what_is_no_data_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RestrictedBoltzmannMachine.from_data(*arguments)
