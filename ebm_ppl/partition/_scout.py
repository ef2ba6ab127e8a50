"""A look for modes that no chain has reached.

A mode that is missed altogether leaves no trace in any weight. So scouts look for modes and weigh them: a
place that should hold a share of the mass, and near which there is no point, has been missed.
"""

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import Scalar
from ebm_ppl.annealing import can_look, find_modes, within
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, MissedModeWarning
from ebm_ppl.partition._weights import shares
from ebm_ppl.potentials import EnergyPotential, potential_fn

_MOST_MODES = 64
_SHARE = 0.01
"""Smallest share of the mass that counts as missed."""
_MISSED = 0.1
"""A place is missed if fewer points are near it than a tenth of its share."""
_MARGIN = 2.0
"""Standard deviations beyond the typical distance of a normal law's draws from its mode."""


def at_scouts(
    estimate: LogPartitionEstimate,
    energy: AbstractEnergy,
    points: Float[Array, "n *event"],
    *,
    log_weights: Float[np.ndarray, " n"] | None = None,
    reference: float = 0.0,
) -> LogPartitionEstimate:
    """An estimate without an interval, if scouts find mass that none of its points is near.

    Args:
        estimate: The estimate.
        energy: The energy; with states, more than 64 coordinates or no second derivatives, there is no look.
        points: Points in the support that stand for the law.
        log_weights: Logarithms of their weights; alike by default.
        reference: What `energy` has been lowered by.

    Warns:
        MissedModeWarning: If there is such a place; it is named.
    """
    if energy.support.is_discrete:
        return estimate
    weights = jnp.asarray(shares(log_weights, len(points)), dtype=float)
    looked = _look(potential_fn(energy), points, weights)
    if looked is None:
        return estimate
    place, log_mass, near = (np.asarray(part, np.float64) for part in looked)
    share = np.exp(np.minimum(log_mass - (estimate.log_z + reference), 50.0))
    missed = (share > _SHARE) & (near < _MISSED * np.minimum(share, 1.0))
    if not missed.any():
        return estimate
    worst = int(np.argmax(np.where(missed, share, 0.0)))
    where = ", ".join(f"{value:.4g}" for value in np.ravel(place[worst])[:4])
    warnings.warn(
        f"About {share[worst]:.2g} times the mass of the estimate lies near x = ({where}"
        f"{', ...' if energy.event_size > 4 else ''}), where no chain has been: there is no interval. "
        "Take a base law that covers that place, or draws of all modes.",
        MissedModeWarning,
        stacklevel=3,
    )
    return dataclasses.replace(
        estimate,
        interval=None,
        diagnostics={**estimate.diagnostics, "missed_mode": place[worst]},
    )


@eqx.filter_jit
def _look(
    potential: EnergyPotential, points: Float[Array, "n *event"], weights: Float[Array, " n"]
) -> tuple[Array, Array, Array] | None:
    """The modes that scouts find, the mass of each, and the weight of the points near it."""
    shape = potential.position_shape

    def value(z: Float[Array, " dim"]) -> Scalar:
        return potential(z.reshape(shape)).astype(z.dtype)

    z = jax.vmap(potential.unconstrain)(points).reshape(len(points), -1)
    z = jnp.nan_to_num(z)  # points that are rounded to an edge say nothing of where to look
    if not can_look(value, z[0]):
        return None
    center = weights @ z
    spread = jnp.maximum(jnp.sqrt(weights @ (z - center) ** 2), 1e-30)
    modes = find_modes(value, z, (center, spread), _MOST_MODES, minima_only=True)
    places = jax.vmap(lambda z: potential.constrain(z.reshape(shape)))(modes.places)
    return places, modes.log_mass, within(modes, z, _MARGIN) @ weights
