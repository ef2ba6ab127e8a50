"""`normalize`: from an energy to its normalised density, its grid chosen by estimated error."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ebm_ppl._checks import check_count, check_positive
from ebm_ppl._errors import NotNormalizableError
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.quadrature._box_bracket import BoxBracket, find_box_bracket
from ebm_ppl.quadrature._bracket import Bracket, find_bracket
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._density import Bounds, QuadratureDensity
from ebm_ppl.quadrature._frame import candidate_frames
from ebm_ppl.quadrature._line import LineGrid
from ebm_ppl.quadrature._maps import Axis, Knots, Uniform, anchored_axis
from ebm_ppl.quadrature._plane import Frame, PlaneGrid
from ebm_ppl.quadrature._space import SpaceGrid, check_memory

Grid = LineGrid | PlaneGrid | SpaceGrid

_COARSEST = {1: 64, 2: 64, 3: 32}
_EXPLORED = {1: 2**12, 2: 2**8, 3: 2**6}
_FINEST = {1: 2**15, 2: 2**11, 3: 2**7}
_SECOND_LOOK = {1: 4124, 2: 580, 3: 116}
"""Intervals of a grid that has no node in common with those that are doubled, nor divides them evenly."""
_TOLERANCE = {1: 1e-10, 2: 1e-8, 3: 1e-8}
_UNRELIABLE = 1e-2
_NEAR_BOTTOM = 1.0
"""Nats above a well's bottom at which a node still sees it."""
_MAX_MISSING = 1e-6
_SAFETY = 4.0  # Rounding of x spoils the density at the last nodes that floats resolve.


def normalize(
    energy: AbstractEnergy,
    *,
    bounds: Any = None,
    num_intervals: int | None = None,
    relative_tolerance: float | None = None,
) -> QuadratureDensity:
    r"""Integrate $\exp(-E)$ over the support of an energy of one to three coordinates, in float64.

    Without `bounds` the mass is bracketed automatically, after a check that it is finite. The grid
    lies in an unconstrained coordinate, uniform or stretched, is doubled until the integral stops
    changing, and gives the integral by Simpson's and the trapezoid rule; the one with the smaller
    estimated error is reported. A grid counts only if it has a node near the bottom of every well, and if
    another grid, of a step that is no multiple of its own, agrees.

    What is looked at: everywhere, in steps of a sixth of the distance from 0 for one coordinate, more
    coarsely for more; then around the mass that this finds, on grids that double in size, with 4096
    points along one coordinate up to 130,000 times its extent, 128 along each of two and 32 along each of
    three up to 4,000 times. A well or a hole that is narrower than a step of the grid of its distance may be
    overlooked.

    Where the density of one coordinate jumps, the places are found to the last digit of floats, and the
    trapezoid rule is used between them. Jumps of more coordinates lie across the grid: the error is then as
    wide as half a step all along them, about 1e-3 in the plane; in space most are refused.

    A grid in space is the plain tensor product of three axes. It is kept within 256 MiB, which is 200
    intervals along each axis; a density that needs more, such as a thin ridge across the axes, comes with
    the error that was reached, or is refused.

    Args:
        energy: The energy; its support constrains each coordinate by itself.
        bounds: Part of the support to integrate over: a pair, or one pair per coordinate.
        num_intervals: Number of intervals along each axis, a multiple of four; by default as many
            as `relative_tolerance` needs. With finite `bounds` the nodes are then uniform between
            them.
        relative_tolerance: Estimated relative error of $Z$ to aim at; by default 1e-10 for one
            coordinate (at most 32768 intervals) and 1e-8 for two (at most 2048) or three (at
            most 128).

    Returns:
        The normalised density, with the estimated error that was reached.

    Raises:
        NotNormalizableError: If $Z$ is infinite, or the mass cannot be found or resolved.
        NonFiniteEnergyError: If the energy is NaN or minus infinity where the density has mass.
        ValueError: If the energy has more than three coordinates, its support couples them, its
            parameters are traced, an argument is out of range, or `num_intervals` would take a grid in
            space beyond 256 MiB.

    Examples:
        >>> import numpy as np
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.quadrature import normalize
        >>> density = normalize(Quartic(a=0.5, b=0.0, gamma=np.log(0.1)), bounds=(-6.0, 6.0))
        >>> print(f"{np.exp(density.log_z):.6f} {density.density(1.0):.6f}")
        2.149706 0.255296

    References:
        Trefethen and Weideman, "The exponentially convergent trapezoidal rule", SIAM Review 56
        (2014).
    """
    chart = Chart(energy)
    if num_intervals is not None:
        check_count("num_intervals", num_intervals, minimum=4)
        if num_intervals % 4:
            raise ValueError(f"`num_intervals` must be a multiple of four; got {num_intervals}.")
        if chart.dim == 3:
            check_memory(num_intervals)
    if relative_tolerance is None:
        relative_tolerance = _TOLERANCE[chart.dim]
    check_positive("relative_tolerance", relative_tolerance)
    limits = _read_bounds(chart, bounds)
    z_limits = _z_limits(chart, limits)
    uniform = num_intervals is not None and bool(np.all(np.isfinite(z_limits)))
    candidates, unresolved, wells = _CANDIDATES[chart.dim](chart, z_limits, uniform)
    if num_intervals is not None:
        grid = min(
            (make(num_intervals) for make in candidates), key=lambda grid: grid.estimate.error
        )
        error = grid.estimate.error
    else:
        grid, error = _search(candidates, chart, wells, relative_tolerance)
        if not error < _UNRELIABLE:
            raise NotNormalizableError(
                f"{chart.name} cannot be normalised: its integral still changes by "
                f"{error:.1e} (relative) on {grid.num_intervals} intervals."
            )
    return _density(energy, chart, grid, error, limits, unresolved)


def _read_bounds(chart: Chart, bounds: Any) -> np.ndarray:
    """Bounds in the support, shape (dim, 2)."""
    support = np.stack([chart.lower, chart.upper], 1)
    if bounds is None:
        return support
    pairs = np.asarray(bounds, np.float64)
    if pairs.shape not in ((2,), (chart.dim, 2)):
        raise ValueError(f"Expected `bounds` of shape (2,) or ({chart.dim}, 2); got {pairs.shape}.")
    pairs = np.broadcast_to(pairs, (chart.dim, 2))
    if not np.all(pairs[:, 0] < pairs[:, 1]):
        raise ValueError(f"`bounds` must have a lower end below the upper end; got {bounds!r}.")
    if np.any(pairs[:, 0] < support[:, 0]) or np.any(pairs[:, 1] > support[:, 1]):
        raise ValueError(f"`bounds` must lie in the support {support.tolist()}; got {bounds!r}.")
    return pairs


def _z_limits(chart: Chart, limits: np.ndarray) -> np.ndarray:
    """Bounds on z, shape (dim, 2); infinite at the support's own ends."""
    inner = chart.to_support(np.zeros((1, chart.dim)))[0]
    ends = np.where(np.isinf(limits), inner[:, None], limits)
    z = chart.from_support(ends.T).T
    return np.where(np.isinf(limits), limits, z)


def mass_range(energy: AbstractEnergy, threshold: float, widening: float) -> np.ndarray:
    """Range of the support that holds the mass, per coordinate, shape (dim, 2).

    Args:
        energy: A concrete energy.
        threshold: Nats below the maximum at which the density is cut.
        widening: Factor by which the range is widened in the unconstrained coordinate.
    """
    chart = Chart(energy)
    if chart.dim == 1:
        bracket = find_bracket(chart, threshold=threshold)
        z = np.array([[bracket.low, bracket.high]])
    else:
        box = find_box_bracket(chart, threshold=threshold)
        z = np.array([box.z_range(axis) for axis in range(chart.dim)])
    middle, half = z.mean(1, keepdims=True), widening * np.diff(z, axis=1) / 2
    return chart.to_support((middle + half * np.array([-1.0, 1.0])).T).T


Unresolved = Sequence[tuple[bool, bool]]
Candidates = tuple[Iterable[Callable[[int], Grid]], Unresolved, np.ndarray]
"""Makers of grids; per axis and end whether floats end there; positions of wells that a grid has to see."""


def _line_candidates(chart: Chart, z_limits: np.ndarray, uniform: bool) -> Candidates:
    low, high = (float(end) for end in z_limits[0])
    if uniform:
        axis = Axis(Uniform(), low, high)
        return [lambda n: LineGrid(chart, axis, n)], [(False, False)], np.zeros((0, 1))
    bracket = find_bracket(chart, low, high)
    makers = [
        lambda n, axis=axis: LineGrid(chart, axis, n, bracket.jumps, bracket.lowest)
        for axis in _line_axes(bracket)
    ]
    return makers, [bracket.unresolved], bracket.knots.centers[:, None]


def _line_axes(bracket: Bracket) -> list[Axis]:
    knots = bracket.knots
    maps = [Uniform(), knots, Knots(knots.centers, knots.scales / 16)]
    ends = (bracket.low, bracket.high)
    return [anchored_axis(one, ends, bracket.mode, bracket.fixed) for one in maps]


def _plane_candidates(chart: Chart, z_limits: np.ndarray, uniform: bool) -> Candidates:
    if uniform:
        rows, columns = (Axis(Uniform(), float(low), float(high)) for low, high in z_limits)
        frames: Iterable[Frame] = [Frame(rows, columns)]
        unresolved: Unresolved = [(False, False)] * 2
        wells = np.zeros((0, 2))
    else:
        bracket = find_box_bracket(chart, z_limits)
        frames = candidate_frames(chart, bracket, adapt=not any(bracket.fixed[1]))
        unresolved, wells = bracket.unresolved, bracket.wells
    makers = (lambda n, frame=frame: PlaneGrid(chart, frame, n) for frame in frames)
    return makers, unresolved, wells


def _space_candidates(chart: Chart, z_limits: np.ndarray, uniform: bool) -> Candidates:
    if uniform:
        choices = [tuple(Axis(Uniform(), float(low), float(high)) for low, high in z_limits)]
        unresolved: Unresolved = [(False, False)] * 3
        wells = np.zeros((0, 3))
    else:
        bracket = find_box_bracket(chart, z_limits)
        choices, unresolved = list(_space_axes(bracket)), bracket.unresolved
        wells = bracket.wells
    return [lambda n, axes=axes: SpaceGrid(chart, axes, n) for axes in choices], unresolved, wells


def _space_axes(bracket: BoxBracket) -> Iterable[tuple[Axis, ...]]:
    stretched = (
        tuple(Knots(one.centers, one.scales * shrink) for one in bracket.maps)
        for shrink in (1.0, 0.1)
    )
    for maps in ((Uniform(),) * 3, *stretched):
        yield tuple(
            anchored_axis(one, bracket.z_range(axis), bracket.mode[axis], bracket.fixed[axis])
            for axis, one in enumerate(maps)
        )


_CANDIDATES = {1: _line_candidates, 2: _plane_candidates, 3: _space_candidates}


def _search(
    candidates: Iterable[Callable[[int], Grid]], chart: Chart, wells: np.ndarray, tolerance: float
) -> tuple[Grid, float]:
    """Double each candidate's grid to a moderate size, then the best one's, until one converges.

    A grid between whose nodes a well lies unseen agrees with a coarser one, and does not count.

    Returns:
        The grid, and the estimated relative error of its integral.

    Raises:
        NotNormalizableError: If no grid sees all wells.
    """
    bottom, _ = chart.potential(wells)
    best: Grid | None = None
    best_make: Callable[[int], Grid] | None = None
    least = np.inf
    makers = []
    for make in candidates:
        makers.append(make)
        previous = np.inf
        count = _COARSEST[chart.dim]
        while count <= _EXPLORED[chart.dim]:
            grid = make(count)
            error = grid.estimate.error if _sees(grid, chart, wells, bottom) else np.inf
            # Twice in a row: one lucky agreement of two coarse grids is not enough.
            if max(error, previous**2) <= tolerance:
                error = _second_opinion(make, grid)
                if error <= tolerance:
                    return grid, error
            if error < np.inf and error <= least:
                best, best_make, least = grid, make, error
            previous = error
            count *= 2
    for make in makers if best_make is None else [best_make]:
        count = 2 * _EXPLORED[chart.dim]
        while count <= _FINEST[chart.dim] and least > tolerance:
            grid = make(count)
            if grid.estimate.error < least and _sees(grid, chart, wells, bottom):
                best, best_make, least = grid, make, grid.estimate.error
            count *= 2
    if best is None or best_make is None:
        raise NotNormalizableError(
            f"{chart.name} cannot be normalised: on {_FINEST[chart.dim]} intervals no grid over all of its "
            f"{len(wells)} wells resolves the narrowest."
        )
    return best, max(least, _second_opinion(best_make, best))


def _second_opinion(make: Callable[[int], Grid], grid: Grid) -> float:
    """Error of a grid, once another has looked between its nodes.

    A grid of n intervals and one of n/2 agree on a ripple of n waves, and on a hole that no node is in.
    """
    nine_tenths = 4 * round(0.9 * grid.num_intervals / 4)
    other = make(max(_SECOND_LOOK[grid.chart.dim], nine_tenths))
    shift = float(np.abs(np.expm1(log_integral(other) - log_integral(grid))))
    return max(grid.estimate.error, other.estimate.steps, shift)


def log_integral(grid: Grid) -> float:
    """Logarithm of the integral over a grid."""
    value = grid.estimate.value
    return float(np.log(value)) + grid.offset if value > 0 else -np.inf


def _sees(grid: Grid, chart: Chart, wells: np.ndarray, bottom: np.ndarray) -> bool:
    """Whether next to each well there is a node that is hardly above its bottom."""
    if not len(wells):
        return True
    nodes = grid.nodes_around(wells)
    around, _ = chart.potential(nodes.reshape(-1, chart.dim))
    return bool(np.all(around.reshape(len(wells), -1).min(axis=1) <= bottom + _NEAR_BOTTOM))


def _missing_mass(grid: Grid, unresolved: Unresolved) -> float:
    """Probability beyond the ends at which floats stop resolving the support, extrapolated."""
    missing = 0.0
    for (z, density), ends in zip(grid.edge_densities(), unresolved, strict=False):
        for flag, order in zip(ends, (1, -1), strict=True):
            held = np.flatnonzero(
                density[::order] > 0
            )  # the last node may lie beyond the last float
            if not flag or not len(held):
                continue
            outer = int(held[0])
            distance, inwards = np.abs(z[::order] - z[::order][outer]), density[::order]
            distance, inwards = distance[outer:], inwards[outer:]
            inner = int(np.searchsorted(distance, 0.1 * distance[-1]))
            rate = np.log(inwards[inner] / inwards[0]) / distance[inner]
            missing += _SAFETY * inwards[0] / rate if rate > 0 else np.inf
    return missing


def _density(
    energy: AbstractEnergy,
    chart: Chart,
    grid: Grid,
    error: float,
    limits: np.ndarray,
    unresolved: Unresolved,
) -> QuadratureDensity:
    estimate = grid.estimate
    missing = _missing_mass(grid, unresolved)
    if missing > _MAX_MISSING:
        raise NotNormalizableError(
            f"{chart.name} cannot be normalised: exp(-E) has not decayed where float64 stops "
            f"resolving the support's edge (mass beyond it: about {missing:.1e} of the rest)."
        )
    roundoff = np.finfo(np.float64).eps * (4.0 + grid.potential_scale)
    bounds: Bounds = tuple((float(low), float(high)) for low, high in limits)
    other = np.log(estimate.other_value) if estimate.other_value > 0 else -np.inf
    return QuadratureDensity(
        energy=energy,
        dim=chart.dim,
        log_z=log_integral(grid),
        log_z_error=float(error + missing + roundoff),
        rule=estimate.rule,
        num_intervals=grid.num_intervals,
        bounds=bounds,
        other_log_z=float(other) + grid.offset,
        other_log_z_error=float(estimate.other_error + missing + roundoff),
        _chart=chart,
        _grid=grid,
    )
