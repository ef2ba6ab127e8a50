"""Confidence intervals for the logarithm of a mean of positive, skewed weights."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

_REPLICATES = 1_000
# Replicates hold at most so many weights; quantiles then approach those of the normal law as n^(-1/2).
_LARGEST_REPLICATE = 400
_PRIOR_COUNT = 20  # weight of a prior that log weights are not skewed
_LARGEST_TAIL = 0.95  # a gamma law of log weights with a scale of 1 has weights without a mean
_DISAGREEMENT = 2.0  # standard errors


def log_mean(log_weights: Float[np.ndarray, "*batch n"]) -> tuple[Any, Any]:
    """Logarithm of the mean of weights along the last axis, and its standard error by the delta method."""
    largest = np.max(log_weights, axis=-1, keepdims=True)
    weights = np.exp(log_weights - largest)
    mean = np.mean(weights, axis=-1)
    count = log_weights.shape[-1]
    error = np.std(weights, axis=-1, ddof=1) / (np.sqrt(count) * mean)
    return largest[..., 0] + np.log(mean), error


def log_mean_interval(log_weights: Float[np.ndarray, " n"], level: float) -> tuple[float, float]:
    r"""Interval for $\log E[w]$ by a smoothed, studentised bootstrap.

    The delta method takes $t = (\log \bar w - \log E[w]) / s$ for normal. But skewed weights give too
    small a mean together with too small an error: $t$ has a long left tail, and the interval misses
    from below. Here the quantiles of $t$ come from replicates. Resampling the weights themselves would
    know of no weight larger than those seen, so replicates are drawn from a law fitted to the *log*
    weights: a shifted gamma law with their variance and skewness, of either sign. Normal log weights are
    its limit; its weights have a tail of Pareto's form if it leans right, and $E[w]$ in closed form. It
    is exact for the work of quadratic energies. Variance and skewness vary from one replicate to the
    next as far as $n$ weights leave them uncertain.

    Where the fitted law disagrees with the mean by more than two standard errors, it does not describe the
    weights, and replicates resample them.

    Args:
        log_weights: Logarithms of at least two independent weights; $-\infty$ where a weight is 0.
        level: Probability that the interval is to cover $\log E[w]$.

    Returns:
        Lower and upper end. The random numbers are always the same, so weights determine them.

    References:
        P. Hall (1988). Theoretical comparison of bootstrap confidence intervals. *Annals of
        Statistics* 16(3).
    """
    estimate, error = (float(value) for value in log_mean(log_weights))
    if not error > 0:
        return estimate, estimate
    count = len(log_weights)
    size = min(count, _LARGEST_REPLICATE)
    rng = np.random.default_rng(0)
    finite = log_weights[np.isfinite(log_weights)]
    fitted = _fitted(rng, finite, len(finite) / count, size) if len(finite) > 2 else None
    if fitted is None or abs(fitted[2] - estimate) > _DISAGREEMENT * error:
        replicates = log_weights[rng.integers(0, count, (_REPLICATES, size))]
        replicates[~np.isfinite(replicates).any(axis=1)] = log_weights[:size]
        truth = np.full(_REPLICATES, estimate)
    else:
        replicates, truth, _ = fitted
    replicate, replicate_error = log_mean(replicates)
    studentised = (replicate - truth)[replicate_error > 0] / replicate_error[replicate_error > 0]
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    normal = stats.norm.ppf(ends)
    quantiles = normal + (np.quantile(studentised, ends) - normal) * np.sqrt(size / count)
    return float(estimate - quantiles[1] * error), float(estimate - quantiles[0] * error)


def _fitted(
    rng: np.random.Generator, log_weights: Float[np.ndarray, " n"], share: float, size: int
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Replicates of log weights from shifted gamma laws, their log means, and that of the fit.

    A share of the weights may be 0; so are as many of each replicate, on average.
    """
    count = len(log_weights)
    centre, spread = float(np.mean(log_weights)), float(np.std(log_weights, ddof=1))
    if not spread > 0:
        return None
    skewness = float(stats.skew(log_weights)) * count / (count + _PRIOR_COUNT)
    spreads = spread * np.sqrt((count - 1) / rng.chisquare(count - 1, _REPLICATES))
    # Twice the uncertainty under normal log weights: that of a skewed law is larger.
    skews = skewness + 2 * np.sqrt(6 / (count + _PRIOR_COUNT)) * rng.standard_normal(_REPLICATES)
    shape, scale = _gamma(spreads, skews)
    draws = scale[:, None] * (
        rng.standard_gamma(shape[:, None], (_REPLICATES, size)) - shape[:, None]
    )
    draws = centre + draws
    if share < 1:
        draws[rng.random(draws.shape) >= share] = -np.inf
        draws[~np.isfinite(draws).any(axis=1), 0] = centre
    offset = centre + np.log(share)
    fit = offset + float(_log_mgf(*_gamma(np.array([spread]), np.array([skewness])))[0])
    return draws, offset + _log_mgf(shape, scale), fit


def _gamma(spread: np.ndarray, skewness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale, negative for a left tail, of the gamma law with a deviation and a skewness."""
    # Nearer to zero than this the law is as good as normal, and its shape overflows nothing.
    skewness = np.where(np.abs(skewness) < 0.01, 0.01, skewness)
    shape = 4 / skewness**2
    return shape, np.minimum(0.5 * spread * skewness, _LARGEST_TAIL)


def _log_mgf(shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log of the mean of exp(x), for x gamma and centred."""
    return -shape * (np.log1p(-scale) + scale)
