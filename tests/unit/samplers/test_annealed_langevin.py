"""Annealed Langevin sampling: weights of modes, the flow by itself, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.energies import AbstractConditionalEnergy, NeuralNoiseConditionalEnergy
from ebm_ppl.samplers import annealed_langevin

KEY = jax.random.key(0)
MINOR, HALF = 0.2, 5.0
LADDER = jnp.geomspace(20.0, 0.05, 20)
NUM_SAMPLES = 50_000
# 5.6 binomial standard deviations: false-alarm rate 2e-8.
TOLERANCE = 0.01


class NoisyMixture(AbstractConditionalEnergy):
    """0.2 N(-5, 1) + 0.8 N(5, 1) under noise: ten standard deviations apart."""

    event_shape = ()
    condition_shape = None
    noise_conditional = True
    support = constraints.real
    null_condition = None

    def _energy(self, x, y, sigma):
        variance = 1 + sigma**2
        left = jnp.log(MINOR) - 0.5 * (x + HALF) ** 2 / variance
        right = jnp.log(1 - MINOR) - 0.5 * (x - HALF) ** 2 / variance
        return -jnp.logaddexp(left, right)


class NoisyNormal(AbstractConditionalEnergy):
    """A standard normal array under noise."""

    event_shape = (2, 2)
    condition_shape = None
    noise_conditional = True
    support = constraints.independent(constraints.real, 2)
    null_condition = None

    def _energy(self, x, y, sigma):
        return 0.5 * jnp.sum(x**2) / (1 + sigma**2)


class NoiseAlone(AbstractConditionalEnergy):
    """A point at 0 under noise, which has no scale of its own."""

    event_shape = ()
    condition_shape = None
    noise_conditional = True
    support = constraints.real
    null_condition = None

    def _energy(self, x, y, sigma):
        return 0.5 * (x / sigma) ** 2


@pytest.mark.parametrize("transport", [False, True])
def test_draws_scale_with_the_noise(transport):
    """The same random numbers at levels eight times as wide: steps go with the square of the level."""
    ladder = jnp.geomspace(2.0, 0.25, 4)
    draw = functools.partial(annealed_langevin, NoiseAlone(), transport=transport, num_steps=3)
    narrow, wide = (draw(scale * ladder, KEY, 50) for scale in (1.0, 8.0))
    np.testing.assert_allclose(wide, 8.0 * narrow, rtol=1e-4)
    assert np.std(narrow) > 0.1


def minor_weight(draws):
    return np.mean(np.asarray(draws) < 0)


def test_modes_get_their_weights_and_their_shape():
    draws = np.asarray(annealed_langevin(NoisyMixture(), LADDER, KEY, NUM_SAMPLES))
    assert abs(minor_weight(draws) - MINOR) < TOLERANCE
    for sign in (-1, 1):  # 5.6 standard errors of the mean and the deviation of the small mode
        inside = draws[np.sign(draws) == sign]
        assert abs(inside.mean() - sign * HALF) < 0.056
        assert abs(inside.std() - 1) < 0.04


@pytest.mark.slow
def test_without_the_flow_the_small_mode_keeps_what_noise_brought_over():
    """The planted bug: the same steps alone freeze the weights while the noise is strong."""
    draws = annealed_langevin(NoisyMixture(), LADDER, KEY, NUM_SAMPLES, transport=False)
    assert minor_weight(draws) > MINOR + 3 * TOLERANCE


@pytest.mark.slow
def test_a_trained_energy_gives_modes_their_weights():
    """Annealed denoising on data of which exactly a fifth lies in the small mode."""
    quantiles = (np.arange(2000) + 0.5) / 2000
    left, right = stats.norm.ppf(quantiles) - HALF, stats.norm.ppf(quantiles) + HALF
    data = np.concatenate([left, *[right] * 4])
    shift, scale = data.mean(), data.std()
    fit = ebm.fit(
        NeuralNoiseConditionalEnergy((), rng_key=KEY, data_scale=scale),
        data - shift,
        ebm.AnnealedDenoisingScoreMatching(dist.LogUniform(0.05, 30.0)),
        optax.adam(optax.cosine_decay_schedule(3e-3, 6000)),
        num_steps=6000,
        rng_key=KEY,
        progress_bar=False,
    )
    draws = annealed_langevin(fit.energy, LADDER, KEY, NUM_SAMPLES) + shift
    assert abs(minor_weight(draws) - MINOR) < TOLERANCE


def test_the_flow_by_itself_stretches_a_normal_law():
    """Without steps it is a deterministic map, for a normal law a product of Heun's factors."""
    energy = NoisyNormal()
    start = annealed_langevin(energy, LADDER[:1], KEY, 3, num_steps=0)
    end = annealed_langevin(energy, LADDER, KEY, 3, num_steps=0)
    sigma = np.asarray(LADDER, float)
    slope = sigma / (1 + sigma**2)
    width = np.diff(sigma)
    half = 1 + width * slope[:-1]
    factors = 1 + width * (slope[:-1] + slope[1:] * half) / 2
    np.testing.assert_allclose(end, np.prod(factors) * np.asarray(start), rtol=1e-4)
    exact = np.sqrt((1 + sigma[-1] ** 2) / (1 + sigma[0] ** 2))
    np.testing.assert_allclose(np.prod(factors), exact, rtol=0.03)


@pytest.mark.slow
def test_denoising_takes_the_mean_over_what_noise_may_have_been():
    energy, ladder = NoisyNormal(), jnp.array([2.0, 0.5])
    draws = annealed_langevin(energy, ladder, KEY, 3)
    assert draws.shape == (3, 2, 2)
    clean = annealed_langevin(energy, ladder, KEY, 3, denoise=True)
    np.testing.assert_allclose(clean, draws / (1 + 0.5**2), rtol=1e-5)


def test_draws_depend_on_the_key_alone():
    first, again = (annealed_langevin(NoisyNormal(), [2.0, 0.5], KEY, 3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = annealed_langevin(NoisyNormal(), [2.0, 0.5], jax.random.key(1), 3)
    assert not np.any(np.asarray(first) == np.asarray(other))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_scales": [1.0, 1.0]}, "`noise_scales` must decrease and stay above 0"),
        ({"noise_scales": [1.0, 0.0]}, "`noise_scales` must decrease and stay above 0"),
        ({"noise_scales": [1.0, np.inf]}, "`noise_scales` must be finite everywhere"),
        ({"noise_scales": 1.0}, r"Expected `noise_scales` of shape \(num_levels,\); got \(\)"),
        ({"num_samples": 0}, "`num_samples` must be an integer of at least 1; got 0"),
        ({"num_steps": -1}, "`num_steps` must be an integer of at least 0; got -1"),
        (
            {"num_steps": 0, "transport": False},
            "`num_steps` must be an integer of at least 1; got 0",
        ),
        ({"step_size": 0.0}, "`step_size` must be a finite number above 0; got 0.0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    good = {"noise_scales": [2.0, 1.0], "rng_key": KEY, "num_samples": 1}
    with pytest.raises(ValueError, match=message):
        annealed_langevin(NoisyNormal(), **(good | arguments))


def test_a_condition_has_to_be_fixed_first():
    energy = NeuralNoiseConditionalEnergy((), (1,), rng_key=KEY, width=4, depth=1)
    with pytest.raises(ValueError, match=r"`at\(y=...\)`; got .*, an energy E_sigma\(x \| y\)"):
        annealed_langevin(energy, LADDER, KEY, 3)
    assert annealed_langevin(energy.at(y=[1.0]), LADDER[:1], KEY, 3, num_steps=0).shape == (3,)
