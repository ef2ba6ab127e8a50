"""Minus the log density over asinh coordinates of two or three axes, and its minima across slabs."""

import numpy as np

from ebm_ppl.quadrature._bracket import non_finite, not_normalizable
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._maps import Knots

_FAR = 50.0
_SIDE = np.linspace(-1, 1, 7)
_ROUNDS = 12


class Landscape:
    """V: minus the log density in the asinh coordinates t of one map per axis."""

    def __init__(self, chart: Chart, maps: tuple[Knots, ...]) -> None:
        self.chart, self.maps, self.dim = chart, maps, chart.dim

    def to_z(self, t: np.ndarray) -> np.ndarray:
        """Unconstrained positions of points (..., dim) in t."""
        return np.stack([one.to_z(t[..., axis]) for axis, one in enumerate(self.maps)], -1)

    def to_t(self, z: np.ndarray) -> np.ndarray:
        """The inverse of `to_z`."""
        return np.stack([one.to_u(z[..., axis]) for axis, one in enumerate(self.maps)], -1)

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """V at points of shape (..., dim) in t; NaN reads as +inf, minus infinity is refused."""
        z = self.to_z(t).reshape(-1, self.dim)
        potential, _ = self.chart.potential(z)
        below = np.flatnonzero(potential == -np.inf)
        if len(below):
            nearest = z[below[np.argmin(np.abs(z[below]).max(1))]]
            if np.abs(np.arcsinh(nearest)).max() > _FAR:
                raise not_normalizable(self.chart, self.describe(nearest))
            raise non_finite(self.chart, nearest, "-inf")
        volume = sum(np.log(one.slope(z[:, axis])) for axis, one in enumerate(self.maps))
        value = potential - volume
        return np.where(np.isnan(value), np.inf, value).reshape(t.shape[:-1])

    def describe(self, z: np.ndarray) -> str:
        """Words for a place."""
        x = self.chart.to_support(z.reshape(1, self.dim))[0]
        return "at x = (" + ", ".join(f"{value:.3g}" for value in x) + ")"


def mesh(*ticks: np.ndarray) -> np.ndarray:
    """Points of the tensor product of ticks, shape (n1, n2, ..., dim)."""
    return np.stack(np.meshgrid(*ticks, indexing="ij"), -1)


def zoom(
    landscape: Landscape,
    point: np.ndarray,
    depth: np.ndarray,
    reach: np.ndarray,
    ends: np.ndarray,
    held: int | None = None,
    rounds: int = _ROUNDS,
) -> tuple[np.ndarray, np.ndarray]:
    """Move points to the lowest of a small grid around each, which shrinks unless that is at its border.

    Args:
        landscape: V.
        point: Points in t, shape (n, dim).
        depth: V there.
        reach: Half-widths of the grid around each, shape (n, dim).
        ends: Range of each axis, shape (dim, 2).
        held: An axis along which points stay.
        rounds: Number of moves.

    Returns:
        The points and V there.
    """
    sides = [np.zeros(1) if axis == held else _SIDE for axis in range(landscape.dim)]
    offsets = mesh(*sides).reshape(-1, landscape.dim)
    rows = np.arange(len(point))
    for _ in range(rounds):
        trial = np.clip(point[:, None] + reach[:, None] * offsets, ends[:, 0], ends[:, 1])
        values = landscape(trial)
        best = values.argmin(1)
        lower = values[rows, best] < depth
        point = np.where(lower[:, None], trial[rows, best], point)
        depth = np.minimum(depth, values[rows, best])
        at_border = np.abs(offsets[best]) == 1
        reach = np.where(at_border, reach, reach / 2.5)
    return point, depth


def profile(
    landscape: Landscape, own: np.ndarray, ticks: list[np.ndarray], axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest V at each tick of one axis, and the point where it is taken.

    Args:
        landscape: V.
        own: Ticks of the profile's own axis, shape (n,).
        ticks: Ticks to try along every axis, of which those of the own one are not used.
        axis: The own axis.

    Returns:
        The minima, shape (n,), and the points, shape (n, dim).
    """
    if landscape.dim == 2:
        depth, other = refined_profile(landscape, own, ticks[1 - axis], axis)
        return depth, np.stack((own, other) if axis == 0 else (other, own), -1)
    lines = [*ticks[:axis], own, *ticks[axis + 1 :]]
    points = np.moveaxis(mesh(*lines), axis, 0).reshape(len(own), -1, landscape.dim)
    value = landscape(points)
    best = value.argmin(1)
    rows = np.arange(len(own))
    widest = [np.gradient(line).max() for line in lines]
    reach = np.broadcast_to(np.array(widest), (len(own), landscape.dim))
    ends = np.array([(line.min(), line.max()) for line in lines])
    point, depth = zoom(landscape, points[rows, best], value[rows, best], reach, ends, held=axis)
    return depth, point


def refined_profile(
    plane: Landscape, first: np.ndarray, second: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest V on each line `t[axis] = tick` of the plane, and where on the line it is taken.

    Args:
        plane: V.
        first: Ticks of the profile's own axis, shape (n,).
        second: Ticks along the lines, shape (m,).
        axis: The profile's axis.

    Returns:
        The minima and their positions, shape (n,) each.
    """

    def value(other: np.ndarray) -> np.ndarray:
        own = np.broadcast_to(first[:, None], other.shape)
        pair = (own, other) if axis == 0 else (other, own)
        return plane(np.stack(pair, -1))

    grid = np.broadcast_to(second, (len(first), len(second)))
    rows = np.arange(len(first))
    trial = value(grid)
    best = trial.argmin(1)
    point, depth = grid[rows, best], trial[rows, best]
    low, high = second[np.maximum(best - 1, 0)], second[np.minimum(best + 1, len(second) - 1)]
    for _ in range(12):
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 11)
        trial = value(grid)
        best = trial.argmin(1)
        better = trial[rows, best] < depth
        point = np.where(better, grid[rows, best], point)
        depth = np.where(better, trial[rows, best], depth)
        step = (high - low) / 10
        low, high = np.maximum(low, point - step), np.minimum(high, point + step)
    return depth, point
