"""How much of the data each estimator uses, for data from the best quartic of the toy law."""

import math

import numpy as np
import pytest

from ebm_ppl.validation.estimation import (
    GAUSSIAN,
    QUARTIC,
    ConditionalNoiseContrastive,
    ContrastiveDivergence,
    DenoisingScoreMatching,
    Mala,
    MaximumLikelihood,
    NoiseContrastive,
    RandomWalk,
    RankingNoiseContrastive,
    ScoreMatching,
    asymptotic_covariance,
    efficiency,
    line,
    reversible_covariance,
    sensitivity,
    well_specified_efficiency,
)
from tests.unit.validation.estimation.toy import BEST, NODES, NOISE, TILTED

WALK = RandomWalk(2.5)
EFFICIENCIES = {
    "maximum likelihood": (MaximumLikelihood(QUARTIC), 1.0),
    "score matching": (ScoreMatching(QUARTIC), 0.144),
    "noise contrast 1": (NoiseContrastive(QUARTIC, NOISE, 1), 0.418),
    "noise contrast 3": (NoiseContrastive(QUARTIC, NOISE, 3), 0.658),
    "noise contrast 10": (NoiseContrastive(QUARTIC, NOISE, 10), 0.856),
    "noise contrast 100": (NoiseContrastive(QUARTIC, NOISE, 100), 0.983),
    "fresh noise contrast 1": (NoiseContrastive(QUARTIC, NOISE, 1, fresh=True), 0.857),
    "fresh noise contrast 10": (NoiseContrastive(QUARTIC, NOISE, 10, fresh=True), 0.993),
    "CD-1, MALA": (ContrastiveDivergence(QUARTIC, Mala(0.05), 1), 0.142),
    "CD-30, MALA": (ContrastiveDivergence(QUARTIC, Mala(0.05), 30), 0.485),
    "CD-100, MALA": (ContrastiveDivergence(QUARTIC, Mala(0.05), 100), 0.866),
    "CD-1, random walk": (ContrastiveDivergence(QUARTIC, WALK, 1), 0.930),
    "CD-10, random walk": (ContrastiveDivergence(QUARTIC, WALK, 10), 0.999),
    "CD-1, random walk, one chain": (ContrastiveDivergence(QUARTIC, WALK, 1, 1), 0.120),
    "CD-10, random walk, one chain": (ContrastiveDivergence(QUARTIC, WALK, 10, 1), 0.450),
}
CD = {name: pair[0] for name, pair in EFFICIENCIES.items() if name.startswith("CD")}


@pytest.mark.parametrize(("estimator", "expected"), EFFICIENCIES.values(), ids=EFFICIENCIES)
def test_efficiencies(estimator, expected):
    assert round(well_specified_efficiency(estimator, BEST, NODES).overall, 3) == expected


def test_score_matching_hardly_sees_the_weights_of_separate_modes():
    a, b, quartic = well_specified_efficiency(ScoreMatching(QUARTIC), BEST, NODES).marginal
    assert round(b, 3) == 0.056
    assert min(a, quartic) > 0.5


@pytest.mark.parametrize("estimator", CD.values(), ids=CD)
def test_contrastive_divergence_agrees_with_the_formula_for_reversible_kernels(estimator):
    law = QUARTIC.law(TILTED, NODES)
    general = asymptotic_covariance(estimator, TILTED, law)
    reversible = reversible_covariance(
        estimator.kernel.matrix(QUARTIC, TILTED, NODES),
        law,
        QUARTIC.statistics(NODES),
        estimator.num_steps,
        estimator.num_negatives,
    )
    np.testing.assert_allclose(general, reversible, rtol=1e-3)


@pytest.mark.parametrize("ratio", [0.5, 1, 10])
def test_noise_contrast_agrees_with_its_textbook_covariance(ratio):
    # With J = E_p (1 - h) S S' and m = E_p (1 - h) S: J^-1 - (1 + 1/ratio) J^-1 m m' J^-1.
    law = QUARTIC.law(TILTED, NODES)
    extended = np.column_stack([QUARTIC.statistics(NODES), np.ones_like(NODES)])
    weights = law.mass * ratio * NOISE(NODES) / (law.density + ratio * NOISE(NODES))
    inverse = np.linalg.inv((extended.T * weights) @ extended)
    shift = inverse @ (weights @ extended)
    textbook = inverse - (1 + 1 / ratio) * np.outer(shift, shift)
    estimator = NoiseContrastive(QUARTIC, NOISE, ratio)
    found = asymptotic_covariance(estimator, estimator.complete(TILTED, NODES), law)
    np.testing.assert_allclose(found, textbook, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("num_noises", [1, 2, 10])
def test_ranking_satisfies_the_information_identity(num_noises):
    # Given which points there are, it is a likelihood: its Hessian is the covariance of its gradient.
    estimator = RankingNoiseContrastive(QUARTIC, NOISE, num_noises)
    law = QUARTIC.law(TILTED, NODES)
    variability = estimator.variability(TILTED, law)
    np.testing.assert_allclose(sensitivity(estimator, TILTED, law), variability, rtol=1e-7)


@pytest.mark.parametrize(
    ("fixed", "fresh"),
    [
        (NoiseContrastive(QUARTIC, NOISE, 1), NoiseContrastive(QUARTIC, NOISE, 1, True)),
        (
            RankingNoiseContrastive(QUARTIC, NOISE, 5),
            RankingNoiseContrastive(QUARTIC, NOISE, 5, True),
        ),
        (ConditionalNoiseContrastive(QUARTIC, 1.0, 5), ConditionalNoiseContrastive(QUARTIC, 1.0)),
        (
            ContrastiveDivergence(QUARTIC, WALK, 2, 3),
            ContrastiveDivergence(QUARTIC, WALK, 2, math.inf),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fresh_noise_beats_fixed_noise_and_nothing_beats_maximum_likelihood(fixed, fresh):
    worse = well_specified_efficiency(fixed, TILTED, NODES).overall
    better = well_specified_efficiency(fresh, TILTED, NODES).overall
    assert worse < better < 1.0


@pytest.mark.parametrize(
    "estimator",
    [NoiseContrastive(QUARTIC, NOISE, 1e4), RankingNoiseContrastive(QUARTIC, NOISE, 10_000)],
    ids=lambda value: type(value).__name__,
)
def test_much_noise_leads_to_maximum_likelihood(estimator):
    assert well_specified_efficiency(estimator, TILTED, NODES).overall > 0.999


def test_gaussian_score_matching_loses_nothing():
    theta = np.array([0.3, 0.8])
    found = well_specified_efficiency(ScoreMatching(GAUSSIAN), theta, line(14.0, 0.1))
    assert found.overall == pytest.approx(1.0, abs=1e-9)


def test_few_fixed_noises_cost_denoising_dearly():
    law = QUARTIC.law(BEST, NODES)
    information = QUARTIC.information(BEST, NODES)
    few, many, fresh = (
        efficiency(
            asymptotic_covariance(DenoisingScoreMatching(QUARTIC, 0.1, count), BEST, law),
            information,
        ).overall
        for count in (1, 1000, math.inf)
    )
    assert few < 0.5 * fresh
    assert few < many < fresh
