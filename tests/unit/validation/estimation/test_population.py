"""What estimators converge to on the toy data, and what they lose there."""

import numpy as np
import pytest

from ebm_ppl.validation.estimation import (
    GAUSSIAN,
    QUARTIC,
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
    excess,
    line,
    normal_density,
    population_minimiser,
    toy_mixture,
)
from tests.unit.validation.estimation.toy import BEST, NODES, NOISE, TILTED, TOY, UNEVEN


def test_the_best_quartic_and_its_distance_from_the_toy_data():
    entropy = -TOY.mean(np.log(TOY.density))
    assert entropy == pytest.approx(1.418845, abs=5e-7)
    np.testing.assert_allclose(BEST, [-1.263614, 0.0, 0.132290], atol=5e-7)
    assert QUARTIC.cross_entropy(BEST, TOY) - entropy == pytest.approx(0.055863, abs=5e-7)


EXCESSES = {
    "score matching": (ScoreMatching(QUARTIC), 3.2e-2),
    "denoising 0.05": (DenoisingScoreMatching(QUARTIC, 0.05), 3.3e-2),
    "denoising 0.1": (DenoisingScoreMatching(QUARTIC, 0.1), 3.8e-2),
    "denoising 0.2": (DenoisingScoreMatching(QUARTIC, 0.2), 5.9e-2),
    "noise contrast 1": (NoiseContrastive(QUARTIC, NOISE, 1), 8.1e-3),
    "noise contrast 10": (NoiseContrastive(QUARTIC, NOISE, 10), 2.4e-4),
    "noise contrast 100": (NoiseContrastive(QUARTIC, NOISE, 100), 2.9e-6),
    "CD-1": (ContrastiveDivergence(QUARTIC, Mala(0.01), 1), 3.1e-2),
    "CD-10": (ContrastiveDivergence(QUARTIC, Mala(0.01), 10), 1.4e-2),
    "CD-30": (ContrastiveDivergence(QUARTIC, Mala(0.01), 30), 3.3e-3),
    "CD-100": (ContrastiveDivergence(QUARTIC, Mala(0.01), 100), 8.1e-5),
    "Langevin 0.05": (PersistentLangevin(QUARTIC, UnadjustedLangevin(0.05)), 5.9e-3),
    "Langevin 0.02": (PersistentLangevin(QUARTIC, UnadjustedLangevin(0.02)), 6.7e-4),
    "Langevin 0.01": (PersistentLangevin(QUARTIC, UnadjustedLangevin(0.01)), 1.5e-4),
    "Langevin 0.005": (PersistentLangevin(QUARTIC, UnadjustedLangevin(0.005)), 3.6e-5),
}


@pytest.mark.parametrize(("estimator", "expected"), EXCESSES.values(), ids=EXCESSES)
def test_what_each_estimator_loses_on_the_toy_data(estimator, expected):
    found = excess(population_minimiser(estimator, TOY), QUARTIC, TOY)
    assert float(f"{found:.1e}") == expected


def test_finer_nodes_change_nothing():
    estimator = ContrastiveDivergence(QUARTIC, Mala(0.01), 10)
    fine = toy_mixture(line(6.0, 0.03))
    coarse_root, fine_root = (population_minimiser(estimator, law) for law in (TOY, fine))
    np.testing.assert_allclose(coarse_root, fine_root, atol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        NoiseContrastive(QUARTIC, NOISE, 1),
        RankingNoiseContrastive(QUARTIC, NOISE, 3),
        ContrastiveDivergence(QUARTIC, RandomWalk(2.5), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_consistent_estimator_finds_the_truth_from_elsewhere(estimator):
    truth = QUARTIC.law(TILTED, NODES)
    found = population_minimiser(estimator, truth, start=np.array([-0.9, 0.2, 0.12]))
    np.testing.assert_allclose(found, estimator.complete(TILTED, NODES), atol=1e-8)


def test_gaussian_score_matching_is_maximum_likelihood_on_any_data():
    mean, variance = UNEVEN.mean(NODES), UNEVEN.mean(NODES**2) - UNEVEN.mean(NODES) ** 2
    expected = [1 / (2 * variance), -mean / variance]
    wide = line(20.0, 0.04)
    law = GridLaw(wide, np.interp(wide, NODES, UNEVEN.mass, left=0.0, right=0.0))
    for estimator in (ScoreMatching(GAUSSIAN), MaximumLikelihood(GAUSSIAN)):
        np.testing.assert_allclose(population_minimiser(estimator, law), expected, rtol=1e-10)


def test_gaussian_denoising_overstates_the_variance_by_that_of_the_noise():
    law = GridLaw.of(normal_density(1.5), line(13.0, 0.05))
    found = population_minimiser(DenoisingScoreMatching(GAUSSIAN, 0.7), law)
    np.testing.assert_allclose(found, [1 / (2 * (1.5 + 0.49)), 0.0], atol=1e-10)


def test_a_model_that_reaches_beyond_the_nodes_is_refused():
    narrow = GridLaw.of(normal_density(0.5), line(6.0))
    with pytest.raises(ValueError, match="must have nodes that carry the model"):
        population_minimiser(DenoisingScoreMatching(GAUSSIAN, 2.0), narrow)


def test_a_search_without_end_names_the_estimator():
    # Heavy shoulders: the best quartic coefficient under score matching is negative.
    law = GridLaw.of(
        lambda x: 0.9 * normal_density(0.25)(x) + 0.1 * normal_density(4.0)(x), line(16.0)
    )
    with pytest.raises(ValueError, match="must lead to a root of ScoreMatching"):
        population_minimiser(ScoreMatching(QUARTIC), law, start=np.array([0.5, 0.0, 0.1]))


def test_a_density_that_the_nodes_do_not_carry_is_refused():
    with pytest.raises(ValueError, match="`density` must have mass 1 on the nodes"):
        GridLaw.of(normal_density(9.0), NODES)


@pytest.mark.parametrize("powers", [(), (1, 3), (0, 2)])
def test_families_that_cannot_normalise_are_refused(powers):
    with pytest.raises(ValueError, match="`powers` must be positive, the largest of them even"):
        type(QUARTIC)(powers)
