"""Candidate coordinates for a two-dimensional density."""

from collections.abc import Iterator

import numpy as np
from scipy.interpolate import CubicSpline

from ebm_ppl.quadrature._box_bracket import BoxBracket
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._landscape import Landscape, refined_profile
from ebm_ppl.quadrature._maps import Axis, CoordinateMap, Knots, Uniform, anchored_axis
from ebm_ppl.quadrature._plane import Frame

# More rows would follow the noise of their own estimates, and the interpolation would suffer.
_ROWS = 128
_COLUMNS = 257


def candidate_frames(chart: Chart, bracket: BoxBracket, adapt: bool) -> Iterator[Frame]:
    """Frames to try, the simplest first.

    Args:
        chart: The energy.
        bracket: Where its mass lies.
        adapt: Whether rows may be standardised; not where columns end at a bound.
    """
    main, other = bracket.maps
    z_range = bracket.z_range(0)
    row_maps: list[CoordinateMap] = [Uniform()]
    row_maps += [Knots(main.centers, main.scales * shrink) for shrink in (1.0, 0.1, 0.01)]
    for row_map in row_maps:
        rows = anchored_axis(row_map, z_range, bracket.mode[0], bracket.fixed[0])
        if not adapt:
            columns = bracket.z_range(1)
            for column_map in (Uniform(), other):
                axis = anchored_axis(column_map, columns, bracket.mode[1], bracket.fixed[1])
                yield Frame(rows, axis)
            continue
        location, log_scale, (low, high) = _standardise_rows(chart, bracket, rows)
        for column_map in (Uniform(), Knots(np.zeros(1), np.ones(1))):
            ends = column_map.to_u(np.array([low, high]))
            yield Frame(rows, Axis(column_map, *map(float, ends)), location, log_scale)


def _standardise_rows(
    chart: Chart, bracket: BoxBracket, rows: Axis
) -> tuple[CubicSpline, CubicSpline, tuple[float, float]]:
    """Splines of location and log scale of the rows, and the range of v that holds all mass.

    Location and scale are mean and standard deviation under the *squared* conditional density: they
    vary smoothly from row to row (as a median would not, between two modes), and exist for heavy
    tails.
    """
    plane = Landscape(chart, bracket.maps)
    u = rows.nodes(_ROWS)
    first = rows.map.to_z(u)
    t = bracket.maps[0].to_u(first)
    ticks = np.linspace(bracket.low[1], bracket.high[1], _COLUMNS)
    depth, best = refined_profile(plane, t, ticks, 0)
    center = bracket.maps[1].to_z(best)
    z, value = _row_nodes(plane, t, center, depth, bracket, ticks)
    # Squared density of z: exp(-2 V) with V per unit of t, so the square needs both volumes.
    with np.errstate(over="ignore", invalid="ignore"):
        log_density = -(value - depth[:, None]) - np.log(bracket.maps[1].slope(z))
        log_density -= log_density.max(1, keepdims=True)
    width = np.zeros_like(z)
    width[:, 1:-1] = 0.5 * (z[:, 2:] - z[:, :-2])
    weight = np.exp(2 * log_density) * width
    relevant = np.flatnonzero((depth <= bracket.level) & (weight.sum(1) > 0))
    weight = weight[relevant] / weight[relevant].sum(1, keepdims=True)
    z, value, center = z[relevant], value[relevant], center[relevant]
    location = center + (weight * (z - center[:, None])).sum(1)
    spread = np.sqrt((weight * (z - location[:, None]) ** 2).sum(1))
    scale = np.maximum(spread, 1e-12 * (1e-12 + np.abs(location)))
    v = (z - location[:, None]) / scale[:, None]
    every = np.clip(np.searchsorted(relevant, np.arange(len(u))), 0, len(relevant) - 1)
    locations, log_scales = CubicSpline(u, location[every]), CubicSpline(u, np.log(scale[every]))
    held = [v[value <= bracket.level]]
    # Narrow wells lie between the rows, and would be cut off.
    wells = bracket.wells[np.abs(rows.map.to_u(bracket.wells[:, 0]) - u.mean()) <= np.ptp(u) / 2]
    if len(wells):
        own = bracket.maps[0].to_u(wells[:, 0])
        bottom = plane(np.stack([own, bracket.maps[1].to_u(wells[:, 1])], -1))
        z, value = _row_nodes(plane, own, wells[:, 1], bottom, bracket, ticks)
        at = rows.map.to_u(wells[:, 0])[:, None]
        held.append(((z - locations(at)) / np.exp(log_scales(at)))[value <= bracket.level])
    extent = np.concatenate(held)
    low, high = float(extent.min()), float(extent.max())
    margin = 0.03 * (high - low)
    return locations, log_scales, (low - margin, high + margin)


def _row_nodes(
    plane: Landscape,
    t: np.ndarray,
    center: np.ndarray,
    depth: np.ndarray,
    bracket: BoxBracket,
    ticks: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted nodes z2 of each row, crowded at its mode and spread over the box, and V there."""
    low, high = bracket.z_range(1)
    column = bracket.maps[1]

    def value(z: np.ndarray) -> np.ndarray:
        own = np.broadcast_to(t[:, None], z.shape)
        return plane(np.stack([own, column.to_u(z)], -1))

    steps = np.geomspace(1e-12 * np.abs(center) + 1e-20 * (high - low), high - low, 250, axis=1)
    nearest = np.full(len(center), np.inf)
    for sign in (-1.0, 1.0):
        above = value(center[:, None] + sign * steps) >= depth[:, None] + 0.5
        above[:, -1] = True
        nearest = np.minimum(nearest, steps[np.arange(len(center)), above.argmax(1)])
    start, end = np.arcsinh((low - center) / nearest), np.arcsinh((high - center) / nearest)
    tau = start[:, None] + (end - start)[:, None] * np.linspace(0, 1, _COLUMNS)
    crowded = center[:, None] + nearest[:, None] * np.sinh(tau)
    spread = np.broadcast_to(column.to_z(ticks), crowded.shape)
    z = np.sort(np.concatenate([crowded, spread], axis=1), axis=1)
    return z, value(z)
