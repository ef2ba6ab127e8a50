"""Denoising score matching: values, expectations, the limit of no noise, and what both signs buy."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl._precision import float64
from ebm_ppl.energies import Gamma, Gaussian, NeuralNoiseConditionalEnergy, Quartic, from_callable
from ebm_ppl.trainers import (
    AnnealedDenoisingScoreMatching,
    Batch,
    DenoisingScoreMatching,
    Model,
    ScoreMatching,
    Validation,
    as_batch,
    newton,
)
from ebm_ppl.trainers._denoising import Noise
from ebm_ppl.validation import estimation, problems
from ebm_ppl.validation.estimation import QUARTIC, GridLaw
from tests.unit.trainers.fixed_draws import FixedDraws

KEY = jax.random.key(0)
STEP = jnp.asarray(0)
LEVEL = 6.0  # standard errors

HERMITE, WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
"""Exact means over one normal noise of polynomials up to degree 23."""


def mean_loss_on_the_line(theta, nodes, mass, sigma, antithetic=True):
    """Mean over a law and over the noise, both by quadrature."""
    objective = DenoisingScoreMatching(sigma, antithetic)
    model = Model(problems.PolynomialEnergy(theta))
    x, direction = (jnp.ravel(part) for part in jnp.meshgrid(nodes, HERMITE, indexing="ij"))
    noise = Noise(jnp.full_like(x, sigma), direction)
    losses = objective.losses(model, as_batch(model.energy, x), noise)
    return mass @ losses.reshape(len(nodes), -1) @ WEIGHTS


@pytest.mark.parametrize("event_shape", [(), (3,), (2, 2)])
def test_loss_is_that_of_pointing_back_without_what_no_model_changes(event_shape):
    rng = np.random.default_rng(0)
    x, xi = rng.normal(size=(2, 5, *event_shape)).astype(np.float32)
    energy = from_callable(lambda x: jnp.sum(x**2) + 0.25 * jnp.sum(x**4), event_shape)
    sigma = np.linspace(0.2, 2.0, 5, dtype=np.float32)
    data, noise = as_batch(energy, x), Noise(jnp.asarray(sigma), jnp.asarray(xi))
    scale = sigma.reshape(-1, *(1 for _ in event_shape))

    def expected(xi):
        noisy = x + scale * xi
        residual = 2 * noisy + noisy**3 - xi / scale
        axes = tuple(range(1, x.ndim))
        return 0.5 * np.sum(residual**2, axes) - 0.5 * np.sum((xi / scale) ** 2, axes)

    plain = DenoisingScoreMatching(1.0, antithetic=False).losses(Model(energy), data, noise)
    np.testing.assert_allclose(plain, expected(xi), rtol=1e-3, atol=1e-4)
    both = DenoisingScoreMatching(1.0).losses(Model(energy), data, noise)
    np.testing.assert_allclose(both, (expected(xi) + expected(-xi)) / 2, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("antithetic", [True, False])
def test_population_gradient_is_that_of_score_matching_on_the_smoothed_data(antithetic):
    """By quadrature over data and noise; the smoothed law is known in closed form."""
    sigma, law = 0.4, problems.line_law()
    parts = ((0.35, -1.2, 0.6), (0.65, 1.0, 0.5))

    def smoothed(x):
        return sum(w * stats.norm.pdf(x, m, np.hypot(s, sigma)) for w, m, s in parts)

    smooth = GridLaw.of(smoothed, estimation.line(bound=9.0, step=0.02))
    theta = problems.LINE_THETA
    expected = estimation.ScoreMatching(QUARTIC).gradient(theta, smooth)
    with float64():
        nodes, mass = jnp.asarray(law.nodes[::3]), jnp.asarray(3 * law.mass[::3])
        gradient = jax.jit(
            jax.grad(lambda t: mean_loss_on_the_line(t, nodes, mass, sigma, antithetic))
        )(jnp.asarray(theta))
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)
    unsmoothed = estimation.ScoreMatching(QUARTIC).gradient(theta, law)
    assert np.abs(unsmoothed / expected - 1).max() > 0.3


def test_as_noise_vanishes_the_loss_becomes_that_of_score_matching():
    with float64():
        nodes = jnp.array([-1.5, 0.3, 1.0])
        energy = problems.PolynomialEnergy(problems.LINE_THETA)
        exact = ScoreMatching().losses(Model(energy), as_batch(energy, nodes), None)
        mass = jnp.array([0.2, 0.5, 0.3])
        gaps = [
            float(mean_loss_on_the_line(energy.theta, nodes, mass, sigma) - mass @ exact)
            for sigma in (0.02, 0.01)
        ]
    np.testing.assert_allclose(gaps[0] / gaps[1], 4.0, rtol=0.01)  # the gap is of second order
    assert abs(gaps[1]) < 1e-2


def gradient_variance(sigma, antithetic):
    """Variance of the gradient at one example over the noise, by quadrature."""

    def mean_and_square(theta):
        def loss(theta, direction):
            noise = Noise(jnp.full(1, sigma), direction[None])
            energy = problems.PolynomialEnergy(theta)
            data = as_batch(energy, np.array([0.7]))
            return DenoisingScoreMatching(sigma, antithetic).losses(Model(energy), data, noise)[0]

        gradients = jax.vmap(jax.grad(loss), (None, 0))(theta, jnp.asarray(HERMITE))
        return WEIGHTS @ gradients, WEIGHTS @ gradients**2

    mean, square = mean_and_square(jnp.asarray(problems.LINE_THETA))
    return np.asarray(square - mean**2)


def test_both_signs_of_the_noise_cancel_the_variance_that_grows():
    with float64():
        coarse, fine = (gradient_variance(sigma, antithetic=False) for sigma in (0.02, 0.01))
        both_coarse, both_fine = (
            gradient_variance(sigma, antithetic=True) for sigma in (0.02, 0.01)
        )
    np.testing.assert_allclose(fine / coarse, 4.0, rtol=0.05)
    curved = np.array([0, 2])  # the linear statistic has no second derivative to estimate
    np.testing.assert_allclose(both_fine[curved] / both_coarse[curved], 1.0, rtol=0.05)
    assert np.all(both_fine < 0.01 * fine)


@pytest.mark.slow
def test_recovers_the_law_of_data_and_noise_within_its_standard_errors():
    """With one fixed noise an example. At 5000 examples it sees 25% of the variance of the noise."""
    covariance, sigma = np.array([[1.0, 0.5], [0.5, 2.0]]), 0.7
    truth = Gaussian([1.0, -1.0], covariance + sigma**2 * np.eye(2))
    x = jax.random.multivariate_normal(KEY, truth.loc, jnp.asarray(covariance), (5000,))
    fit = ebm.fit(
        Gaussian(np.zeros(2), 2.0 * np.eye(2)),
        x,
        FixedDraws(DenoisingScoreMatching(sigma)),
        newton(),
        num_steps=15,
        batch_size=5000,
        rng_key=KEY,
        progress_bar=False,
    )
    flat = (ravel_pytree(part)[0] for part in (fit.energy, truth, fit.standard_errors().energy))
    estimate, exact, errors = flat
    z = np.asarray((estimate - exact) / errors)
    assert np.isfinite(z).sum() == 5
    assert np.nanmax(np.abs(z)) < LEVEL


def test_a_scheduled_level_is_used_recorded_and_held_where_it_ends_for_validation():
    schedule = optax.linear_schedule(2.0, 0.5, 3)
    fit = ebm.fit(
        Quartic(),
        jnp.linspace(-1.0, 1.0, 32),
        DenoisingScoreMatching(schedule),
        optax.sgd(0.0),
        num_steps=4,
        rng_key=KEY,
        validation=Validation(data=jnp.linspace(-1.0, 1.0, 32), every=2),
        progress_bar=False,
    )
    np.testing.assert_allclose(fit.history["noise_scale"], [2.0, 1.5, 1.0, 0.5], rtol=1e-6)
    first, last = fit.history["validation"]
    assert first == last


def levels_of(noise_scales, count, keys):
    energy = NeuralNoiseConditionalEnergy((), rng_key=KEY, width=2, depth=1)
    data = as_batch(energy, jnp.zeros(count))
    objective = AnnealedDenoisingScoreMatching(noise_scales)

    def draw(key):
        return objective.prepare(Model(energy), data, None, STEP, key).sample.scale

    return np.asarray(jax.vmap(draw)(jax.random.split(KEY, keys)))


def test_levels_of_a_ladder_are_used_evenly_and_each_example_sees_them_all():
    """χ² of 4000 draws on 4 levels, with a false-alarm rate of 1e-8; a level never used gives 1300."""
    ladder = np.array([4.0, 2.0, 1.0, 0.5])
    levels = levels_of(ladder, 10, 4000)
    counts = np.array([(levels == sigma).sum(axis=1) for sigma in ladder])
    assert counts.min() >= 2
    assert counts.max() <= 3
    of_one_example = [(levels[:, 7] == sigma).sum() for sigma in ladder]
    assert stats.chisquare(of_one_example).pvalue > 1e-8


def test_levels_of_a_distribution_follow_it_and_are_spread_out():
    levels = np.log(levels_of(dist.LogUniform(0.1, 10.0), 16, 50))
    gaps = np.diff(np.sort(levels, axis=1))
    np.testing.assert_allclose(gaps, np.log(100.0) / 16, rtol=1e-3)
    spread = (levels[:, 3] - np.log(0.1)) / np.log(100.0)
    assert stats.kstest(spread, "uniform").pvalue > 1e-8


MIXTURE = dist.MixtureSameFamily(
    dist.Categorical(jnp.ones(2) / 2), dist.LogNormal(jnp.arange(2), 1.0)
)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ([1.0, 0.0], "`noise_scales` must be a vector of numbers above 0"),
        (1.0, "`noise_scales` must be a vector of numbers above 0"),
        ([1.0, np.nan], "`noise_scales` must be finite everywhere"),
        (dist.Normal(0.0, 1.0), "`noise_scales` must be positive"),
        (dist.LogUniform(jnp.ones(2), 2.0), "`noise_scales` must be a distribution of one number"),
        (MIXTURE, "`noise_scales` must be a distribution with an `icdf`"),
    ],
)
def test_levels_that_are_no_levels_are_refused(scales, message):
    with pytest.raises(ValueError, match=message):
        AnnealedDenoisingScoreMatching(scales)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, "1", lambda step: 0.0 * step])
def test_a_noise_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match="`noise_scale` must be a finite number above 0"):
        DenoisingScoreMatching(scale)


def test_energies_that_do_not_fit_are_refused():
    data = Batch(jnp.ones(3), None, jnp.arange(3))
    with pytest.raises(ValueError, match="`energy` must have a support without boundary"):
        DenoisingScoreMatching(1.0).init(Gamma(2.0, 1.0), data, KEY)
    with pytest.raises(ValueError, match=r"`energy` must be noise-conditional .*; got Quartic"):
        AnnealedDenoisingScoreMatching([1.0]).init(Quartic(), data, KEY)
