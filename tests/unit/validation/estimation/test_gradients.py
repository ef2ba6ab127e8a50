"""Population gradients against derivatives of losses that other rules integrate."""

import numpy as np
import pytest
from scipy import special

from ebm_ppl.validation.estimation import (
    QUARTIC,
    ConditionalNoiseContrastive,
    ContrastiveDivergence,
    DenoisingScoreMatching,
    GridLaw,
    Mala,
    MaximumLikelihood,
    NoiseContrastive,
    PersistentLangevin,
    RandomWalk,
    RankingNoiseContrastive,
    ScoreMatching,
    UnadjustedLangevin,
    normal_density,
)
from tests.unit.validation.estimation.toy import NODES, NOISE, TILTED, UNEVEN, uneven_density

LOG_Z = 3.5
NARROW = normal_density(2.25)


def legendre(density, count, low=-6.0, high=6.0):
    """Gauss-Legendre nodes and their probabilities."""
    node, weight = np.polynomial.legendre.leggauss(count)
    x = (low + high) / 2 + (high - low) / 2 * node
    return x, (high - low) / 2 * weight * density(x)


X, MASS = legendre(uneven_density, 200)
Y, NOISE_MASS = legendre(NOISE, 200, -9.0, 9.0)
XI, XI_MASS = legendre(normal_density(1.0), 400, -8.0, 8.0)


def energy(theta, x):
    return theta[0] * x**2 + theta[1] * x + theta[2] * x**4


def slope(theta, x):
    return 2 * theta[0] * x + theta[1] + 4 * theta[2] * x**3


def likelihood_loss(theta):
    z = np.sum(np.exp(-energy(theta, NODES))) * 0.04
    return MASS @ energy(theta, X) + np.log(z)


def score_matching_loss(theta):
    curvature = 2 * theta[0] + 12 * theta[2] * X**2
    return MASS @ (0.5 * slope(theta, X) ** 2 - curvature)


def denoising_loss(theta, sigma=0.3):
    residual = -slope(theta, X + sigma * XI[:, None]) + XI[:, None] / sigma
    return 0.5 * XI_MASS @ residual**2 @ MASS


def noise_contrastive_loss(parameters, ratio=3.0):
    def log_odds(x):
        return -energy(parameters, x) - parameters[3] - np.log(ratio * NOISE(x))

    on_data = MASS @ special.log_expit(log_odds(X))
    return -on_data - ratio * NOISE_MASS @ special.log_expit(-log_odds(Y))


def conditional_loss(theta, sigma=0.4):
    rise = energy(theta, X + sigma * XI[:, None]) - energy(theta, X)
    return -2 * XI_MASS @ special.log_expit(rise) @ MASS


def ranking_loss(theta):
    """Two noise points, so that the integral is over three coordinates."""
    x, mass = legendre(uneven_density, 120)
    y, noise_mass = legendre(NARROW, 160, -10.0, 10.0)
    at_x = np.exp(-energy(theta, x)) / NARROW(x)
    at_y = np.exp(-energy(theta, y)) / NARROW(y)
    total = np.add.outer(np.add.outer(at_x, at_y), at_y)
    return mass @ (np.log(total) @ noise_mass @ noise_mass - np.log(at_x))


def derivative(loss, parameters):
    steps = np.diag([1e-3, 1e-3, 1e-4, 1e-3][: len(parameters)])
    return np.array(
        [
            8 * (loss(parameters + step) - loss(parameters - step))
            - (loss(parameters + 2 * step) - loss(parameters - 2 * step))
            for step in steps
        ]
    ) / (12 * np.sum(steps, axis=1))


@pytest.mark.parametrize(
    ("estimator", "loss", "tolerance"),
    [
        (MaximumLikelihood(QUARTIC), likelihood_loss, 1e-8),
        (ScoreMatching(QUARTIC), score_matching_loss, 1e-8),
        (DenoisingScoreMatching(QUARTIC, 0.3), denoising_loss, 1e-8),
        (NoiseContrastive(QUARTIC, NOISE, 3.0), noise_contrastive_loss, 1e-8),
        (ConditionalNoiseContrastive(QUARTIC, 0.4), conditional_loss, 1e-8),
        (RankingNoiseContrastive(QUARTIC, NARROW, 2), ranking_loss, 1e-5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_gradient_is_the_derivative_of_the_loss(estimator, loss, tolerance):
    parameters = np.append(TILTED, LOG_Z) if estimator.learns_log_z else TILTED
    np.testing.assert_allclose(
        estimator.gradient(parameters, UNEVEN), derivative(loss, parameters), rtol=0, atol=tolerance
    )


CONSISTENT = [
    MaximumLikelihood(QUARTIC),
    ScoreMatching(QUARTIC),
    NoiseContrastive(QUARTIC, NOISE, 2.0),
    RankingNoiseContrastive(QUARTIC, NOISE, 4),
    ConditionalNoiseContrastive(QUARTIC, 0.5),
    ContrastiveDivergence(QUARTIC, Mala(0.1), 3),
    ContrastiveDivergence(QUARTIC, RandomWalk(2.0), 2),
]


@pytest.mark.parametrize("estimator", CONSISTENT, ids=lambda value: type(value).__name__)
def test_gradients_vanish_at_the_truth(estimator):
    truth = QUARTIC.law(TILTED, NODES)
    gradient = estimator.gradient(estimator.complete(TILTED, NODES), truth)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-10)


@pytest.mark.parametrize(
    "estimator",
    [DenoisingScoreMatching(QUARTIC, 0.1), PersistentLangevin(QUARTIC, UnadjustedLangevin(0.01))],
    ids=lambda value: type(value).__name__,
)
def test_what_is_biased_is_biased_at_the_truth(estimator):
    truth = QUARTIC.law(TILTED, NODES)
    assert np.max(np.abs(estimator.gradient(TILTED, truth))) > 0.01


def test_denoising_is_score_matching_of_the_smoothed_law():
    smoothed = GridLaw.of(
        lambda x: (
            0.3 * normal_density(0.25 + 0.04)(x + 2.0)
            + 0.7 * normal_density(0.55**2 + 0.04)(x - 1.5)
        ),
        NODES,
    )
    np.testing.assert_allclose(
        DenoisingScoreMatching(QUARTIC, 0.2).gradient(TILTED, UNEVEN),
        ScoreMatching(QUARTIC).gradient(TILTED, smoothed),
        atol=1e-10,
    )


def test_contrast_with_near_neighbours_goes_to_score_matching():
    limit = ScoreMatching(QUARTIC).gradient(TILTED, UNEVEN)
    coarse, fine = (
        2 * ConditionalNoiseContrastive(QUARTIC, sigma).gradient(TILTED, UNEVEN) / sigma**2 - limit
        for sigma in (0.01, 0.005)
    )
    np.testing.assert_allclose(coarse / fine, 4.0, rtol=0.02)  # of second order
    assert np.max(np.abs(fine)) < 0.01 * np.max(np.abs(limit))


def test_short_contrastive_divergence_goes_to_score_matching():
    limit = ScoreMatching(QUARTIC).gradient(TILTED, UNEVEN)
    errors = []
    for step_size in (0.01, 0.005):
        kernel = Mala(step_size)
        short = ContrastiveDivergence(QUARTIC, kernel, 1).gradient(TILTED, UNEVEN)
        errors.append(np.max(np.abs(short / step_size - limit)) / np.max(np.abs(limit)))
    assert errors[1] < 0.1
    assert errors[1] < 0.75 * errors[0]
