"""What an estimate's own points say of it: one place for all estimators."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import AbstractPath
from ebm_ppl.partition._edge import at_edge, lost_at_edge
from ebm_ppl.partition._estimate import LogPartitionEstimate, at_rest
from ebm_ppl.partition._lowered import at_resolution, resolution
from ebm_ppl.partition._pilot import AnnealingSchedule
from ebm_ppl.partition._rest import FALSE_ALARM_RATE, MOST_POINTS, drift_p_value
from ebm_ppl.partition._scout import at_scouts
from ebm_ppl.partition._second_base import at_second_base
from ebm_ppl.samplers import Moves


class Groups(NamedTuple):
    """Points in groups that are independent of one another, and what moves them.

    Attributes:
        moves: Kernel.
        schedule: Schedule, of which the last step size serves.
        points: The points, in the support.
        log_weights: Logarithms of the groups' weights.
        inverse_temperature: Where on the path the points are: by default at its end.
    """

    moves: Moves
    schedule: AnnealingSchedule
    points: Float[Array, "groups size *event"]
    log_weights: Float[np.ndarray, " groups"]
    inverse_temperature: float = 1.0


def judged(
    estimate: LogPartitionEstimate,
    path: AbstractPath,
    points: Float[Array, "n *event"],
    rng_key: PRNGKey,
    *,
    log_weights: Float[np.ndarray, " n"] | None = None,
    reference: float = 0.0,
    groups: Groups | None = None,
    loss: float | None = None,
) -> LogPartitionEstimate:
    """An estimate whose interval has stood up to its points, or has been taken away.

    Args:
        estimate: The estimate.
        path: The path, whose end is the target.
        points: Points in the support that stand for the target.
        rng_key: Random key.
        log_weights: Logarithms of their weights; alike by default.
        reference: What the energy has been lowered by.
        groups: Points that are moved on, to see whether they drift; without them there is no such look.
        loss: By how much energies are off for rounding; by default what they are in the mean over points.

    Returns:
        The estimate, with what was seen among its diagnostics.

    Warns:
        SlowMixingWarning: If points drift, or a law fitted to them finds more mass.
        MissedModeWarning: If a place that should hold mass was found where no point is.
        EdgeWarning: If floats do not resolve much of the target's mass, at an edge of its support.
        ResolutionWarning: If rounding of large energies is more than the statistical error.
    """
    energy, weighted = path.energy, {"log_weights": log_weights, "reference": reference}
    key_rest, key_second = jax.random.split(rng_key)
    if groups is not None:
        p_value = drift_p_value(
            path,
            groups.moves,
            groups.schedule,
            groups.points,
            groups.log_weights,
            key_rest,
            groups.inverse_temperature,
        )
        estimate = at_rest(estimate, p_value, FALSE_ALARM_RATE)
    if estimate.interval is not None:
        estimate = at_scouts(estimate, energy, points, **weighted)
    if estimate.interval is not None:
        estimate = at_second_base(estimate, energy, points, key_second, **weighted)
    estimate = at_edge(estimate, lost_at_edge(energy, points, log_weights))
    if loss is None:
        loss = resolution(path, reference, points, log_weights)
    return at_resolution(estimate, loss)


def thinned(points: Float[Array, "groups size *event"]) -> Float[Array, "groups fewer *event"]:
    """Some points of each group, at even steps: as many as are moved on."""
    most = max(MOST_POINTS // len(points), 1)
    return points[:, :: -(-points.shape[1] // most)]
