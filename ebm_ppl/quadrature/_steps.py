"""Jumps across the rows of a grid: how far off a rule may be that does not know where they are.

In more than one dimension a jump lies on a curve or a surface, which crosses every row of nodes somewhere
else. Two grids that agree on it say nothing. The trapezoid rule takes each row's jump to be in the middle of
the cell, so that it is off by at most half a step times the height, in every row to the same side at worst.
"""

from collections.abc import Callable, Sequence

import numpy as np

_SAMPLED = 1024
"""Edges of a grid that are looked into, of those that stand out and again of all others, along each axis."""
_STANDS_OUT = 3.0
"""An edge stands out if its change is so many times that of the smoother neighbour."""
_NEGLIGIBLE = 1e-15
"""Share of the largest density below which a change is rounding."""
_SECTIONS = 8
_ROUNDS = 6
"""Rounds of cutting; a smooth change is then 8^6 times smaller, unless it is that steep."""
_PERSISTS = 0.02
"""Share of an edge's change that is still there in one of the last sections if it jumps, often or once."""

Density = Callable[[np.ndarray], np.ndarray]


def step_error(density: np.ndarray, nodes: Sequence[np.ndarray], density_at: Density) -> float:
    """What jumps may make the trapezoid rule be off by, in units of its integral.

    Args:
        density: The density at the nodes, one axis per coordinate.
        nodes: The equidistant nodes of each axis.
        density_at: The density at points, shape (n, dim).
    """
    cell = np.prod([line[1] - line[0] for line in nodes])
    jumps = (_jumps_along(axis, density, nodes, density_at) for axis in range(density.ndim))
    return float(0.5 * cell * sum(jumps))


def _jumps_along(
    axis: int, density: np.ndarray, nodes: Sequence[np.ndarray], density_at: Density
) -> float:
    """Sum of the changes along one axis of those edges that hold a jump, from samples of the edges."""
    change = np.abs(np.diff(density, axis=axis))
    change[change <= _NEGLIGIBLE * density.max()] = 0.0
    wide = [(0, 0)] * density.ndim
    wide[axis] = (1, 1)
    around = np.moveaxis(np.pad(change, wide, constant_values=np.inf), axis, 0)
    smoother = np.moveaxis(np.minimum(around[:-2], around[2:]), 0, axis)
    stands_out = change > _STANDS_OUT * smoother
    total = 0.0
    for part in (np.where(stands_out, change, 0.0), np.where(stands_out, 0.0, change)):
        edges = _sample(part)
        if len(edges):
            place = np.stack(np.unravel_index(edges, change.shape), -1)
            total += part.sum() * np.mean(_holds_jump(axis, place, density, nodes, density_at))
    return total


def _sample(weight: np.ndarray) -> np.ndarray:
    """Flat indices at equal steps of the cumulative weight, or all that have any if they are few."""
    if np.count_nonzero(weight) == 0:
        return np.zeros(0, int)
    cumulative = np.cumsum(weight)
    marks = (np.arange(_SAMPLED) + 0.5) / _SAMPLED * cumulative[-1]
    return np.searchsorted(cumulative, marks)


def _holds_jump(
    axis: int,
    place: np.ndarray,
    density: np.ndarray,
    nodes: Sequence[np.ndarray],
    density_at: Density,
) -> np.ndarray:
    """Whether the changes along some edges are still there in the shortest of sections."""
    point = np.stack([line[place[:, k]] for k, line in enumerate(nodes)], -1)
    after = place + (np.arange(place.shape[1]) == axis)
    low, high = point[:, axis], nodes[axis][after[:, axis]]
    ends = density[tuple(place.T)], density[tuple(after.T)]
    at_start = np.abs(ends[1] - ends[0])
    alive = np.arange(len(place))
    for _ in range(_ROUNDS):
        share = np.linspace(0.0, 1.0, _SECTIONS + 1)
        along = low[:, None] + (high - low)[:, None] * share
        points = np.repeat(point[alive, None], _SECTIONS + 1, axis=1)
        points[:, :, axis] = along
        values = density_at(points.reshape(-1, point.shape[1])).reshape(along.shape)
        change = np.abs(np.diff(values, axis=1))
        rows, best = np.arange(len(alive)), change.argmax(1)
        keep = change[rows, best] > _PERSISTS * at_start[alive]
        alive, rows, best = alive[keep], rows[keep], best[keep]
        low, high = along[rows, best], along[rows, best + 1]
        if not len(alive):
            break
    held = np.zeros(len(place), bool)
    held[alive] = True
    return held
