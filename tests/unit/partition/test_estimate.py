"""Estimates from weights: the tail's shape, the interval, what is refused and what is warned of."""

import math
import sys
import warnings

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.partition import (
    HeavyTailWarning,
    SmallSampleWarning,
    estimate_from_log_weights,
    pareto_k,
)
from ebm_ppl.partition._interval import log_mean, log_mean_interval


def normal_weights(count, spread, seed=0):
    """Log weights of mean weight 1."""
    return np.random.default_rng(seed).normal(-(spread**2) / 2, spread, count)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="ArviZ 1.x has no function `psislw`")
@pytest.mark.parametrize("count", [25, 400, 10_000])
@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_the_tail_is_that_of_arviz(count, spread):
    import arviz as az

    log_weights = normal_weights(count, spread)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = float(az.psislw(log_weights.copy(), 1.0)[1])
    assert pareto_k(log_weights) == pytest.approx(expected, rel=1e-9)


def test_few_or_equal_weights_have_no_tail():
    assert math.isnan(pareto_k(np.zeros(20)))
    assert pareto_k(np.zeros(21)) == -math.inf
    assert pareto_k(np.array([0.0] * 10 + [-math.inf] * 90)) == -math.inf


def test_weights_that_hardly_vary_have_the_interval_of_students_t():
    count = 12
    values = normal_weights(count, 1e-4, seed=1)
    low, high = log_mean_interval(values, 0.9)
    estimate, error = log_mean(values)
    half_width = stats.t.ppf(0.95, count - 1) * error
    # Quantiles from 1,000 replicates have a standard error of about 5%.
    assert high - estimate == pytest.approx(half_width, rel=0.25)
    assert estimate - low == pytest.approx(half_width, rel=0.25)


def test_the_skewness_of_a_mean_vanishes_with_the_number_of_weights():
    """As n^(-1/2), though replicates hold 400 weights at most; a wrong power is off by a factor of ten."""
    values = normal_weights(40_000, 1.5, seed=3)
    estimate, error = log_mean(values)
    low, high = (np.array(log_mean_interval(values, 0.95)) - estimate) / (1.96 * error)
    assert -1.0 < low < -0.9
    assert 1.0 < high < 1.2


@given(st.integers(2, 60), st.floats(0.05, 2.0), st.floats(-500.0, 500.0), st.integers(0, 10))
def test_a_factor_shifts_everything_and_nothing_else(count, spread, shift, seed):
    values = normal_weights(count, spread, seed)
    here, there = (
        np.array(log_mean_interval(log_weights, 0.95)) - offset
        for log_weights, offset in ((values, 0.0), (values + shift, shift))
    )
    np.testing.assert_allclose(there, here, atol=1e-8)
    low, high = here
    assert low <= log_mean(values)[0] <= high
    inner = log_mean_interval(values, 0.5)
    assert low <= inner[0] <= inner[1] <= high


def coverage(interval, num_runs=600):
    """Share of intervals that cover, and of those that lie below the truth, for heavy weights."""
    runs = normal_weights((num_runs, 100), 1.4, seed=2)
    ends = np.array([interval(values) for values in runs])
    return np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)), np.mean(ends[:, 1] < 0)


@pytest.mark.slow
def test_heavy_weights_are_covered_where_the_delta_method_misses():
    """False-alarm rate below 1e-8 at a coverage of 0.94; an interval that covers 0.83 is seen.

    The planted bug is the delta method at the error of half as many weights.
    """

    def delta(values):
        estimate, error = log_mean(values)
        return estimate - 1.96 * error, estimate + 1.96 * error

    fewest = stats.binom.ppf(1e-8, 600, 0.94) / 600
    ours, missed_below = coverage(lambda values: log_mean_interval(values, 0.95))
    assert ours >= fewest
    assert missed_below < coverage(delta)[1]
    assert coverage(lambda values: (delta(values)[0], sum(delta(values)) / 2))[0] < fewest


def test_where_no_gamma_law_fits_the_weights_are_resampled():
    # One in ten weights is 10, the others are 1e-3: a fit to log weights expects weights of 1e4.
    values = np.log(np.array([10.0] * 10 + [1e-3] * 90))
    low, high = log_mean_interval(values, 0.95)
    estimate, error = log_mean(values)
    assert 2 * 1.5 * error < high - low < 2 * 3 * error
    assert estimate - low > 0 < high - estimate


def test_weights_may_be_zero():
    values = np.where(np.arange(200) % 4 == 0, -np.inf, normal_weights(200, 0.5))
    estimate = estimate_from_log_weights(values)
    assert estimate.log_z == pytest.approx(np.log(np.exp(values).mean()))
    low, high = estimate.interval
    assert low < np.log(0.75) < high
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallSampleWarning)
        single = estimate_from_log_weights(np.array([0.0] + [-np.inf] * 9))
    assert single.log_z == pytest.approx(np.log(0.1))
    assert single.interval is None


def test_equal_weights_leave_nothing_open():
    estimate = estimate_from_log_weights(np.full(50, 3.0))
    assert (estimate.log_z, estimate.std_error, estimate.interval) == (3.0, 0.0, (3.0, 3.0))
    assert estimate.ess == 50


@pytest.mark.parametrize("count", [30, 1000])
def test_a_heavy_tail_has_no_interval(count):
    values = np.random.default_rng(0).exponential(1.5, count)  # weights with a tail of shape 1.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimate = estimate_from_log_weights(values)
    assert HeavyTailWarning in {warning.category for warning in caught}
    assert estimate.interval is None
    assert estimate.diagnostics["pareto_k"] > 0.7
    assert str(estimate).endswith("no interval")


def test_few_weights_have_an_interval():
    """Their tail has no shape, which is no reason to refuse."""
    estimate = estimate_from_log_weights(normal_weights(16, 0.5))
    assert math.isnan(estimate.diagnostics["pareto_k"])
    low, high = estimate.interval
    assert low < estimate.log_z < high


def test_one_weight_that_carries_everything_has_no_interval():
    with pytest.warns(SmallSampleWarning):
        estimate = estimate_from_log_weights(np.array([*np.zeros(100), 60.0]))
    assert estimate.interval is None


def test_few_weights_that_carry_everything_are_told_of():
    with pytest.warns(SmallSampleWarning, match=r"effective sample size is 5\.0, below 10"):
        estimate_from_log_weights(np.zeros(5))


@pytest.mark.parametrize(
    ("log_weights", "message"),
    [
        (np.array([0.0, np.nan]), "A weight is NaN or infinite"),
        (np.array([0.0, np.inf]), "A weight is NaN or infinite"),
        (np.full(3, -np.inf), "Every weight is 0"),
        (np.zeros(1), r"`log_weights` of shape \(n,\) with n >= 2; got \(1,\)"),
        (np.zeros((2, 2)), r"got \(2, 2\)"),
    ],
)
def test_refuses_weights_that_have_no_mean(log_weights, message):
    with pytest.raises(ValueError, match=message):
        estimate_from_log_weights(log_weights)


def test_an_estimate_normalises_a_distribution_and_is_a_pytree():
    estimate = estimate_from_log_weights(normal_weights(100, 0.1), diagnostics={"method": "test"})
    energy = ebm.energies.Quartic()
    law = ebm.EnergyDistribution(energy, log_z=estimate)
    assert float(law.log_prob(0.5)) == pytest.approx(-float(energy(0.5)) - estimate.log_z, abs=1e-6)
    assert jax.tree.map(lambda leaf: leaf, estimate).interval == estimate.interval
    assert estimate.diagnostics["method"] == "test"
