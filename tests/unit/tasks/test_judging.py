"""Judges of draws, on laws where the value is known; tests at their levels, and with their power."""

import jax
import numpy as np
import pytest
from scipy import linalg, stats
from sklearn.linear_model import LogisticRegression

from ebm_ppl.tasks import (
    classifier_two_sample_test,
    frechet_distance,
    kernel_two_sample_test,
    precision_recall,
)
from ebm_ppl.tasks.classifier_two_sample import RIDGE, _logits
from ebm_ppl.tasks.kernel_two_sample import _squared_mmd

KEY = jax.random.key(0)
A_MILLIONTH = 1e-6


def normals(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def with_moments(mean, covariance, num):
    """Points whose sample mean and covariance are these."""
    points = normals(num, num, len(mean))
    points -= points.mean(axis=0)
    white = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def test_frechet_distance_of_fitted_normal_laws():
    first, second = np.diag([1.0, 4.0, 0.25]), np.diag([9.0, 4.0, 1.0])
    x, y = with_moments(np.zeros(3), first, 50), with_moments(np.arange(3.0), second, 60)
    assert frechet_distance(x, y).squared == pytest.approx(5.0 + 4.0 + 0.25)
    turn = linalg.expm(np.array([[0, 1.0, 0], [-1.0, 0, 0.5], [0, -0.5, 0]]))
    turned = turn @ second @ turn.T  # which does not commute with the first
    root = np.trace(linalg.sqrtm(first @ turned).real)
    expected = np.trace(first) + np.trace(turned) - 2 * root
    found = frechet_distance(x, with_moments(np.zeros(3), turned, 60))
    assert found.squared == pytest.approx(expected)
    assert found.distance == pytest.approx(np.sqrt(expected))


def test_frechet_distance_of_laws_on_a_plane_in_space():
    """Singular covariances, which a root of their product would spoil."""
    x = np.pad(with_moments(np.zeros(2), np.eye(2), 50), ((0, 0), (0, 3)))
    assert frechet_distance(x, x).squared == pytest.approx(0.0, abs=1e-12)
    assert frechet_distance(x, 2.0 * x).squared == pytest.approx(2.0)


def test_the_jackknife_sees_the_bias_of_equal_laws():
    """Over 100 pairs of samples, the bias is d (d + 5) / 2 n; five standard errors either way."""
    num, dim = 200, 4
    found = [
        frechet_distance(normals(seed, num, dim), normals(10_000 + seed, num, dim))
        for seed in range(100)
    ]
    squared, corrected = np.array([[one.squared, one.corrected] for one in found]).T
    known = dim * (dim + 5) / (2 * num)
    standard_error = squared.std() / np.sqrt(len(found))
    assert squared.mean() == pytest.approx(known, abs=5 * standard_error + 0.02 * known)
    assert corrected.mean() == pytest.approx(0.0, abs=5 * standard_error + 0.02 * known)
    assert squared.mean() > 10 * standard_error  # so a bias left in would be seen


def test_intervals_of_a_frechet_distance_cover():
    """200 runs: fewer of the 95% intervals would cover in one of a million."""
    scale = np.array([1.0, 2.0, 0.5])
    truth = 1.0 + np.sum((scale - 1.0) ** 2)
    hits = 0
    for seed in range(200):
        x, y = normals(seed, 150, 3), normals(10_000 + seed, 100, 3) * scale + [1.0, 0.0, 0.0]
        low, high = frechet_distance(x, y, num_groups=10).interval
        hits += low <= truth <= high
    assert stats.binom(200, 0.95).cdf(hits) > A_MILLIONTH
    assert hits < 200  # as intervals far too wide would


def test_features_are_what_is_compared():
    x, y = normals(0, 60, 2, 2), normals(1, 50, 2, 2)
    first = frechet_distance(x, y, features=lambda images: images[:, 0])
    assert first.squared == pytest.approx(frechet_distance(x[:, 0], y[:, 0]).squared)


def test_the_statistic_of_the_kernel_test_is_that_of_its_formula():
    x, y = normals(0, 4, 2), normals(1, 5, 2)

    def kernel(a, b):
        square = np.sum((a - b) ** 2)
        return 0.5 * (np.exp(-square / 2) + np.exp(-square / 8))

    within = 2 * sum(kernel(a, b) for i, a in enumerate(x) for b in x[:i]) / 12
    within += 2 * sum(kernel(a, b) for i, a in enumerate(y) for b in y[:i]) / 20
    expected = within - 2 * sum(kernel(a, b) for a in x for b in y) / 20
    settings = {"rng_key": KEY, "num_permutations": 1}
    found = kernel_two_sample_test(x, y, bandwidths=[1.0, 2.0], **settings)
    assert found.squared_mmd == pytest.approx(expected)
    # Whole rows shift with the data, and the default follows their scale.
    first = kernel_two_sample_test(x, y, **settings)
    second = kernel_two_sample_test(10 * x, 10 * y, **settings)
    assert second.squared_mmd == pytest.approx(first.squared_mmd)
    median = np.median(
        [np.linalg.norm(a - b) for i, a in enumerate([*x, *y]) for b in [*x, *y][:i]]
    )
    scales = [0.25, 0.5, 1.0, 2.0, 4.0]
    np.testing.assert_allclose(first.bandwidths, np.multiply(median, scales))


def test_the_squared_discrepancy_of_normal_laws_is_met_on_average():
    """Mean over 400 pairs of samples, within five standard errors of the integral."""
    dim, shift = 2, 1.0
    found = [
        kernel_two_sample_test(
            normals(seed, 30, dim),
            normals(10_000 + seed, 20, dim) + np.array([shift, 0.0]),
            rng_key=KEY,
            bandwidths=1.0,
            num_permutations=1,
        ).squared_mmd
        for seed in range(400)
    ]
    # A difference of two points is N(., 2 I), and the kernel's mean under it is a ratio of normal densities.
    known = 2 * (1 / 3) ** (dim / 2) * (1 - np.exp(-(shift**2) / 6))
    assert np.mean(found) == pytest.approx(known, abs=5 * np.std(found) / 20)


@pytest.fixture(scope="module", params=["kernel", "nearest_neighbours", "logistic"])
def test_of(request):
    """A two-sample test with 19 permutations, whose p-values are multiples of 1/20."""

    def p_value(x, y, key):
        settings = {"rng_key": key, "num_permutations": 19}
        if request.param == "kernel":
            return kernel_two_sample_test(x, y, **settings).p_value
        return classifier_two_sample_test(x, y, classifier=request.param, **settings).p_value

    return p_value


def test_p_values_under_one_law_are_uniform_or_larger(test_of):
    """200 runs: as many p-values at most k/20 as a binomial law exceeds in one of a million runs."""
    keys = jax.random.split(jax.random.key(1), 200)
    p = np.array(
        [
            test_of(normals(seed, 20, 2), normals(10_000 + seed, 25, 2), key)
            for seed, key in enumerate(keys)
        ]
    )
    assert p.min() >= 1 / 20 - 1e-12
    for rank in (1, 2, 4, 10):
        assert stats.binom(200, rank / 20).sf(np.sum(p <= rank / 20 + 1e-9) - 1) > A_MILLIONTH
    # Discrete accuracies have ties, which cost power; not more than that.
    assert np.mean(p <= 0.5 + 1e-9) > 0.25


def test_p_values_see_a_shift(test_of):
    """Means 2 apart: all of 20 runs have the least p-value; each misses with probability below 1e-7."""
    keys = jax.random.split(jax.random.key(2), 20)
    p = [
        test_of(normals(seed, 60, 2), normals(10_000 + seed, 60, 2) + np.array([2.0, 0.0]), key)
        for seed, key in enumerate(keys)
    ]
    assert p == pytest.approx([1 / 20] * 20)


def test_a_difference_in_spread_is_seen_by_all_but_a_linear_classifier():
    x, y = normals(0, 300, 2), 2.0 * normals(1, 300, 2)
    neighbours = classifier_two_sample_test(x, y, rng_key=KEY, num_permutations=199)
    assert neighbours.p_value == pytest.approx(1 / 200)
    assert kernel_two_sample_test(x, y, rng_key=KEY, num_permutations=199).p_value < 0.01
    linear = classifier_two_sample_test(
        x, y, rng_key=KEY, classifier="logistic", num_permutations=199
    )
    assert linear.accuracy == pytest.approx(0.5, abs=0.1)


def test_the_accuracy_of_a_classifier_is_that_of_the_best_one():
    """Means 2 apart: the best accuracy is Phi(1); 2,000 points of each, five standard errors and 0.5%."""
    x, y = normals(0, 2000, 3), normals(1, 2100, 3) + np.array([2.0, 0.0, 0.0])
    found = classifier_two_sample_test(x, y, rng_key=KEY, classifier="logistic", num_permutations=1)
    best = stats.norm.cdf(1.0)
    assert found.num_points == 2000
    assert found.accuracy == pytest.approx(best, abs=5 * np.sqrt(best * (1 - best) / 4000) + 0.005)
    low, high = found.interval
    interval = stats.binomtest(round(found.accuracy * 4000), 4000).proportion_ci(0.95)
    assert (low, high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("classifier", ["nearest_neighbours", "logistic"])
def test_points_are_classified_by_what_was_trained_without_them(classifier):
    """Equal laws in 20 dimensions, 20 runs of 120 points: above a half by at most five standard errors."""
    found = [
        classifier_two_sample_test(
            normals(seed, 60, 20),
            normals(10_000 + seed, 60, 20),
            rng_key=KEY,
            classifier=classifier,
            num_permutations=1,
        ).accuracy
        for seed in range(20)
    ]
    assert np.mean(found) < 0.5 + 5 * 0.5 / np.sqrt(20 * 120)


def test_logistic_regression_is_that_of_scikit_learn():
    x = normals(0, 80, 3)
    x = np.concatenate([x, np.ones((80, 1))], axis=1)
    labels = (x[:, 0] + 0.7 * normals(1, 80) > 0.3).astype(float)
    logits = _logits(x.astype(np.float32), labels[None].astype(np.float32), x.astype(np.float32))[0]
    known = LogisticRegression(C=1 / (RIDGE * 80), tol=1e-8).fit(x[:, :3], labels)
    np.testing.assert_allclose(logits, known.decision_function(x[:, :3]), atol=2e-3)


def test_precision_and_recall_are_those_of_their_formula():
    x, y = normals(0, 12, 2), normals(1, 15, 2)

    def share(points, about, k):
        radii = [sorted(np.linalg.norm(about - a, axis=1))[k] for a in about]
        inside = [
            any(np.linalg.norm(p - a) <= r for a, r in zip(about, radii, strict=True))
            for p in points
        ]
        return np.mean(inside)

    for k in (1, 3):
        found = precision_recall(x, y, k=k)
        assert (found.precision, found.recall) == (share(y, x, k), share(x, y, k))


def test_half_a_law_is_precise_and_far_away_is_neither():
    rng = np.random.default_rng(0)
    real = rng.uniform(0.0, 1.0, (1500, 1))
    half = precision_recall(real, rng.uniform(0.0, 0.5, (1500, 1)), k=5)
    assert half.precision > 0.9
    assert half.recall == pytest.approx(0.5, abs=0.08)
    low, high = half.recall_interval
    assert low < half.recall < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 1500), rel=0.1)
    far = precision_recall(real, real + 5.0)
    assert (far.precision, far.recall) == (0.0, 0.0)
    assert far.precision_interval[0] == 0.0


def test_equal_laws_on_the_line_overlap_by_three_quarters():
    """Gaps between many points are exponential, and a point in a gap g is missed by the balls of both ends
    with probability E[(1 - exp(-u g)) (1 - exp(-(1 - u) g))] = 1/4, g size-biased; 20 runs, five standard
    errors.
    """
    rng = np.random.default_rng(1)
    found = [
        precision_recall(rng.uniform(size=(600, 1)), rng.uniform(size=(600, 1)), k=1)
        for _ in range(20)
    ]
    shares = np.array([[one.precision, one.recall] for one in found]).ravel()
    error = 5 * shares.std() / np.sqrt(len(found))  # the two of a run depend on each other
    assert shares.mean() == pytest.approx(0.75, abs=error + 0.003)
    assert error < 0.04


X = normals(0, 40, 2)


@pytest.mark.parametrize(
    ("judge", "arguments", "message"),
    [
        (
            frechet_distance,
            (X[:39], X),
            r"`x` of shape \(num, \*event_shape\) with num >= 40; got \(39",
        ),
        (frechet_distance, (X, X[:, :1]), r"one shape; got \(2,\) and \(1,\)"),
        (frechet_distance, (X, X * np.nan), "`y` must be finite"),
        (precision_recall, (X[:3], X), "`real` of shape .* num >= 4"),
        (precision_recall, (X, 1.0), "`draws` of shape"),
    ],
)
def test_samples_that_cannot_be_judged_are_refused(judge, arguments, message):
    with pytest.raises(ValueError, match=message):
        judge(*arguments)


@pytest.mark.parametrize(
    ("judge", "settings", "message"),
    [
        (frechet_distance, {"num_groups": 1}, "`num_groups` must be an integer"),
        (frechet_distance, {"confidence": 1.0}, "`confidence` must be a number"),
        (
            frechet_distance,
            {"features": lambda x: x[0]},
            r"map 40 points to an array of shape \(40",
        ),
        (frechet_distance, {"features": lambda x: x / 0.0 * 0.0}, "`features` must be finite"),
        (precision_recall, {"k": 0}, "`k` must be an integer"),
        (
            kernel_two_sample_test,
            {"rng_key": jax.random.split(KEY)},
            "`rng_key` must be one random key",
        ),
        (
            kernel_two_sample_test,
            {"rng_key": KEY, "bandwidths": [1.0, -1.0]},
            "`bandwidths` must be",
        ),
        (kernel_two_sample_test, {"rng_key": KEY, "num_permutations": 0}, "`num_permutations`"),
        (
            kernel_two_sample_test,
            {"rng_key": KEY, "features": np.zeros_like},
            "`bandwidths` must be g",
        ),
        (classifier_two_sample_test, {"rng_key": KEY, "num_folds": 1}, "`num_folds` must be"),
        (classifier_two_sample_test, {"rng_key": KEY, "num_folds": 21}, "num >= 42"),
        (
            classifier_two_sample_test,
            {"rng_key": KEY, "classifier": "tree"},
            "`classifier` must be",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_settings_out_of_bounds_are_refused(judge, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        judge(X, X, **settings)


def test_splits_that_are_equal_but_for_rounding_count_as_equal():
    kernel = np.full((4, 4), 0.1)
    np.fill_diagonal(kernel, 0.0)
    splits = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    assert _squared_mmd(kernel, splits) == pytest.approx([0.0, 0.0], abs=1e-15)
