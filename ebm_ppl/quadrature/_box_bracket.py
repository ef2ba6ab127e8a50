"""Where the mass of a density of two or three coordinates lies, and whether it is finite at all."""

import dataclasses
import itertools

import numpy as np
from scipy import ndimage

from ebm_ppl.quadrature._bracket import T_LIMIT, non_finite, not_normalizable, scan_points
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._landscape import Landscape, mesh, profile, zoom
from ebm_ppl.quadrature._maps import Knots

THRESHOLD = 45.0
"""Nats below the maximum at which the density is cut in two and three dimensions."""

_SCAN = {2: 161, 3: 49}
_PROFILE = {2: 129, 3: 33}
_OCTAVES = 12
"""How often the box is doubled to see what lies around it: to 4,000 times itself."""
_MIXED = 65
"""Ticks along each axis of a window in the plane that is widened more along one axis than along the other."""
_MOST_BEYOND = 512
"""Lowest points outside a box that are looked into."""
_ROUNDS = 12
_ATTEMPTS = 6

Flags = tuple[tuple[bool, bool], ...]


@dataclasses.dataclass(frozen=True)
class BoxBracket:
    """The box of z that holds all mass that counts.

    Attributes:
        maps: Per axis, asinh coordinates t centred at the main mode, at its scale.
        low: Lower corner in t.
        high: Upper corner in t.
        fixed: Per axis and end, whether it may not be moved outwards.
        unresolved: Per axis and end, whether floats do not resolve the support beyond it.
        level: Value of V at which the density is cut.
        mode: Position z of the smallest V.
        wells: Positions z of the minima that count, shape (k, dim).
    """

    maps: tuple[Knots, ...]
    low: np.ndarray
    high: np.ndarray
    fixed: Flags
    unresolved: Flags
    level: float
    mode: np.ndarray
    wells: np.ndarray

    def z_range(self, axis: int) -> tuple[float, float]:
        """Ends of the box along one axis, in z."""
        ends = self.maps[axis].to_z(np.array([self.low[axis], self.high[axis]]))
        return float(ends[0]), float(ends[1])


def _resolved_limits(chart: Chart, axis: int, low: float, high: float) -> tuple[float, float]:
    """Ends of the part of an axis that floats resolve, by bisection from inside."""
    points = scan_points(low, high, 1025)

    def resolved(values: np.ndarray) -> np.ndarray:
        z = np.zeros((len(values), chart.dim))
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


def _crowded_ticks(low: float, high: float, count: int) -> np.ndarray:
    """Ticks that crowd at 0, where most energies live, but for a short range."""
    fraction = np.linspace(-1, 1, count)
    middle = float(np.clip(0.0, low, high))
    share = np.abs(fraction) ** (3 if high - low > 20 else 1)
    return np.where(fraction < 0, middle - (middle - low) * share, middle + (high - middle) * share)


def _coarse_minima(landscape: Landscape, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scan everything and move the local minima of the scan to true ones."""
    ticks = [_crowded_ticks(low, high, _SCAN[landscape.dim]) for low, high in ends]
    value = landscape(mesh(*ticks))
    if not np.isfinite(value).any():
        origin = landscape.to_z(np.clip(np.zeros(landscape.dim), *ends.T))
        raise non_finite(landscape.chart, origin, "not finite")
    return _refined_minima(landscape, ticks, value, ends, most=96, rounds=30)


def _refined_minima(
    landscape: Landscape,
    ticks: list[np.ndarray],
    value: np.ndarray,
    ends: np.ndarray,
    most: int,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Move the lowest local minima of V on a grid to true ones: the points, and V there."""
    point, depth, reach = _lowest_minima(ticks, value, most)
    return zoom(landscape, point, depth, reach, ends, rounds=rounds)


def _lowest_minima(
    ticks: list[np.ndarray], value: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lowest local minima of V on a grid: points, V there, and the steps around them."""
    lowest = (value <= ndimage.minimum_filter(value, 3, mode="nearest")) & np.isfinite(value)
    index = np.argwhere(lowest)
    index = index[np.argsort(value[tuple(index.T)], kind="stable")[:most]]
    point = np.stack([one[index[:, axis]] for axis, one in enumerate(ticks)], -1)
    reach = np.stack([np.gradient(one)[index[:, axis]] for axis, one in enumerate(ticks)], -1)
    return point, value[tuple(index.T)], reach


def _slice_box(
    landscape: Landscape, points: np.ndarray, depth: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Box of the sublevel set along the axes through each minimum, shape (dim, 2): ends per axis."""
    level = depth.min() + THRESHOLD
    steps = np.geomspace(1e-13, T_LIMIT, 400)
    box = np.stack([points.min(0), points.max(0)], 1)
    for axis in range(landscape.dim):
        for side, sign in enumerate((-1.0, 1.0)):
            t = np.repeat(points[:, None], len(steps), axis=1)
            t[:, :, axis] = np.clip(t[:, :, axis] + sign * steps, *ends[axis])
            reached = t[:, :, axis][landscape(t) <= level]
            if len(reached):
                extreme = np.min if side == 0 else np.max
                box[axis, side] = extreme([box[axis, side], extreme(reached)])
    return box


def _half_width(landscape: Landscape, point: np.ndarray, depth: float, axis: int) -> float:
    """Distance in z along one axis at which V has risen by half a nat from a minimum."""
    z = landscape.to_z(point)
    steps = np.geomspace(1e-14 * abs(z[axis]) + 1e-25, 1e3 + 1e3 * abs(z[axis]), 600)
    nearest = np.inf
    for sign in (-1.0, 1.0):
        moved = np.repeat(z[None], len(steps), axis=0)
        moved[:, axis] += sign * steps
        above = landscape(landscape.to_t(moved)) >= depth + 0.5
        if above.any():
            nearest = min(nearest, steps[above.argmax()])
    return float(nearest) if np.isfinite(nearest) else 1.0


def find_box_bracket(
    chart: Chart, bounds: np.ndarray | None = None, threshold: float = THRESHOLD
) -> BoxBracket:
    """Bracket the mass of a density of two or three coordinates between bounds on z.

    Args:
        chart: The energy.
        bounds: Per axis, bounds on z, shape (dim, 2); none by default.
        threshold: Nats below the maximum at which the density is cut.

    Raises:
        NotNormalizableError: If the density has not decayed at an end that is not a bound.
        NonFiniteEnergyError: If the energy is minus infinity, or nowhere finite.
    """
    if bounds is None:
        bounds = np.repeat([[-np.inf, np.inf]], chart.dim, axis=0)
    limits = np.array([_resolved_limits(chart, axis, *ends) for axis, ends in enumerate(bounds)])
    landscape = Landscape(chart, (Knots(np.zeros(1), np.ones(1)),) * chart.dim)
    ends = np.clip(np.arcsinh(limits), -T_LIMIT, T_LIMIT)
    points, depth = _coarse_minima(landscape, ends)
    best = int(depth.argmin())
    free = np.isinf(limits)
    if np.any(free & (np.abs(points[best][:, None] - ends) < 1e-6 * T_LIMIT)):
        raise not_normalizable(chart, landscape.describe(landscape.to_z(points[best])))
    center = landscape.to_z(points[best])
    scale = [_half_width(landscape, points[best], depth[best], k) for k in range(chart.dim)]
    maps = tuple(Knots(center[k : k + 1], np.array([scale[k]])) for k in range(chart.dim))
    seen = landscape.to_z(points[depth <= depth[best] + THRESHOLD])
    landscape = Landscape(chart, maps)
    far = np.where(free, np.sign(limits) * np.sinh(T_LIMIT), limits)
    ends = np.stack([one.to_u(far[axis]) for axis, one in enumerate(maps)])
    points = landscape.to_t(seen)
    box = _slice_box(landscape, points, landscape(points), ends)
    box, level = _settle_box(landscape, box, ends, free, threshold)
    stray = _points_beyond(landscape, box, ends, level)
    for _ in range(_ATTEMPTS):
        if not len(stray):
            break
        box = np.stack(
            [np.minimum(box[:, 0], stray.min(0)), np.maximum(box[:, 1], stray.max(0))], 1
        )
        box, level = _settle_box(landscape, box, ends, free, threshold)
        stray = _points_beyond(landscape, box, ends, level)
    if len(stray):
        raise not_normalizable(chart, landscape.describe(landscape.to_z(stray[0])))
    fixed = box == ends
    wells = _wells(landscape, box, ends, level)
    return BoxBracket(
        maps=maps,
        low=box[:, 0],
        high=box[:, 1],
        fixed=_pairs(fixed),
        unresolved=_pairs(fixed & np.isfinite(limits) & np.isinf(bounds)),
        level=level,
        mode=center,
        wells=landscape.to_z(wells),
    )


def _points_beyond(
    landscape: Landscape, box: np.ndarray, ends: np.ndarray, level: float
) -> np.ndarray:
    """Points outside the box at which the density has not been cut."""
    stray = _stray_points(landscape, box, ends, level)
    if len(stray):
        return stray
    found = []
    for widening, count in _windows(landscape.dim):
        ticks = _window(landscape, box, ends, widening, count)
        point, depth, reach = _lowest_minima(ticks, landscape(mesh(*ticks)), most=64)
        outside = np.any((point < box[:, 0]) | (point > box[:, 1]), axis=1)
        found.append((point[outside], depth[outside], reach[outside]))
    point, depth, reach = (np.concatenate(parts) for parts in zip(*found, strict=True))
    lowest = np.argsort(depth, kind="stable")[:_MOST_BEYOND]
    point, depth = zoom(
        landscape, point[lowest], depth[lowest], reach[lowest], ends, rounds=_ROUNDS
    )
    point = point[depth <= level]
    return point[np.any((point < box[:, 0]) | (point > box[:, 1]), axis=1)]


def _windows(dim: int) -> list[tuple[np.ndarray, int]]:
    """How much wider than a box the windows around it are along each axis, and their ticks along each.

    In the plane one axis is widened more than the other, too: else a step along an axis would be as coarse
    as the other axis is far from what lies there.
    """
    alike = [(np.full(dim, 2.0**k), _PROFILE[dim]) for k in range(1, _OCTAVES + 1)]
    if dim == 3:
        return alike
    mixed = itertools.permutations(range(_OCTAVES + 1), 2)
    return alike + [(2.0 ** np.array(one), _MIXED) for one in mixed]


def _window(
    landscape: Landscape, box: np.ndarray, ends: np.ndarray, widening: np.ndarray, count: int
) -> list[np.ndarray]:
    """Ticks of each axis in a window around a box, evenly spread in z."""
    share = np.linspace(-1.0, 1.0, count)
    ticks = []
    for axis, one in enumerate(landscape.maps):
        low, high = one.to_z(box[axis])
        z = 0.5 * (low + high) + 0.5 * widening[axis] * (high - low) * share
        ticks.append(np.clip(one.to_u(z), *ends[axis]))
    return ticks


def _wells(landscape: Landscape, box: np.ndarray, ends: np.ndarray, level: float) -> np.ndarray:
    """Bottoms of wells below a level, seen from a grid over the box.

    The grid is as dense as that of a profile of a box of that size: a scan of the whole space steps over
    wells that are narrow against their distance.
    """
    ticks = _window(landscape, box, ends, np.ones(landscape.dim), _PROFILE[landscape.dim])
    value = landscape(mesh(*ticks))
    point, depth = _refined_minima(landscape, ticks, value, ends, most=64, rounds=_ROUNDS)
    return point[depth <= level]


def _stray_points(
    landscape: Landscape, box: np.ndarray, ends: np.ndarray, level: float
) -> np.ndarray:
    """Points outside the box at which the density has not been cut, from slabs all over the space.

    A ridge that is thin against the distance of the scan's points hides from the scan, but not from
    a minimisation along slabs that cross it.
    """
    ticks = []
    for axis, one in enumerate(landscape.maps):
        crowded = _crowded_ticks(*np.arcsinh(one.to_z(ends[axis])), count=_SCAN[landscape.dim])
        ticks.append(np.clip(one.to_u(np.sinh(crowded)), *ends[axis]))
    stray = np.zeros((0, landscape.dim))
    for axis, own in enumerate(ticks):
        outside = own[(own < box[axis, 0]) | (own > box[axis, 1])]
        if len(outside):
            depth, points = profile(landscape, outside, ticks, axis)
            stray = np.concatenate([stray, points[depth <= level]])
    return stray


def _pairs(flags: np.ndarray) -> Flags:
    return tuple((bool(low), bool(high)) for low, high in flags)


def _settle_box(
    landscape: Landscape, box: np.ndarray, ends: np.ndarray, free: np.ndarray, threshold: float
) -> tuple[np.ndarray, float]:
    """Grow and shrink a box until it holds the sublevel set of every profile snugly."""
    level, count = np.inf, _PROFILE[landscape.dim]
    for _ in range(60):
        pad = 0.1 * (box[:, 1] - box[:, 0]) + 1e-9
        box = np.clip(np.stack([box[:, 0] - pad, box[:, 1] + pad], 1), ends[:, :1], ends[:, 1:])
        ticks = [np.linspace(low, high, count) for low, high in box]
        profiles = [profile(landscape, own, ticks, axis) for axis, own in enumerate(ticks)]
        level = min(depth.min() for depth, _ in profiles) + threshold
        snug, settled = box.copy(), True
        for axis, (depth, points) in enumerate(profiles):
            below = np.flatnonzero(depth <= level)
            width = box[axis, 1] - box[axis, 0]
            first, last = int(below[0]), int(below[-1])
            for side, touched in ((0, first == 0), (1, last == count - 1)):
                if not touched:
                    index = first - 1 if side == 0 else last + 1
                    snug[axis, side] = ticks[axis][index]
                elif box[axis, side] != ends[axis, side]:
                    snug[axis, side] += (2 * side - 1) * 0.7 * width
                    settled = False
                elif free[axis, side]:
                    corner = landscape.to_z(points[first if side == 0 else last])
                    raise not_normalizable(landscape.chart, landscape.describe(corner))
            settled &= bool(snug[axis, 1] - snug[axis, 0] > 0.6 * width)
        box = np.clip(snug, ends[:, :1], ends[:, 1:])
        if settled:
            break
    return box, float(level)
