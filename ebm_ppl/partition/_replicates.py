"""Samples of weights such as another run might have given, from laws fitted to those of one run."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ebm_ppl.partition._pareto import fit_tail

_REPLICATES = 500
# Replicates hold at most so many weights; quantiles then approach those of the normal law as n^(-1/2).
_LARGEST_REPLICATE = 400
_PRIOR_COUNT = 20  # weight of a prior that log weights are not skewed
_LARGEST_TAIL = 0.95  # a gamma law of log weights with a scale of 1 has weights without a mean
_LARGEST_SHAPE = 0.9  # a Pareto law with a shape of 1 has no mean


@dataclasses.dataclass(frozen=True)
class Replicates:
    """Samples from a fitted law.

    Attributes:
        log_weights: The samples.
        truth: Logarithm of the mean of the law from which each was drawn.
        fit: Logarithm of the mean of the law fitted.
    """

    log_weights: Float[np.ndarray, "replicates size"]
    truth: Float[np.ndarray, " replicates"]
    fit: float


def studentised_replicates(
    log_weights: Float[np.ndarray, " n"], tolerance: float
) -> Iterator[Float[np.ndarray, " replicates"]]:
    r"""Studentised errors $(\log \bar w - \log E[w]) / s$ of replicates, for each law that fits.

    Args:
        log_weights: At least two independent log weights, not all equal; $-\infty$ where a weight is 0.
        tolerance: How far the mean of a fitted law may be from that of the weights, in standard errors.

    Yields:
        The errors, for the gamma law of log weights, then for the Pareto law of the largest weights.
        Where neither serves, for resampled weights.
    """
    rng = np.random.default_rng(0)
    estimate, error = (float(value) for value in log_mean(log_weights))
    is_served = False
    for fit in (_gamma_replicates, _pareto_replicates):
        fitted = fit(rng, log_weights)
        if fitted is None or abs(fitted.fit - estimate) > tolerance * error:
            continue
        is_served = True
        yield _studentised(fitted)
    if not is_served:
        yield _studentised(_resampled(rng, log_weights))


def replicate_size(count: int) -> int:
    """Number of weights of a replicate."""
    return min(count, _LARGEST_REPLICATE)


def log_mean(
    log_weights: Float[np.ndarray, "*batch n"],
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]:
    """Logarithm of the mean of weights along the last axis, and its standard error by the delta method."""
    largest = np.max(log_weights, axis=-1, keepdims=True)
    weights = np.exp(log_weights - largest)
    mean = np.mean(weights, axis=-1)
    count = log_weights.shape[-1]
    error = np.std(weights, axis=-1, ddof=1) / (np.sqrt(count) * mean)
    return np.asarray(largest[..., 0] + np.log(mean)), np.asarray(error)


def _studentised(sampled: Replicates) -> np.ndarray:
    mean, error = log_mean(sampled.log_weights)
    return (mean - sampled.truth)[error > 0] / error[error > 0]


def _resampled(rng: np.random.Generator, log_weights: np.ndarray) -> Replicates:
    """The weights themselves, drawn with replacement."""
    count, size = len(log_weights), replicate_size(len(log_weights))
    draws = log_weights[rng.integers(0, count, (_REPLICATES, size))]
    draws[~np.isfinite(draws).any(axis=1)] = log_weights[:size]
    estimate = float(log_mean(log_weights)[0])
    return Replicates(draws, np.full(_REPLICATES, estimate), estimate)


def _pareto_replicates(rng: np.random.Generator, log_weights: np.ndarray) -> Replicates | None:
    r"""Resampled weights, of which the largest are drawn anew from a generalised Pareto law.

    The law keeps the mean of the tail that was seen, $\sigma = \bar y (1 - k)$, and its shape varies from one
    replicate to the next as far as so many weights leave it uncertain.
    """
    tail = fit_tail(log_weights)
    if tail is None:
        return None
    count, size = len(log_weights), replicate_size(len(log_weights))
    first = count - len(tail.excess)
    largest = float(np.max(log_weights))
    weights = np.exp(np.sort(log_weights) - largest)
    shape = tail.shape + tail.shape_error * rng.standard_normal((_REPLICATES, 1))
    shape = np.clip(shape, -_LARGEST_SHAPE, _LARGEST_SHAPE)
    scale = np.mean(tail.excess) * (1 - shape)
    chosen = rng.integers(0, count, (_REPLICATES, size))
    excess = scale * np.expm1(shape * rng.standard_exponential(chosen.shape)) / shape
    draws = np.where(chosen < first, weights[chosen], tail.threshold + excess)
    mean = float(np.log(np.mean(weights))) + largest
    with np.errstate(divide="ignore"):
        values = np.log(draws) + largest
    values[~np.isfinite(values).any(axis=1), 0] = largest
    return Replicates(values, np.full(_REPLICATES, mean), mean)


def _gamma_replicates(rng: np.random.Generator, log_weights: np.ndarray) -> Replicates | None:
    """Log weights from shifted gamma laws; as many weights are 0, on average, as of those seen."""
    finite = log_weights[np.isfinite(log_weights)]
    count, size = len(finite), replicate_size(len(log_weights))
    share = count / len(log_weights)
    if count < 3 or not np.ptp(finite) > 0:
        return None
    centre, spread = float(np.mean(finite)), float(np.std(finite, ddof=1))
    skewness = (
        float(np.mean(((finite - centre) / np.std(finite)) ** 3)) * count / (count + _PRIOR_COUNT)
    )
    spreads = spread * np.sqrt((count - 1) / rng.chisquare(count - 1, _REPLICATES))
    # Twice the uncertainty under normal log weights, since that of a skewed law is larger, but no more than
    # the prior's.
    doubt = min(2 * np.sqrt(6 / (count + _PRIOR_COUNT)), np.sqrt(6 / _PRIOR_COUNT))
    skews = skewness + doubt * rng.standard_normal(_REPLICATES)
    shape, scale = _gamma(spreads, skews)
    draws = rng.standard_gamma(shape[:, None], (_REPLICATES, size)) - shape[:, None]
    draws = centre + scale[:, None] * draws
    if share < 1:
        draws[rng.random(draws.shape) >= share] = -np.inf
        draws[~np.isfinite(draws).any(axis=1), 0] = centre
    offset = centre + float(np.log(share))
    fit = offset + float(_log_mgf(*_gamma(np.array([spread]), np.array([skewness])))[0])
    return Replicates(draws, offset + _log_mgf(shape, scale), fit)


def _gamma(spread: np.ndarray, skewness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale, negative for a left tail, of the gamma law with a deviation and a skewness."""
    # Nearer to zero than this the law is as good as normal, and its shape overflows nothing.
    skewness = np.where(np.abs(skewness) < 0.01, 0.01, skewness)
    shape = 4 / skewness**2
    return shape, np.minimum(0.5 * spread * skewness, _LARGEST_TAIL)


def _log_mgf(shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log of the mean of exp(x), for x gamma and centred."""
    return -shape * (np.log1p(-scale) + scale)
