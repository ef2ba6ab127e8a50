"""A fit of an `AutoregressiveLaw` to weighted points, by regressions and EM."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from ebm_ppl.partition._autoregressive import FARTHEST, Conditionals, log_density

_ROUNDS = 3
"""Of means given scales and scales given means."""
_MEAN_LOG_CHI2 = float(special.digamma(0.5) + math.log(2))
_FARTHEST_LOG = 15.0
"""Of scales in standard units: the few points beyond would outweigh all others."""
_EM_STEPS = 15
_RIDGE = 1.0
_DOUBTED = 30.0
"""Squared standard errors that tell a coefficient from 0: particles of one ancestor agree by chance."""
_EVIDENCE_STEPS = 6
_VANISHED = 100.0
"""Precision of a prior, in that of the data, from which on its coefficient is 0."""
_FLOOR = 1e-20
"""Of squares in standard units, of which logarithms are taken: far below a funnel's neck."""
_LEAST_NOISE = 0.02
"""Smallest standard deviation of a component of noise, in that of the whole."""


def fit_conditionals(
    points: Float[np.ndarray, "n dim"],
    weights: Float[np.ndarray, " n"],
    num_components: int,
    widening: float = 1.0,
) -> Conditionals:
    """A law with the means, scales and marginal noise that regressions find.

    Args:
        points: Points.
        weights: Their weights, which add up to 1.
        num_components: Number of components of each coordinate's noise.
        widening: By how much each component of the noise is to be wider, about its own mean.

    Returns:
        The law's coefficients.
    """
    # Quantiles, for one point far out would move moments by more than the width of a funnel's neck.
    low, center, high = _quantiles(points, weights, (0.16, 0.5, 0.84))
    scale = 0.5 * (high - low)
    scale = np.where(scale > 0, scale, 1.0)
    z = (points - center) / scale
    order = _order(_clipped(z), weights)
    fits = [
        _in_order(one, z, center, scale, weights, num_components, widening)
        for one in (order, order[::-1])
    ]
    x, shares = (jnp.asarray(part, dtype=float) for part in (points, weights))
    return max(fits, key=lambda one: float(_log_likelihood(one, x, shares)))


@eqx.filter_jit
def _log_likelihood(
    of: Conditionals, x: Float[Array, "n dim"], weights: Float[Array, " n"]
) -> Float[Array, ""]:
    values = jax.vmap(lambda x: log_density(of, x))(x)
    return jnp.sum(jnp.where(weights > 0, weights * values, 0.0))


def _in_order(
    order: np.ndarray,
    z: Float[np.ndarray, "n dim"],
    center: Float[np.ndarray, " dim"],
    scale: Float[np.ndarray, " dim"],
    weights: Float[np.ndarray, " n"],
    num_components: int,
    widening: float,
) -> Conditionals:
    """The fit with coordinates in a given order."""
    z = z[:, order]
    t, dim = _clipped(z), z.shape[1]
    loc, log_scale = np.zeros((dim, 1 + 2 * dim)), np.zeros((dim, 1 + dim))
    noise = [np.zeros((dim, num_components)) for _ in range(3)]
    for j in range(dim):
        before = np.concatenate([np.ones((len(z), 1)), t[:, :j]], axis=1)
        features = np.concatenate([before, t[:, :j] ** 2], axis=1)
        mean, log_s = _regress(z[:, j], before, features, weights)
        loc[j, : j + 1], loc[j, 1 + dim : 1 + dim + j] = mean[: j + 1], mean[j + 1 :]
        log_scale[j, : j + 1] = log_s
        u = (z[:, j] - features @ mean) * np.exp(
            -np.clip(before @ log_s, -_FARTHEST_LOG, _FARTHEST_LOG)
        )
        for part, found in zip(noise, _mixture(u, weights, num_components), strict=True):
            part[j] = found
    noise[2] += math.log(widening)
    floats = (center[order], scale[order], loc, log_scale, *noise)
    return Conditionals(jnp.asarray(order), *(jnp.asarray(part, dtype=float) for part in floats))


def _clipped(z: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
    return np.clip(z, -FARTHEST, FARTHEST)


def _quantiles(
    points: Float[np.ndarray, "n dim"], weights: Float[np.ndarray, " n"], levels: tuple[float, ...]
) -> Float[np.ndarray, "levels dim"]:
    ranks = np.argsort(points, axis=0)
    found = []
    for j in range(points.shape[1]):
        cumulated = np.cumsum(weights[ranks[:, j]])
        at = np.minimum(np.searchsorted(cumulated, levels), len(points) - 1)
        found.append(points[ranks[at, j], j])
    return np.stack(found, axis=1)


def _order(t: Float[np.ndarray, "n dim"], weights: Float[np.ndarray, " n"]) -> np.ndarray:
    """From what tells most of the others' means and scales, and is told least, to the opposite.

    Which of the two ends comes first is for the likelihood to say: a funnel's axis is told of by all others
    together, and yet it has to come before them.
    """
    dim = t.shape[1]
    told = np.zeros((dim, dim))
    targets = np.concatenate([t, np.log(t**2 + _FLOOR)], axis=1)
    for i in range(dim):
        features = np.stack([np.ones(len(t)), t[:, i], t[:, i] ** 2], axis=1)
        fitted = features @ _solve(features, targets, weights[:, None])
        explained = _variance(fitted, weights) / np.maximum(_variance(targets, weights), 1e-12)
        told[i] = explained[:dim] + explained[dim:]
    np.fill_diagonal(told, 0.0)
    return np.argsort(told.sum(0) - told.sum(1), kind="stable")


def _variance(
    values: Float[np.ndarray, "n k"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    return weights @ (values - weights @ values) ** 2


def _regress(
    z: Float[np.ndarray, " n"],
    before: Float[np.ndarray, "n fewer"],
    features: Float[np.ndarray, "n features"],
    weights: Float[np.ndarray, " n"],
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a mean and of the logarithm of a scale."""
    count = 1 / np.sum(weights**2)
    mean = np.zeros(features.shape[1])
    log_s = _log_scale(z, before, weights, count)
    for _ in range(_ROUNDS):
        precision = weights * np.exp(-2 * np.clip(before @ log_s, -_FARTHEST_LOG, _FARTHEST_LOG))
        mean = _shrunk(features, z, precision, count)
        log_s = _log_scale(z - features @ mean, before, weights, count)
        if not np.any(log_s[1:]):
            break
    u = (z - features @ mean) * np.exp(-np.clip(before @ log_s, -_FARTHEST_LOG, _FARTHEST_LOG))
    log_s[0] += 0.5 * np.log(np.maximum(weights @ u**2, 1e-12))
    return mean, log_s


def _log_scale(
    residual: Float[np.ndarray, " n"],
    before: Float[np.ndarray, "n fewer"],
    weights: Float[np.ndarray, " n"],
    count: float,
) -> np.ndarray:
    """Half the regression of the logarithm of squares, which is unbiased for a normal law."""
    logs = np.log(residual**2 + _FLOOR) - _MEAN_LOG_CHI2
    return 0.5 * _shrunk(before, logs, weights, count)


def _shrunk(
    features: Float[np.ndarray, "n f"],
    target: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    count: float,
) -> Float[np.ndarray, " f"]:
    """Weighted least squares, with a normal prior of each coefficient but the first that the data fit.

    The prior's variance is that of largest evidence, by MacKay's steps: what is not told from 0 by
    `_DOUBTED` squared standard errors vanishes, so a law of many independent coordinates stays one (D. J. C.
    MacKay 1992, Bayesian interpolation, *Neural Computation* 4(3), equation 3.15).
    """
    weighted = features * weights[:, None]
    gram, moments = features.T @ weighted, weighted.T @ target
    prior = np.full(len(gram), 1e-9 * np.trace(gram))
    coefficients = np.linalg.solve(gram + np.diag(prior), moments)
    noise = max(float(weights @ (target - features @ coefficients) ** 2), 1e-12)
    scale = count / (_DOUBTED * noise)
    prior *= scale
    kept = np.ones(len(gram), bool)
    for _ in range(_EVIDENCE_STEPS):
        covariance = np.linalg.inv(scale * gram[np.ix_(kept, kept)] + np.diag(prior[kept]))
        coefficients = covariance @ (scale * moments[kept])
        told = 1 - prior[kept] * np.diag(covariance)
        prior[kept] = np.maximum(told, 0.0) / np.maximum(coefficients**2, 1e-300)
        prior[0] = 0.0
        kept &= prior < _VANISHED * scale * np.diag(gram)
    result = np.zeros(len(gram))
    inner = scale * gram[np.ix_(kept, kept)] + np.diag(prior[kept])
    result[kept] = np.linalg.solve(inner, scale * moments[kept])
    return result


def _solve(
    features: Float[np.ndarray, "n f"],
    targets: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, "n 1"],
) -> Float[np.ndarray, "f k"]:
    """Weighted least squares, with a ridge worth a point of mean weight."""
    weighted = weights * features
    gram = features.T @ weighted
    ridge = _RIDGE * np.mean(weights) * np.eye(len(gram))
    ridge[0, 0] *= 1e-6
    return np.linalg.solve(gram + ridge, weighted.T @ targets)


def _mixture(
    u: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], num_components: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log weights, means and log standard deviations of a mixture fitted by EM from quantiles."""
    levels = (np.arange(num_components) + 0.5) / num_components
    loc = _quantiles(u[:, None], weights, tuple(levels))[:, 0]
    low, high = _quantiles(u[:, None], weights, (0.16, 0.84))[:, 0]
    spread = 0.5 * float(high - low) or 1.0
    scale = np.full(num_components, spread / num_components)
    share = np.full(num_components, 1 / num_components)
    for _ in range(_EM_STEPS if num_components > 1 else 1):
        logs = np.log(share / scale)[:, None] - 0.5 * ((u - loc[:, None]) / scale[:, None]) ** 2
        duty = np.exp(logs - logs.max(axis=0))
        duty *= weights / duty.sum(axis=0)
        share = duty.sum(axis=1) + 1e-6
        loc = (duty @ u + 1e-6 * loc) / share
        variance = np.sum(duty * (u - loc[:, None]) ** 2, axis=1) / share
        scale = np.sqrt(variance + (_LEAST_NOISE * spread) ** 2)
        share /= share.sum()
    return np.log(share), loc, np.log(scale)
