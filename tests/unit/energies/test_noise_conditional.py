import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import NeuralNoiseConditionalEnergy

KEY = jax.random.key(0)
ENERGY = NeuralNoiseConditionalEnergy((2,), rng_key=KEY, width=8, depth=1, data_scale=1.5)
X = np.array([0.7, -1.2], dtype=np.float32)


def test_value_is_the_normal_law_plus_the_scaled_network():
    sigma, scale = 0.3, 1.5
    total = np.hypot(sigma, scale)
    network = ENERGY.network(jnp.array([*(X / total), 4 * (sigma / total) ** 2], dtype=float))
    expected = np.sum(X**2) / (2 * total**2) + scale / total * network
    np.testing.assert_allclose(ENERGY(X, sigma), expected, rtol=1e-5)
    assert ENERGY.at_noise(sigma)(X) == ENERGY(X, sigma)


@pytest.mark.parametrize("sigma", [30.0, 1e3])
def test_under_strong_noise_its_denoiser_is_preconditioned_as_by_karras_et_al(sigma):
    scale = 1.5
    with float64():
        exact = to_float64(ENERGY)
        x = jnp.asarray(X, dtype=float)
        total = np.hypot(sigma, scale)
        level = 4 * (sigma / total) ** 2
        skip, out, into = scale**2 / total**2, sigma * scale / total, 1 / total
        network = -jax.grad(lambda u: exact.network(jnp.append(u, level)))(into * x)
        denoised = x + sigma**2 * exact.at_noise(sigma).score(x)
        # Their factor differs by σ / τ, that is, by less than s² / 2σ² relatively.
        bound = out * np.linalg.norm(network) * scale**2 / (2 * sigma**2)
        assert np.linalg.norm(denoised - skip * x - out * network) < bound


def test_it_is_linear_in_the_variance_of_weak_noise():
    """As the energy of data under noise is, by the heat equation."""
    with float64():
        exact = to_float64(ENERGY)
        silent, half, full = (exact(X, np.sqrt(variance)) for variance in (1e-14, 5e-5, 1e-4))
    np.testing.assert_allclose(half - silent, 0.5 * (full - silent), rtol=1e-3)
    assert abs(full - silent) > 1e-6


def test_single_precision_follows_double_over_ten_decades_of_noise():
    for sigma in 10.0 ** np.arange(-5, 6):
        x = np.float32(np.hypot(sigma, 1.5)) * X
        with float64():
            exact = to_float64(ENERGY).at_noise(sigma).score(x)
        score = ENERGY.at_noise(np.float32(sigma)).score(x)
        np.testing.assert_allclose(score, exact, rtol=1e-4, atol=1e-5 * np.linalg.norm(exact))


@pytest.mark.parametrize("sigma", [1e-2, 1.0, 1e2])
def test_the_quadratic_term_outgrows_the_network_at_every_level(sigma):
    total = np.hypot(sigma, 1.5)
    energy = jax.tree.map(lambda leaf: 10 * leaf, ENERGY).at_noise(sigma)
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    ratios = [jax.vmap(energy)(r * total * directions) / (0.5 * r**2) for r in (1e6, 1e8)]
    deviations = [float(jnp.max(jnp.abs(ratio - 1))) for ratio in ratios]
    assert deviations[1] < 0.1
    assert deviations[1] < 0.02 * deviations[0] + 1e-5


def test_levels_may_be_traced_and_mapped():
    sigmas = jnp.array([0.1, 1.0, 10.0])
    mapped = jax.jit(jax.vmap(lambda sigma: ENERGY.at_noise(sigma).score(X)))(sigmas)
    one_by_one = [ENERGY.at_noise(sigma).score(X) for sigma in sigmas]
    np.testing.assert_allclose(mapped, one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("event_shape", [(), (2, 3)])
def test_any_event_shape(event_shape):
    energy = NeuralNoiseConditionalEnergy(event_shape, rng_key=KEY, width=4, depth=1).at_noise(1.0)
    assert energy.score(jnp.ones(event_shape)).shape == event_shape
    assert energy.support.event_dim == len(event_shape)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: ENERGY.at_noise(0.0), "`sigma` must be a finite number above 0; got"),
        (lambda: ENERGY.at_noise([1.0]), r"Expected `sigma` of shape \(\); got \(1,\)"),
        (lambda: ENERGY(X, [1.0]), r"Expected `sigma` of shape \(\); got \(1,\)"),
        (lambda: ENERGY([1.0], 1.0), r"Expected `x` of shape \(2,\); got \(1,\)"),
    ],
)
def test_bad_levels_and_points_are_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"event_shape": (0,)}, "`event_shape` must be an integer of at least 1; got 0"),
        ({"depth": 0}, "`depth` must be an integer of at least 1"),
        ({"activation": "relu"}, "`activation` must be one of 'silu', .*; got 'relu'"),
        ({"data_scale": 0.0}, "`data_scale` must be a finite number above 0; got 0.0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuralNoiseConditionalEnergy(**({"event_shape": (2,), "rng_key": KEY} | arguments))
