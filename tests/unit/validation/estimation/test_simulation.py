"""Simulated efficiencies: data sets, estimates, and the error bars that they come with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ebm_ppl.validation.estimation import (
    QUARTIC,
    GridLaw,
    MaximumLikelihood,
    ScoreMatching,
    draw_data_sets,
    estimate_all,
    line,
    maximum_likelihood_estimator,
    measured_efficiency,
    population_minimiser,
    score_matching_estimator,
    well_specified_efficiency,
)
from tests.unit.validation.estimation.toy import BEST, NODES, TILTED

CRITICAL = 5.6
"""Standard errors: a false alarm in 2.2e-8 of runs of an assertion."""

FINE = line(6.0, 0.002)


def test_data_sets_follow_the_law():
    # 100,000 draws: a shift of the distribution function by 0.015 is refused with probability 99%.
    law = QUARTIC.law(TILTED, FINE)
    draws = np.asarray(draw_data_sets(law, jax.random.key(0), 20, 5000)).reshape(-1)
    assert draws.dtype == np.float64
    assert len(np.unique(draws)) == len(draws)
    below = np.cumsum(law.mass)
    assert stats.kstest(draws, lambda x: np.interp(x, FINE + law.step / 2, below)).pvalue > 1e-8
    error = (QUARTIC.statistics(draws) - law.mean(QUARTIC.statistics(FINE))).mean(axis=0)
    deviations = np.sqrt(np.diag(QUARTIC.information(TILTED, FINE)) / len(draws))
    assert np.max(np.abs(error / deviations)) < CRITICAL


@pytest.mark.parametrize(
    ("estimator", "theory"),
    [
        (score_matching_estimator(QUARTIC), ScoreMatching(QUARTIC)),
        (maximum_likelihood_estimator(QUARTIC, BEST, NODES), MaximumLikelihood(QUARTIC)),
    ],
    ids=["score matching", "maximum likelihood"],
)
def test_reference_estimators_solve_the_equations_of_the_theory(estimator, theory):
    # A data set that sits on the nodes is itself a law on them.
    truth = QUARTIC.law(TILTED, NODES)
    index = np.random.default_rng(0).choice(len(NODES), size=(2, 500), p=truth.mass)
    found = estimate_all(estimator, NODES[index])
    for row, estimate in zip(index, found, strict=True):
        empirical = GridLaw(NODES, np.bincount(row, minlength=len(NODES)) / 500)
        root = population_minimiser(theory, empirical, start=TILTED)
        np.testing.assert_allclose(estimate, root, rtol=1e-8)


def estimates_of_known_efficiency(num_data_sets, share, seed):
    """Estimates with `1 / share` times the least covariance, and the best from the same data."""
    information = QUARTIC.information(TILTED, NODES)
    root = np.linalg.cholesky(np.linalg.inv(information) / 5000)
    best, rest = np.random.default_rng(seed).normal(size=(2, num_data_sets, 3)) @ root.T
    return TILTED + best + np.sqrt(1 / share - 1) * rest, TILTED + best, information


@pytest.mark.parametrize("share", [0.15, 0.9])
@pytest.mark.parametrize("controlled", [False, True])
def test_a_known_efficiency_is_found(share, controlled):
    estimates, best, information = estimates_of_known_efficiency(4000, share, 2)
    found = measured_efficiency(
        estimates, TILTED, information, 5000, control=best if controlled else None
    )
    assert found.num_data_sets == 4000
    assert abs(found.errors_from(share)) < CRITICAL
    # An efficiency 15% off is seen: the error is 1.3% without a control.
    assert abs(found.errors_from(0.85 * share)) > CRITICAL


def test_maximum_likelihood_as_a_control_sharpens_what_nearly_equals_it():
    estimates, best, information = estimates_of_known_efficiency(2000, 0.98, 3)
    plain = measured_efficiency(estimates, TILTED, information, 5000)
    controlled = measured_efficiency(estimates, TILTED, information, 5000, control=best)
    assert controlled.error < 0.4 * plain.error


def test_the_stated_error_is_the_spread_of_repetitions():
    found = [
        measured_efficiency(estimates, TILTED, information, 5000)
        for estimates, _, information in (
            estimates_of_known_efficiency(500, 0.5, seed) for seed in range(300)
        )
    ]
    spread = np.std([each.value for each in found])
    stated = np.mean([each.error for each in found])
    # The spread of 300 has a relative error of 1 / sqrt(600); a factor of 2 would be 12 such errors.
    assert abs(spread / stated - 1) < CRITICAL / np.sqrt(600)


def test_estimates_that_are_not_finite_are_refused():
    data = np.ones((4, 10))
    data[1] = np.nan
    with pytest.raises(ValueError, match="must give finite estimates; 1 data sets gave none"):
        estimate_all(lambda x: jnp.mean(x)[None], data)


def test_an_estimator_may_take_more_than_the_data():
    data, noise = np.arange(20.0).reshape(5, 4), np.arange(5.0)
    found = estimate_all(
        lambda pair: jnp.mean(pair[0])[None] + pair[1], (data, noise), batch_size=2
    )
    np.testing.assert_allclose(found[:, 0], 1.5 + 5 * noise)


@pytest.mark.slow
def test_a_thousand_data_sets_reproduce_the_theory():
    """Power: an efficiency of either estimator that is 35% off is refused with probability 99%."""
    size, information = 5000, QUARTIC.information(BEST, NODES)
    data = draw_data_sets(QUARTIC.law(BEST, FINE), jax.random.key(0), 1000, size)
    best = estimate_all(maximum_likelihood_estimator(QUARTIC, BEST, NODES), data)
    assert abs(measured_efficiency(best, BEST, information, size).errors_from(1.0)) < CRITICAL

    theory = well_specified_efficiency(ScoreMatching(QUARTIC), BEST, NODES).overall
    estimator = score_matching_estimator(QUARTIC)
    found = measured_efficiency(
        estimate_all(estimator, data), BEST, information, size, control=best
    )
    assert abs(found.errors_from(theory)) < CRITICAL

    # An estimator that leaves half of the data out cannot pass for the one that uses it all.
    half = estimate_all(lambda x: estimator(x[: size // 2]), data)
    planted = measured_efficiency(half, BEST, information, size, control=best)
    assert abs(planted.errors_from(theory)) > CRITICAL
