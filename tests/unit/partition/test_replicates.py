"""Replicates of weights: each has the moments and the mean of the law from which it says to be drawn.

Random numbers are those of fixed seeds. Tolerances are six standard errors or more, of 500 replicates of 400
weights; what a term or a sign would change is said in each test.
"""

import numpy as np
import pytest
from scipy import special, stats

from ebm_ppl.partition import _replicates
from ebm_ppl.partition._interval import log_mean_interval
from ebm_ppl.partition._pareto import fit_tail
from ebm_ppl.partition._replicates import log_mean

COUNT = 400


def rng():
    return np.random.default_rng(5)


def gamma_log_weights(skewness, spread=0.4, count=COUNT, centre=-1.0):
    """Quantiles of a shifted gamma law, which have its moments almost."""
    shape = 4 / skewness**2
    levels = (np.arange(count) + 0.5) / count
    standard = (stats.gamma.ppf(levels, shape) - shape) / np.sqrt(shape)
    return centre + spread * np.sign(skewness) * standard


def gamma_replicates(skewness, share):
    """The finite log weights, those of weights that are 0, and replicates of both."""
    finite = gamma_log_weights(skewness)
    nothing = np.full(round(COUNT * (1 / share - 1)), -np.inf)
    found = _replicates._gamma_replicates(rng(), np.concatenate([finite, nothing]))
    assert found is not None
    return finite, nothing, found


def test_the_mean_of_weights_and_its_error():
    weights = np.array([1.0, 2.0, 4.0, 5.0])
    mean, error = log_mean(np.log(weights) + 700.0)
    assert mean == pytest.approx(np.log(3.0) + 700.0)
    assert error == pytest.approx(stats.sem(weights) / 3.0)


@pytest.mark.parametrize("skewness", [-1.0, 0.5])
@pytest.mark.parametrize("share", [1.0, 0.75])
def test_gamma_replicates_have_the_moments_of_the_weights(skewness, share):
    """All three moments, within what their uncertainty allows; one weight in four is 0 if the share is so."""
    finite, _, found = gamma_replicates(skewness, share)
    draws = found.log_weights
    assert np.mean(np.isfinite(draws)) == pytest.approx(share, abs=0.006)
    values = draws[np.isfinite(draws)]
    assert np.mean(values) == pytest.approx(-1.0, abs=0.01)
    assert np.std(values) == pytest.approx(0.4, rel=0.03)
    shrunk = stats.skew(finite) * COUNT / (COUNT + 20)
    assert stats.skew(values) == pytest.approx(shrunk, abs=0.15)
    # Deviations of replicates vary as those of 400 normal numbers do, twice: by the law and by the draws.
    deviations = np.array([np.std(row[np.isfinite(row)]) for row in draws])
    assert 0.3 / np.sqrt(COUNT) < np.std(deviations) < 0.6 / np.sqrt(COUNT * share)
    skews = np.array([stats.skew(row[np.isfinite(row)]) for row in draws])
    assert 2 * np.sqrt(6 / COUNT) < np.std(skews) < 4.5 * np.sqrt(6 / COUNT)


@pytest.mark.parametrize("skewness", [-1.0, 0.5])
@pytest.mark.parametrize("share", [1.0, 0.75])
def test_gamma_replicates_know_the_mean_of_their_own_law(skewness, share):
    finite, nothing, found = gamma_replicates(skewness, share)
    means, errors = log_mean(found.log_weights)
    gaps = (means - found.truth) / errors
    assert abs(np.mean(gaps)) < 0.35  # skewed weights have a mean gap below 0
    assert 0.85 < np.std(gaps) < 1.25
    assert np.mean(found.truth) == pytest.approx(found.fit, abs=0.02)
    assert 0.003 < np.std(found.truth) < 0.03  # skewness and deviation are not known exactly
    # E[w] of the fitted law in closed form, at the shrunk skewness.
    shrunk = stats.skew(finite) * COUNT / (COUNT + 20)
    scale = 0.5 * np.std(finite, ddof=1) * shrunk
    log_mgf = -4 / shrunk**2 * (np.log1p(-scale) + scale)
    assert found.fit == pytest.approx(
        np.mean(finite) + np.log(COUNT / (COUNT + len(nothing))) + log_mgf, rel=1e-9
    )


@pytest.mark.parametrize(("count", "doubt"), [(10, np.sqrt(6 / 20)), (400, 2 * np.sqrt(6 / 420))])
def test_skewness_is_doubted_as_much_as_weights_are_few(count, doubt, monkeypatch):
    """50,000 replicates know the deviation of their skewness to 0.3%."""
    seen = []
    plain = _replicates._gamma
    monkeypatch.setattr(_replicates, "_REPLICATES", 50_000)
    monkeypatch.setattr(_replicates, "_gamma", lambda s, k: seen.append(k) or plain(s, k))
    monkeypatch.setattr(_replicates, "replicate_size", lambda _: 2)
    _replicates._gamma_replicates(rng(), gamma_log_weights(0.5, count=count))
    assert np.std(seen[0]) == pytest.approx(doubt, rel=0.02)


def test_a_gamma_law_without_skewness_is_normal():
    shape, scale = _replicates._gamma(np.array([0.5]), np.array([0.0]))
    assert _replicates._log_mgf(shape, scale)[0] == pytest.approx(0.125, rel=0.01)
    # A tail without a mean is cut short of it.
    _, scale = _replicates._gamma(np.array([4.0]), np.array([2.0]))
    assert scale[0] == pytest.approx(0.95)


def test_pareto_replicates_keep_the_body_and_the_mean_of_the_tail():
    log_weights = 1.5 * special.ndtri((np.arange(COUNT) + 0.5) / COUNT)
    found, tail = _replicates._pareto_replicates(rng(), log_weights), fit_tail(log_weights)
    assert found is not None
    assert tail is not None
    weights = np.exp(found.log_weights - log_weights.max())
    in_tail = weights > tail.threshold * (1 + 1e-12)
    assert in_tail.mean() == pytest.approx(len(tail.excess) / COUNT, abs=0.005)
    body = np.exp(log_weights - log_weights.max())
    body = body[body <= tail.threshold * (1 + 1e-12)]
    assert np.all(np.isin(np.round(weights[~in_tail], 12), np.round(body, 12)))
    # By medians of replicates, since the largest excess has hardly a variance.
    excess = np.array(
        [np.mean(row[t] - tail.threshold) for row, t in zip(weights, in_tail, strict=True)]
    )
    assert np.median(excess) == pytest.approx(np.mean(tail.excess), rel=0.15)
    assert found.fit == pytest.approx(float(log_mean(log_weights)[0]))
    np.testing.assert_allclose(found.truth, found.fit)


def test_a_tail_begins_above_the_weight_below_it():
    log_weights = np.random.default_rng(0).permutation(gamma_log_weights(-1.0)) + 300.0
    weights = np.exp(np.sort(log_weights) - np.max(log_weights))
    tail = fit_tail(log_weights)
    assert tail is not None
    assert len(tail.excess) == 60  # 3 sqrt(400)
    assert tail.threshold == pytest.approx(weights[-61])
    np.testing.assert_allclose(tail.threshold + tail.excess, weights[-60:])


def test_the_shape_of_a_tail_varies_as_far_as_it_is_uncertain(monkeypatch):
    """Replicates of one weight each, drawn at the median: the excess is that of the shape alone."""
    log_weights = 1.5 * special.ndtri((np.arange(COUNT) + 0.5) / COUNT)
    tail = fit_tail(log_weights)
    assert tail is not None
    assert tail.shape_error == pytest.approx((1 + tail.shape) / np.sqrt(len(tail.excess) + 10))

    class Median(np.random.Generator):
        def integers(self, low, high, size):
            return np.full(size, high - 1)

        def standard_exponential(self, size):
            return np.full(size, np.log(2.0))

    found = _replicates._pareto_replicates(Median(np.random.PCG64(0)), log_weights)
    excess = np.exp(found.log_weights[:, 0] - log_weights.max()) - tail.threshold
    shapes = np.random.Generator(np.random.PCG64(0)).standard_normal((500, 1))[:, 0]
    shapes = np.clip(tail.shape + tail.shape_error * shapes, -0.9, 0.9)
    medians = np.mean(tail.excess) * (1 - shapes) * (2.0**shapes - 1) / shapes
    np.testing.assert_allclose(excess, medians, rtol=1e-6)


def test_resampled_weights_are_the_weights():
    log_weights = np.log(np.array([10.0] * 10 + [1e-3] * 90))
    found = _replicates._resampled(rng(), log_weights)
    assert set(np.unique(found.log_weights)) == set(np.unique(log_weights))
    assert np.mean(found.log_weights > 0) == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(found.truth, np.log(np.mean(np.exp(log_weights))))


@pytest.mark.parametrize(("spread", "below", "above"), [(0.3, 0.98, 1.17), (1.0, 0.83, 1.75)])
def test_intervals_are_as_wide_as_they_have_to_be(spread, below, above):
    """In exact half-widths, for 100 normal log weights: too small a mean comes with too small an error.

    Means of 200 widths have a standard error of at most 2.5%, so an end that is 15% off is seen.
    """
    runs = np.random.default_rng(6).normal(-(spread**2) / 2, spread, (200, 100))
    low, high = np.array([log_mean_interval(values, 0.95) for values in runs]).T
    exact = stats.norm.ppf(0.975) * np.sqrt(np.expm1(spread**2) / 100)
    assert np.mean(log_mean(runs)[0] - low) / exact == pytest.approx(below, rel=0.12)
    assert np.mean(high - log_mean(runs)[0]) / exact == pytest.approx(above, rel=0.12)
