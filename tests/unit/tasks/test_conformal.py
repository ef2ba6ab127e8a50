"""Conformal p-values: exact laws of ranks, and alarms on digits."""

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given
from scipy import stats
from sklearn.datasets import load_digits

from ebm_ppl.energies import Gaussian
from ebm_ppl.tasks import (
    anomaly_score,
    conformal_p_values,
    conformal_threshold,
    false_alarm_rate,
)

with_ties = st.lists(st.integers(-3, 3).map(float) | st.just(np.inf), min_size=1, max_size=12)


@pytest.mark.parametrize("num", [1, 2, 19, 100])
def test_ranks_of_exchangeable_scores_are_uniform(num):
    """Each of n + 1 points in turn is the new one: an exact statement, without chance."""
    values = np.random.default_rng(0).permutation(num + 1) ** 3.0
    p = [conformal_p_values(values[i : i + 1], np.delete(values, i))[0] for i in range(num + 1)]
    np.testing.assert_array_equal(np.sort(p), np.arange(1, num + 2) / (num + 1))


@given(values=st.lists(st.integers(0, 4), min_size=2, max_size=12), level=st.floats(0.01, 0.99))
def test_with_ties_no_more_than_a_share_of_exchangeable_scores_alarms(values, level):
    scores = np.array(values, float)
    p = [conformal_p_values(scores[i : i + 1], np.delete(scores, i))[0] for i in range(len(scores))]
    assert np.mean(np.array(p) <= level) <= level


@given(scores=with_ties, calibration=with_ties)
def test_p_values_count_what_is_as_high(scores, calibration):
    counts = [sum(c >= s for c in calibration) for s in scores]
    expected = (1 + np.array(counts)) / (len(calibration) + 1)
    np.testing.assert_array_equal(conformal_p_values(scores, calibration), expected)


@given(scores=st.tuples(*[st.integers(-3, 3).map(float)] * 4), calibration=with_ties)
def test_broken_ties_lie_between_those_of_no_and_of_full_count(scores, calibration):
    p = conformal_p_values(scores, calibration, rng_key=jax.random.key(0))
    higher = [sum(c > s for c in calibration) for s in scores]
    assert np.all(p >= np.array(higher) / (len(calibration) + 1))
    assert np.all(p <= conformal_p_values(scores, calibration))


def test_broken_ties_make_p_values_uniform():
    """Kolmogorov-Smirnov at 1e-6; three values in each calibration set, so that most scores are ties."""
    draws = np.random.default_rng(1).integers(0, 3, (500, 10)).astype(float)
    keys = jax.random.split(jax.random.key(2), len(draws))
    p = [
        conformal_p_values(row[:1], row[1:], rng_key=key)[0]
        for row, key in zip(draws, keys, strict=True)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-6
    in_full = [conformal_p_values(row[:1], row[1:])[0] for row in draws]
    assert stats.kstest(in_full, "uniform").pvalue < 1e-6  # what the test sees


@given(calibration=with_ties, level=st.floats(0.01, 0.99))
def test_scores_above_the_threshold_are_those_with_a_small_p_value(calibration, level):
    scores = np.array([-4.0, -0.5, *range(-3, 4), 9.0])
    alarms = conformal_p_values(scores, calibration) <= level
    np.testing.assert_array_equal(scores > conformal_threshold(calibration, level), alarms)


def test_levels_that_are_ranks_raise_alarms_for_that_many_ranks():
    for num in (1, 2, 6, 12, 99, 100, 499):
        ranks = np.arange(1, num + 1)
        found = [false_alarm_rate(num, rank / (num + 1)).rank for rank in ranks]
        np.testing.assert_array_equal(found, ranks)


def test_the_number_of_false_alarms_is_beta_binomial():
    """A chi-squared test at 1e-6 over 4,000 calibration sets of 39 scores and 20 new ones."""
    rng = np.random.default_rng(3)
    rate = false_alarm_rate(39, 0.1)
    counts = np.zeros(21)
    for _ in range(4000):
        scores = rng.normal(size=59)
        counts[np.sum(conformal_p_values(scores[:20], scores[20:]) <= 0.1)] += 1
    expected = 4000 * np.exp(rate.num_alarms(20).log_prob(np.arange(21.0)))
    assert _chi_squared(counts, expected) > 1e-6
    shifted = 4000 * stats.betabinom(20, rate.rank + 1, 39 - rate.rank).pmf(np.arange(21))
    assert _chi_squared(counts, shifted) < 1e-6  # what a rank off by one would come to


def _chi_squared(counts, expected):
    """P-value with cells of fewer than ten expected counts pooled into the last."""
    few = expected < 10
    pooled = [np.append(cells[~few], cells[few].sum()) for cells in (counts, expected)]
    return stats.chisquare(*pooled, sum_check=False).pvalue


def test_the_law_of_the_rate():
    rate = false_alarm_rate(499, 0.05)
    law = stats.beta(25, 475)
    assert rate.rank == 25
    assert rate.mean == pytest.approx(law.mean())
    assert rate.standard_deviation == pytest.approx(law.std())
    assert rate.interval(0.9) == pytest.approx(law.interval(0.9))
    none = false_alarm_rate(10, 0.05)
    assert none.rank == 0
    assert none.interval() == (0.0, 0.0)
    assert float(none.num_alarms(5).log_prob(0.0)) == 0.0
    assert conformal_threshold(np.arange(10.0), 0.05) == np.inf


def test_five_percent_of_held_out_digits_raise_an_alarm_and_noise_always_does():
    """Means over 40 splits of the digits lie within 1.5% of 5%.

    One split has a standard deviation of 1.2%, the mean of independent splits one of 0.2%: a bound of seven
    of these leaves room for what splits of one data set share.
    """
    images = load_digits().data / 8.0 - 1.0
    rng = np.random.default_rng(4)
    rates, on_noise, naive = [], [], []
    for _ in range(40):
        train, calibration, new = np.split(images[rng.permutation(len(images))], [600, 1199])
        covariance = np.cov(train.T) + 0.05 * np.eye(64)
        energy = Gaussian(train.mean(axis=0), covariance)
        held_out = anomaly_score(energy, calibration)
        p = conformal_p_values(anomaly_score(energy, new), held_out)
        rates.append(np.mean(p <= 0.05))
        noise = anomaly_score(energy, rng.uniform(-1.0, 1.0, (100, 64)))
        on_noise.append(np.mean(conformal_p_values(noise, held_out) <= 0.05))
        seen = anomaly_score(energy, train)  # which it was trained on
        naive.append(np.mean(conformal_p_values(anomaly_score(energy, new), seen) <= 0.05))
    assert np.mean(rates) == pytest.approx(0.05, abs=0.015)
    assert np.mean(on_noise) == 1.0
    assert np.mean(naive) > 0.07


@pytest.mark.parametrize(
    ("scores", "calibration", "message"),
    [
        ([[1.0]], [1.0], "`scores` of shape"),
        ([], [1.0], "num >= 1"),
        ([1.0], [], "`calibration_scores` of shape"),
        ([np.nan, 1.0], [1.0], "`scores` must hold no NaN; got 1 among 2"),
        (["a"], [1.0], "`scores` must be an array of numbers"),
    ],
)
def test_what_is_no_score_is_refused(scores, calibration, message):
    with pytest.raises(ValueError, match=message):
        conformal_p_values(scores, calibration)


def test_bounds_of_the_law():
    with pytest.raises(ValueError, match="`level` must be a number in"):
        false_alarm_rate(10, 1.0)
    with pytest.raises(ValueError, match="`num_calibration` must be an integer"):
        false_alarm_rate(0, 0.05)
    with pytest.raises(ValueError, match="`level` must be a number in"):
        conformal_threshold([1.0], 0.0)
    with pytest.raises(ValueError, match="`probability` must be a number in"):
        false_alarm_rate(10, 0.5).interval(1.0)
