"""Where the mass of a two-dimensional density lies, and whether it has finite mass at all."""

import dataclasses

import numpy as np
from scipy import ndimage

from ebm_ppl.quadrature._bracket import T_LIMIT, non_finite, not_normalizable, scan_points
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._maps import Knots

THRESHOLD = 45.0
"""Nats below the maximum at which the density is cut in two dimensions."""

_SCAN = 161
_PROFILE = 129
_FAR = 50.0
_ATTEMPTS = 3
_UNBOUNDED = (-np.inf, np.inf)


@dataclasses.dataclass(frozen=True)
class PlaneBracket:
    """The box of z that holds all mass that counts.

    Attributes:
        maps: Per axis, asinh coordinates t centred at the main mode, at its scale.
        low: Lower corner in t.
        high: Upper corner in t.
        fixed: Per axis and end, whether it may not be moved outwards.
        unresolved: Per axis and end, whether floats do not resolve the support beyond it.
        level: Value of V at which the density is cut.
        mode: Position z of the smallest V.
    """

    maps: tuple[Knots, Knots]
    low: np.ndarray
    high: np.ndarray
    fixed: tuple[tuple[bool, bool], tuple[bool, bool]]
    unresolved: tuple[tuple[bool, bool], tuple[bool, bool]]
    level: float
    mode: np.ndarray


class _Plane:
    """V on the plane: minus the log density in the asinh coordinates of two maps."""

    def __init__(self, chart: Chart, maps: tuple[Knots, Knots]) -> None:
        self.chart, self.maps = chart, maps

    def to_z(self, t: np.ndarray) -> np.ndarray:
        return np.stack([self.maps[axis].to_z(t[..., axis]) for axis in (0, 1)], -1)

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """V at points of shape (..., 2) in t; NaN reads as +inf, minus infinity is refused."""
        z = self.to_z(t).reshape(-1, 2)
        potential, _ = self.chart.potential(z)
        below = np.flatnonzero(potential == -np.inf)
        if len(below):
            nearest = z[below[np.argmin(np.abs(z[below]).max(1))]]
            if np.abs(np.arcsinh(nearest)).max() > _FAR:
                raise not_normalizable(self.chart, describe(self.chart, nearest))
            raise non_finite(self.chart, nearest, "-inf")
        volume = sum(np.log(self.maps[axis].slope(z[:, axis])) for axis in (0, 1))
        value = potential - volume
        return np.where(np.isnan(value), np.inf, value).reshape(t.shape[:-1])


def describe(chart: Chart, z: np.ndarray) -> str:
    """Words for a place in the plane."""
    x = chart.to_support(z.reshape(1, 2))[0]
    return f"at x = ({x[0]:.3g}, {x[1]:.3g})"


def _mesh(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(first[..., :, None], second[..., None, :]), -1)


def _resolved_limits(chart: Chart, axis: int, low: float, high: float) -> tuple[float, float]:
    """Ends of the part of an axis that floats resolve, by bisection from inside."""
    points = scan_points(low, high, 1025)

    def resolved(values: np.ndarray) -> np.ndarray:
        z = np.zeros((len(values), 2))
        z[:, axis] = values
        return chart.potential(z)[1]

    keep = np.flatnonzero(resolved(points))
    limits = [low, high]
    for side, index, step in ((0, keep[0], -1), (1, keep[-1], 1)):
        if 0 <= index + step < len(points):
            inside, outside = points[index], points[index + step]
            for _ in range(10):
                section = np.linspace(inside, outside, 65)
                last = int(np.flatnonzero(resolved(section)).max())
                inside, outside = section[last], section[min(last + 1, 64)]
            limits[side] = float(inside)
    return limits[0], limits[1]


def _crowded_ticks(low: float, high: float) -> np.ndarray:
    """Ticks that crowd at 0, where most energies live, but for a short range."""
    fraction = np.linspace(-1, 1, _SCAN)
    middle = float(np.clip(0.0, low, high))
    share = np.abs(fraction) ** (3 if high - low > 20 else 1)
    return np.where(fraction < 0, middle - (middle - low) * share, middle + (high - middle) * share)


def _coarse_minima(plane: _Plane, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scan the whole plane and move the local minima of the scan to true ones."""
    ticks = [_crowded_ticks(low, high) for low, high in ends]
    value = plane(_mesh(*ticks))
    if not np.isfinite(value).any():
        raise non_finite(plane.chart, plane.to_z(np.clip(np.zeros(2), *ends.T)), "not finite")
    lowest = (value <= ndimage.minimum_filter(value, 3, mode="nearest")) & np.isfinite(value)
    index = np.argwhere(lowest)
    index = index[np.argsort(value[tuple(index.T)], kind="stable")[:96]]
    point = np.stack([ticks[axis][index[:, axis]] for axis in (0, 1)], -1)
    depth = value[tuple(index.T)]
    reach = np.stack([np.gradient(ticks[axis])[index[:, axis]] for axis in (0, 1)], -1)
    for _ in range(30):
        offsets = _mesh(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7)).reshape(-1, 2)
        trial = np.clip(point[:, None] + reach[:, None] * offsets, ends[:, 0], ends[:, 1])
        values = plane(trial)
        best = values.argmin(1)
        rows = np.arange(len(point))
        point = np.where((values[rows, best] < depth)[:, None], trial[rows, best], point)
        depth = np.minimum(depth, values[rows, best])
        at_border = np.abs(offsets[best]) == 1
        reach = np.where(at_border, reach, reach / 2.5)
    return point, depth


def refined_profile(
    plane: _Plane, first: np.ndarray, second: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest V on each line `t[axis] = tick`, and where on the line it is taken.

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


def _slice_box(
    plane: _Plane, points: np.ndarray, depth: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Box of the sublevel set along both axes through each minimum, shape (2, 2): ends per axis."""
    level = depth.min() + THRESHOLD
    steps = np.geomspace(1e-13, T_LIMIT, 400)
    box = np.stack([points.min(0), points.max(0)], 1)
    for axis in (0, 1):
        for side, sign in enumerate((-1.0, 1.0)):
            t = np.repeat(points[:, None], len(steps), axis=1)
            t[:, :, axis] = np.clip(t[:, :, axis] + sign * steps, *ends[axis])
            reached = t[:, :, axis][plane(t) <= level]
            if len(reached):
                extreme = np.min if side == 0 else np.max
                box[axis, side] = extreme([box[axis, side], extreme(reached)])
    return box


def _half_width(plane: _Plane, point: np.ndarray, depth: float, axis: int) -> float:
    """Distance in z along one axis at which V has risen by half a nat from a minimum."""
    z = plane.to_z(point)
    steps = np.geomspace(1e-14 * abs(z[axis]) + 1e-25, 1e3 + 1e3 * abs(z[axis]), 600)
    nearest = np.inf
    for sign in (-1.0, 1.0):
        moved = np.repeat(z[None], len(steps), axis=0)
        moved[:, axis] += sign * steps
        t = np.stack([plane.maps[k].to_u(moved[:, k]) for k in (0, 1)], -1)
        above = plane(t) >= depth + 0.5
        if above.any():
            nearest = min(nearest, steps[above.argmax()])
    return float(nearest) if np.isfinite(nearest) else 1.0


def find_plane_bracket(
    chart: Chart,
    bounds: tuple[tuple[float, float], tuple[float, float]] = (_UNBOUNDED, _UNBOUNDED),
    threshold: float = THRESHOLD,
) -> PlaneBracket:
    """Bracket the mass of a two-dimensional density between bounds on z.

    Args:
        chart: The energy.
        bounds: Per axis, bounds on z.
        threshold: Nats below the maximum at which the density is cut.

    Raises:
        NotNormalizableError: If the density has not decayed at an end that is not a bound.
        NonFiniteEnergyError: If the energy is minus infinity, or nowhere finite.
    """
    limits = np.array([_resolved_limits(chart, axis, *bounds[axis]) for axis in (0, 1)])
    one = Knots(np.zeros(1), np.ones(1))
    plane = _Plane(chart, (one, one))
    ends = np.clip(np.arcsinh(limits), -T_LIMIT, T_LIMIT)
    points, depth = _coarse_minima(plane, ends)
    best = int(depth.argmin())
    free = np.isinf(limits)
    if np.any(free & (np.abs(points[best][:, None] - ends) < 1e-6 * T_LIMIT)):
        raise not_normalizable(chart, describe(chart, plane.to_z(points[best])))
    center = plane.to_z(points[best])
    scale = [_half_width(plane, points[best], depth[best], axis) for axis in (0, 1)]
    maps = tuple(Knots(center[k : k + 1], np.array([scale[k]])) for k in (0, 1))
    z = plane.to_z(points[depth <= depth[best] + THRESHOLD])
    plane = _Plane(chart, (maps[0], maps[1]))
    far = np.where(free, np.sign(limits) * np.sinh(T_LIMIT), limits)
    ends = np.stack([maps[k].to_u(far[k]) for k in (0, 1)])
    points = np.stack([maps[k].to_u(z[:, k]) for k in (0, 1)], -1)
    box = _slice_box(plane, points, plane(points), ends)
    box, level = _settle_box(plane, box, ends, free, threshold)
    stray = _stray_points(plane, box, ends, level)
    for _ in range(_ATTEMPTS):
        if not len(stray):
            break
        box = np.stack(
            [np.minimum(box[:, 0], stray.min(0)), np.maximum(box[:, 1], stray.max(0))], 1
        )
        box, level = _settle_box(plane, box, ends, free, threshold)
        stray = _stray_points(plane, box, ends, level)
    if len(stray):
        raise not_normalizable(chart, describe(chart, plane.to_z(stray[0])))
    fixed = box == ends
    return PlaneBracket(
        maps=(maps[0], maps[1]),
        low=box[:, 0],
        high=box[:, 1],
        fixed=_pairs(fixed),
        unresolved=_pairs(fixed & np.isfinite(limits) & np.isinf(np.array(bounds))),
        level=level,
        mode=center,
    )


def _stray_points(plane: _Plane, box: np.ndarray, ends: np.ndarray, level: float) -> np.ndarray:
    """Points outside the box at which the density has not been cut, from lines all over the plane.

    A ridge that is thin against the distance of the scan's points hides from the scan, but not from
    a minimisation along lines that cross it.
    """
    z_ends = [plane.maps[axis].to_z(ends[axis]) for axis in (0, 1)]
    ticks = [
        np.clip(plane.maps[k].to_u(np.sinh(_crowded_ticks(*np.arcsinh(z_ends[k])))), *ends[k])
        for k in (0, 1)
    ]
    stray = []
    for axis in (0, 1):
        own = ticks[axis]
        outside = own[(own < box[axis, 0]) | (own > box[axis, 1])]
        if len(outside):
            depth, point = refined_profile(plane, outside, ticks[1 - axis], axis)
            found = depth <= level
            pair = (outside[found], point[found])
            stray.append(np.stack(pair if axis == 0 else pair[::-1], -1))
    return np.concatenate(stray) if stray else np.zeros((0, 2))


def _pairs(flags: np.ndarray) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    (a, b), (c, d) = flags.tolist()
    return (a, b), (c, d)


def _settle_box(
    plane: _Plane, box: np.ndarray, ends: np.ndarray, free: np.ndarray, threshold: float
) -> tuple[np.ndarray, float]:
    """Grow and shrink a box until it holds the sublevel set of both profiles snugly."""
    level = np.inf
    for _ in range(60):
        pad = 0.1 * (box[:, 1] - box[:, 0]) + 1e-9
        box = np.clip(np.stack([box[:, 0] - pad, box[:, 1] + pad], 1), ends[:, :1], ends[:, 1:])
        ticks = [np.linspace(box[axis, 0], box[axis, 1], _PROFILE) for axis in (0, 1)]
        profiles = [refined_profile(plane, ticks[k], ticks[1 - k], k) for k in (0, 1)]
        level = min(profile.min() for profile, _ in profiles) + threshold
        snug, settled = box.copy(), True
        for axis, (profile, _) in enumerate(profiles):
            below = np.flatnonzero(profile <= level)
            width = box[axis, 1] - box[axis, 0]
            first, last = int(below[0]), int(below[-1])
            for side, touched in ((0, first == 0), (1, last == _PROFILE - 1)):
                if not touched:
                    index = first - 1 if side == 0 else last + 1
                    snug[axis, side] = ticks[axis][index]
                elif box[axis, side] != ends[axis, side]:
                    snug[axis, side] += (2 * side - 1) * 0.7 * width
                    settled = False
                elif free[axis, side]:
                    corner = np.array([ticks[axis][first if side == 0 else last]] * 2)
                    corner[1 - axis] = profiles[axis][1][first if side == 0 else last]
                    raise not_normalizable(plane.chart, describe(plane.chart, plane.to_z(corner)))
            settled &= bool(snug[axis, 1] - snug[axis, 0] > 0.6 * width)
        box = np.clip(snug, ends[:, :1], ends[:, 1:])
        if settled:
            break
    return box, float(level)
