r"""A second base law that cross-examines an estimate.

Points that have not reached all of the target still tell of its shape. A law fitted to them in closed form,
wider and with heavy tails, gives draws $y_i$ whose weights $e^{-E(y_i)} / q(y_i)$ have the mean $Z$,
whatever the law. An estimate that lacks mass which this one finds is refuted.
"""

import dataclasses
import math
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, SlowMixingWarning
from ebm_ppl.partition._fitted_law import fitted_law
from ebm_ppl.partition._replicates import log_mean

_DRAWS = 4_000
_MOST_POINTS = 4_000
_MOST_COORDINATES = 64
_COMPONENTS = 2
LARGEST_GAP = 4.0
"""Joint standard errors by which an estimate may lie below the second one: a normal law has 3e-5 beyond."""


def at_second_base(
    estimate: LogPartitionEstimate,
    energy: AbstractEnergy,
    points: Float[Array, "n *event"],
    rng_key: PRNGKey,
    *,
    log_weights: Float[np.ndarray, " n"] | None = None,
    reference: float = 0.0,
) -> LogPartitionEstimate:
    """An estimate without an interval, if draws of a law fitted to its points find more mass.

    The test is one-sided: a mean of weights whose largest are cut off is below $Z$ wherever the law is poor.

    Args:
        estimate: The estimate.
        energy: The energy; with states, or more than 64 coordinates, there is no second law.
        points: Points in the support that stand for the target.
        rng_key: Random key.
        log_weights: Logarithms of their weights; alike by default.
        reference: What `energy` has been lowered by.

    Warns:
        SlowMixingWarning: If they do.
    """
    if energy.support.is_discrete or energy.event_size > _MOST_COORDINATES:
        return estimate
    logs = np.zeros(len(points)) if log_weights is None else log_weights
    stride = -(-len(points) // _MOST_POINTS)
    law = fitted_law(energy, points[::stride], logs[::stride], _COMPONENTS, 1.0)
    if law is None:
        return estimate
    found = np.asarray(_log_weights(energy, law, rng_key), np.float64) - reference
    log_z, error = _cut_mean(found)
    gap = (log_z - estimate.log_z) / math.hypot(error, estimate.std_error)
    is_refuted = gap > LARGEST_GAP
    if is_refuted:
        warnings.warn(
            f"A second base law, fitted to the points at the end, finds log Z = {log_z:.3f} ± {error:.3f}, "
            f"which is above the estimate, {estimate.log_z:.3f} ± {estimate.std_error:.3f}: chains have not "
            "reached all of the target, and there is no interval. Take `base=fit_base(energy, rng_key)`, or "
            "more steps.",
            SlowMixingWarning,
            stacklevel=4,
        )
    return dataclasses.replace(
        estimate,
        interval=None if is_refuted else estimate.interval,
        diagnostics={**estimate.diagnostics, "second_log_z": log_z, "second_std_error": error},
    )


@eqx.filter_jit
def _log_weights(
    energy: AbstractEnergy, law: dist.Distribution, rng_key: PRNGKey
) -> Float[Array, " draws"]:
    x = law.sample(fast_key(rng_key), (_DRAWS,))
    weights = -jax.vmap(energy)(x) - law.log_prob(x)
    return jnp.where(jnp.isfinite(weights), weights, -jnp.inf)


def _cut_mean(log_weights: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Log of the mean of weights, none above the square root of their number times it, and its error."""
    if np.max(log_weights) == -math.inf:
        return -math.inf, math.inf
    log_z, _ = log_mean(log_weights)
    cut = np.minimum(log_weights, float(log_z) + 0.5 * math.log(len(log_weights)))
    return tuple(float(value) for value in log_mean(cut))  # pyright: ignore[reportReturnType]
