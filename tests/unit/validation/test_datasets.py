"""The laws that toys are made of: densities against integrals, and draws against densities."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest
from scipy import stats

from ebm_ppl.energies import Gaussian, NeuralEnergy
from ebm_ppl.quadrature import normalize
from ebm_ppl.validation.datasets import (
    PLANE_LAWS,
    AbstractLaw,
    Checkerboard,
    Pinwheel,
    TwoMoons,
    eight_gaussians,
    kl_divergence,
    two_normals,
)

LAWS = {**PLANE_LAWS, "two_normals": two_normals()}
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)

# E|x|^2 = |centre|^2 averaged + dim s^2 for what has centres; by hand for the others.
SECOND_MOMENTS = {
    "8_gaussians": 8 + 2 / 8,
    # E|c + 2a + s xi|^2 with E[a] = (0, 2/pi) for the upper moon and its opposite for the lower.
    "two_moons": (1.04 + 1.64) / 2 + 4 + 2 * 0.04 + 2 * 2 * (2 / math.pi) * (-0.2 - 0.8) / 2,
    "pinwheel": 4 * (1 + 0.3**2 + 0.1**2),
    "checkerboard": 2 * 4**2 / 3,
    "two_normals": 4.25,
}

NUM_DRAWS = 100_000
MIN_EXPECTED = 10.0
LEVEL = 1e-8  # of each assertion; a correct law is refused in one of 1e8 sets of draws


@functools.cache
def cell_probabilities(law: AbstractLaw, cells: int) -> np.ndarray:
    """Mass of equal cells of the bounds, by a Gauss-Legendre rule in each."""
    node, weight = np.polynomial.legendre.leggauss(12)
    axes, volume = [], 1.0
    for low, high in law.bounds:
        step = (high - low) / cells
        corners = low + step * np.arange(cells)
        axes.append((corners[:, None] + step * (node + 1) / 2).reshape(-1))
        volume *= step / 2
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, law.dim)
    mass = volume * np.exp(law.log_density(points)).reshape([cells, len(node)] * law.dim)
    for _ in law.bounds:  # the last axis of nodes each time, once its cells have been moved away
        mass = np.moveaxis(mass @ weight, -1, 0)
    return mass.reshape(-1)


def chi_square_p_value(law: AbstractLaw, draws: np.ndarray, cells: int) -> float:
    """p-value of Pearson's test of draws against the density, rare cells joined into one."""
    probability = cell_probabilities(law, cells)
    counts, _ = np.histogramdd(draws, [np.linspace(*pair, cells + 1) for pair in law.bounds])
    expected, observed = len(draws) * probability, counts.reshape(-1)
    rare = expected < MIN_EXPECTED
    rest = np.array([len(draws) - expected[~rare].sum()])
    expected = np.append(expected[~rare], rest[rest > 1])
    observed = np.append(observed[~rare], (len(draws) - observed[~rare].sum())[None][rest > 1])
    statistic = np.sum((observed - expected) ** 2 / expected)
    return float(stats.chi2.sf(statistic, len(expected) - 1))


def draws_of(law: AbstractLaw) -> np.ndarray:
    return np.asarray(law.sample(jax.random.key(0), NUM_DRAWS), np.float64)


@every_law
def test_density_integrates_to_one(law):
    for coarse in (False, True):
        _, masses, _ = law.nodes(coarse=coarse)
        np.testing.assert_allclose(masses.sum(), 1.0, atol=1e-7 if coarse else 1e-11)
    inside = cell_probabilities(law, {1: 64, 2: 24}[law.dim]).sum()
    assert 1 - law.mass_outside - 1e-8 <= inside <= 1 + 1e-8


@every_law
def test_draws_follow_the_density(law):
    draws = draws_of(law)
    assert draws.shape == (NUM_DRAWS, law.dim)
    assert chi_square_p_value(law, draws, {1: 64, 2: 24}[law.dim]) > LEVEL


@pytest.mark.parametrize(
    ("drawn", "stated"),
    [
        (dataclasses.replace(TwoMoons(), scale=0.22), TwoMoons()),
        (dataclasses.replace(two_normals(), scale=0.52), two_normals()),
        (Pinwheel(), eight_gaussians()),
    ],
    ids=["moons with noise 10% too wide", "normals 4% too wide", "another law"],
)
def test_draws_of_another_law_are_noticed(drawn, stated):
    assert chi_square_p_value(stated, draws_of(drawn), {1: 64, 2: 24}[stated.dim]) < LEVEL


@every_law
def test_entropy_is_the_mean_surprise_of_draws(law):
    """A deviation of 5.8 standard errors has probability 1e-8; one of 0.02 nats is always seen."""
    surprise = -law.log_density(draws_of(law))
    entropy = law.entropy()
    standard_error = surprise.std() / math.sqrt(NUM_DRAWS)
    assert entropy.error < 1e-7
    assert abs(surprise.mean() - entropy.value) <= 5.8 * standard_error + 1e-12


def test_entropies_in_closed_form():
    assert Checkerboard().entropy().value == pytest.approx(math.log(32), abs=1e-12)
    assert two_normals().entropy().value == pytest.approx(1.418845, abs=5e-7)


def test_moons_have_enough_angles():
    law = TwoMoons()
    points = np.random.default_rng(0).uniform(-5, 5, (2000, 2))
    many = dataclasses.replace(law, num_angles=512).log_density(points)
    np.testing.assert_allclose(law.log_density(points), many, atol=1e-11)


def test_checkerboard_has_no_density_on_white_squares():
    points = np.array([[1.0, 1.0], [-1.0, 1.0], [5.0, 5.0], [-3.0, -3.0]])
    is_black = np.isfinite(Checkerboard().log_density(points))
    assert is_black.tolist() == [True, False, False, True]


@every_law
def test_divergence_from_a_normal_law_has_a_closed_form(law):
    variance = 3.0
    model = Gaussian(loc=np.zeros(law.dim), covariance_matrix=variance * np.eye(law.dim))
    expected = (
        0.5 * SECOND_MOMENTS[law.name] / variance
        + 0.5 * law.dim * math.log(2 * math.pi * variance)
        - law.entropy().value
    )
    # The model is stored in single precision.
    estimate = kl_divergence(law, model)
    assert estimate.value == pytest.approx(expected, abs=1e-6)
    assert estimate.error < 1e-6


def test_log_partition_function_of_a_network_agrees_between_adaptive_and_uniform_grids():
    model = NeuralEnergy((2,), width=8, depth=2, confinement=1 / 16, rng_key=jax.random.key(0))
    model = jax.tree.map(lambda leaf: 2 * leaf, model)
    adaptive = kl_divergence(PLANE_LAWS["8_gaussians"], model)
    uniform = normalize(model, bounds=(-60.0, 60.0), num_intervals=600)
    fixed = kl_divergence(PLANE_LAWS["8_gaussians"], uniform)
    assert adaptive.value == pytest.approx(fixed.value, abs=adaptive.error + fixed.error)
    assert adaptive.error + fixed.error < 1e-6


def test_divergence_refuses_a_model_of_another_dimension():
    with pytest.raises(ValueError, match="2 coordinates; got 1"):
        kl_divergence(eight_gaussians(), Gaussian(loc=[0.0], covariance_matrix=[[1.0]]))
