r"""Mass at the edge of a support, nearer to it than floats resolve.

On $(0, 1)$ float32 has no number between $1 - 6 \cdot 10^{-8}$ and 1, where a law with the density
$(1 - x)^{-0.9}$ keeps a tenth of its mass. An energy is a function of $x$, so that mass cannot be asked for.
How much there is follows from what lies just inside. Up to a distance $t$ from the edge there is a mass
$\propto t^a$, so that of the floats' last step grows by a factor $q = 16^a$ up to 16 steps, and by $q^3$ up
to 4,096.
"""

import dataclasses
import math
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions.transforms import IdentityTransform

from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._supports import unconstraining
from ebm_ppl.partition._estimate import EdgeWarning, LogPartitionEstimate
from ebm_ppl.partition._weights import effective_sample_size, shares
from ebm_ppl.potentials import potential_fn

# A point is within 16 or 4,096 steps of the edge if a coordinate stays as it is where the unconstrained
# position, in which the distance from the edge is exponential, changes by so little.
_INNER, _OUTER = 2.0**-4, 2.0**-12
_LARGEST_LOSS = 0.25  # of the standard error


def check_inside(energy: AbstractEnergy, draws: Float[Array, "*batch"]) -> None:
    """Refuse draws rounded to the edge of a support, where they have no unconstrained image."""
    z = potential_fn(energy).unconstrain(draws)
    axes = tuple(range(draws.ndim - len(energy.event_shape), draws.ndim))
    image_axes = tuple(range(draws.ndim - len(axes), z.ndim))
    outside = np.isfinite(draws).all(axis=axes) & ~np.isfinite(z).all(axis=image_axes)
    if np.any(outside):
        raise ValueError(
            f"`draws` must be inside the support; {int(outside.sum())} of {outside.size} are rounded to its "
            f"edge by {draws.dtype} or lie outside. Switch on `jax_enable_x64`, leave an offset out of the "
            "energy's coordinates, or clip them to the nearest number inside."
        )


def lost_at_edge(
    energy: AbstractEnergy,
    x: Float[Array, "n *event"],
    log_weights: Float[np.ndarray, " n"] | None = None,
) -> float:
    """How much of a law's mass lies so near the edge of its support that floats do not resolve it.

    Args:
        energy: An energy of that support.
        x: Draws of the law, in the support.
        log_weights: Logarithms of their weights; alike by default.

    Returns:
        An estimate of the share that is lost, 1 where floats resolve next to nothing; 0 on all reals and for
        states.
    """
    if isinstance(unconstraining(energy.support), IdentityTransform):
        return 0.0
    weights = shares(log_weights, len(x))
    count = effective_sample_size(weights)
    inner, outer = (
        count * float(weights @ np.asarray(_is_unresolved(energy, x, jnp.asarray(change))))
        for change in (_INNER, _OUTER)
    )
    # Less two standard errors of a count: a draw or two so near the edge tell nothing yet.
    return min(_beyond(inner - 2 * math.sqrt(inner), outer) / count, 1.0)


def _beyond(inner: float, outer: float) -> float:
    r"""Draws beyond the edge, $m$, from those in the two windows, $m (q - 1)$ and $m (q^3 - 1)$."""
    if inner <= 0:
        return 0.0
    ratio = 0.5 * (math.sqrt(max(4 * outer / inner - 3, 0.0)) - 1)
    return outer / (ratio**3 - 1) if ratio > 1 else math.inf


@eqx.filter_jit
def _is_unresolved(
    energy: AbstractEnergy, x: Float[Array, "n *event"], change: Float[Array, ""]
) -> Float[Array, " n"]:
    potential = potential_fn(energy)

    def one(x: Array) -> Array:
        z = potential.unconstrain(x)
        here, up, down = (potential.constrain(z + step) for step in (0.0, change, -change))
        return jnp.any((up == here) | (down == here)).astype(float)

    return jax.vmap(one)(x)


def at_edge(estimate: LogPartitionEstimate, lost: float) -> LogPartitionEstimate:
    """An estimate that counts the mass which floats do not resolve, or has no interval.

    Args:
        estimate: The estimate.
        lost: Share of the target's mass beyond the edge.

    Returns:
        The estimate, with an interval that reaches farther up by as much, if that is little.

    Warns:
        EdgeWarning: If it is more than a quarter of the statistical error.
    """
    if lost == 0:
        return estimate
    ends, is_large = estimate.interval, lost > _LARGEST_LOSS * estimate.std_error
    if is_large:
        warnings.warn(
            f"A share of about {lost:.2g} of the target's mass lies nearer to the edge of its support than "
            "floats resolve: log Z lacks it, and there is no interval. Write the energy of unconstrained "
            "coordinates, on all reals, or compute in double precision, which loses less.",
            EdgeWarning,
            stacklevel=3,
        )
    return dataclasses.replace(
        estimate,
        std_error=math.hypot(estimate.std_error, lost),
        interval=None if ends is None or is_large else (ends[0], float(ends[1] + lost)),
        diagnostics={**estimate.diagnostics, "lost_at_edge": lost},
    )
