r"""Where the mass of a one-dimensional density lies, and whether it has finite mass at all.

Everything is judged by $V(z) = U(z) - \frac12 \log(1 + z^2)$, minus the log density of
$t = \operatorname{asinh} z$: an algebraic tail of the density of $z$ is exponential in $t$, so that
$p(z) \propto 1/|z|$, the border of what can be normalised, has a flat $V$.
"""

import dataclasses

import numpy as np

from ebm_ppl._errors import NonFiniteEnergyError, NotNormalizableError
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._jumps import Jumps, find_jumps
from ebm_ppl.quadrature._maps import Knots

THRESHOLD = 60.0
"""Nats below the maximum at which the density is cut; e^-60 is far below what float64 adds up."""

T_LIMIT = 340.0
"""End of the scan in t: |z| up to 1e147, whose square is still finite."""

_SCAN = 4097
_OCTAVES = 17
"""How often the extent of the mass is doubled to see what lies beyond it: to 130,000 times itself."""
_MOST_LOOKS = 8
"""How often a look may find more mass, and another is taken around all of it."""
_MOST_MINIMA = 2048
_FAR = 50.0
_MAX_KNOTS = 16


@dataclasses.dataclass(frozen=True)
class Bracket:
    """The interval of z that holds all mass that counts.

    Attributes:
        low: Lower end.
        high: Upper end.
        fixed: Per end, whether it may not be moved outwards (a bound, or the end of float
            resolution).
        unresolved: Per end, whether floats do not resolve the support beyond it.
        mode: Position of the smallest V.
        knots: Position and scale of the minima that count.
        jumps: Of the density of z, in units of `exp(-lowest)`.
        lowest: Smallest potential U of the scan.
    """

    low: float
    high: float
    fixed: tuple[bool, bool]
    unresolved: tuple[bool, bool]
    mode: float
    knots: Knots
    jumps: Jumps
    lowest: float


def tail_potential(potential: np.ndarray, z: np.ndarray) -> np.ndarray:
    """V from U: minus the log density in t = asinh z, up to a constant."""
    return potential - 0.5 * np.log1p(np.square(z))


def not_normalizable(chart: Chart, where: str) -> NotNormalizableError:
    """Make the error that says on which side the mass does not end."""
    return NotNormalizableError(
        f"{chart.name} cannot be normalised: exp(-E) has not decayed {where}. Its integral "
        "diverges, or converges too slowly for quadrature; add a confining term or pass finite "
        "`bounds`."
    )


def non_finite(chart: Chart, z: np.ndarray, what: str) -> NonFiniteEnergyError:
    """Make the error that names the point at which the energy is not a number that can be used."""
    x = chart.to_support(np.asarray(z, np.float64).reshape(1, -1))[0]
    point = ", ".join(f"{value:.6g}" for value in x)
    return NonFiniteEnergyError(
        f"{chart.name} is {what} at x = {point}, where the density has mass."
    )


class _Line:
    """V along the line, with the checks that every batch of values has to pass."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return self.scan(z)[0]

    def scan(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """V and the mask of resolved points; minus infinity is refused here, NaN is kept."""
        z = np.asarray(z, np.float64)
        potential, resolved = self.chart.potential(z.reshape(-1, 1))
        below = np.flatnonzero(potential == -np.inf)
        if len(below):
            first = float(z.reshape(-1)[below[np.argmin(np.abs(z.reshape(-1)[below]))]])
            if abs(np.arcsinh(first)) > _FAR:
                raise not_normalizable(self.chart, f"at {self.describe(first)}")
            raise non_finite(self.chart, np.array([first]), "-inf")
        value = tail_potential(potential, z.reshape(-1))
        return value.reshape(z.shape), resolved.reshape(z.shape)

    def describe(self, z: float) -> str:
        x = self.chart.to_support(np.array([[z]]))[0, 0]
        return f"x = {x:.3g}"


def _local_minima(value: np.ndarray) -> np.ndarray:
    """Indices whose value is finite and not above its neighbours'."""
    finite = np.where(np.isnan(value), np.inf, value)
    padded = np.concatenate([[np.inf], finite, [np.inf]])
    lower = (padded[1:-1] <= padded[:-2]) & (padded[1:-1] <= padded[2:]) & np.isfinite(finite)
    return np.flatnonzero(lower)


def _refine_minima(line: _Line, z: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move scan minima to the true minima between their neighbours, all at once."""
    low, high = z[np.maximum(index - 1, 0)], z[np.minimum(index + 1, len(z) - 1)]
    point, value = z[index], line(z[index])
    for _ in range(14):
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 13)
        trial = line(grid)
        trial = np.where(np.isnan(trial), np.inf, trial)
        best = trial.argmin(1)
        rows = np.arange(len(index))
        better = trial[rows, best] < value
        point = np.where(better, grid[rows, best], point)
        value = np.where(better, trial[rows, best], value)
        step = (high - low) / 12
        low, high = np.maximum(low, point - step), np.minimum(high, point + step)
    return point, value


def _crossing(
    line: _Line, inside: np.ndarray, outside: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Last point below `level` on the way from `inside` to `outside`, by repeated section."""
    inside, outside = np.array(inside, np.float64), np.array(outside, np.float64)
    for _ in range(11):
        grid = inside[:, None] + (outside - inside)[:, None] * np.linspace(0, 1, 17)
        above = ~(line(grid) < level[:, None])
        above[:, -1] = True
        first = np.maximum(above.argmax(1), 1)
        rows = np.arange(len(inside))
        inside, outside = grid[rows, first - 1], grid[rows, first]
    return inside


def _scales(line: _Line, point: np.ndarray, value: np.ndarray, span: float) -> np.ndarray:
    """Distance from each minimum at which V has risen by half a nat, on the nearer side.

    A side on which the density jumps to zero says nothing about the well's width.
    """
    shortest = 1e-14 * np.abs(point) + 1e-30 * min(1.0, span)
    steps = np.geomspace(shortest, np.maximum(np.abs(point), span), 400, axis=1)
    rows = np.arange(len(point))
    distance, is_wall = np.empty((2, len(point))), np.empty((2, len(point)), bool)
    for side, sign in enumerate((-1.0, 1.0)):
        trial = line(point[:, None] + sign * steps)
        above = ~(trial < value[:, None] + 0.5)
        above[:, -1] = True
        first = above.argmax(1)
        distance[side] = steps[rows, first]
        is_wall[side] = ~np.isfinite(trial[rows, first])
    nearest = np.where(is_wall, np.inf, distance).min(0)
    return np.where(np.isfinite(nearest), nearest, distance.max(0))


def _knots(line: _Line, point: np.ndarray, value: np.ndarray, span: float) -> Knots:
    """Keep the deepest minima that are further apart than their scales."""
    scale = _scales(line, point, value, span)
    chosen: list[int] = []
    for k in np.argsort(value, kind="stable"):
        if all(abs(point[k] - point[j]) > scale[k] + scale[j] for j in chosen):
            chosen.append(int(k))
        if len(chosen) == _MAX_KNOTS:
            break
    return Knots(point[chosen], scale[chosen])


def _resolution_edge(line: _Line, z: np.ndarray, index: int, side: int) -> float:
    """Outermost resolved z between a resolved scan point and its unresolved neighbour."""
    inside, outside = float(z[index]), float(z[index + side])
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        if line.scan(np.array([middle]))[1][0]:
            inside = middle
        else:
            outside = middle
    return inside


def _hull(
    line: _Line, z: np.ndarray, value: np.ndarray, minima: np.ndarray, level: float
) -> tuple[float, float, bool, bool]:
    """Ends of the sublevel set, and whether each is the end of the scan."""
    below = np.flatnonzero(value <= level)
    first = min([minima.min(), *z[below[:1]]])
    last = max([minima.max(), *z[below[-1:]]])
    left, right = np.searchsorted(z, first, "left") - 1, np.searchsorted(z, last, "right")
    for neighbour in (left, right):
        if 0 <= neighbour < len(z) and np.isnan(value[neighbour]):
            raise non_finite(line.chart, z[neighbour : neighbour + 1], "NaN")
    inside = z[(z >= first) & (z <= last)][np.isnan(value[(z >= first) & (z <= last)])]
    if len(inside):
        raise non_finite(line.chart, inside[:1], "NaN")
    levels = np.array([level])
    low = first if left < 0 else _crossing(line, first[None], z[left][None], levels)[0]
    high = last if right >= len(z) else _crossing(line, last[None], z[right][None], levels)[0]
    return float(low), float(high), bool(left < 0), bool(right >= len(z))


@dataclasses.dataclass(frozen=True)
class _Sublevel:
    """The minima that count, the level of V below which they lie, and the ends of that set."""

    minima: np.ndarray
    depth: np.ndarray
    level: float
    ends: tuple[float, float, bool, bool]


def _sublevel(
    line: _Line, z: np.ndarray, value: np.ndarray, bounds: tuple[float, float], threshold: float
) -> _Sublevel:
    """Find the part of the line that holds the mass, from a scan of V."""
    index = _local_minima(value)
    if not len(index):
        raise not_normalizable(line.chart, "anywhere: exp(-E) is 0 at every point of the scan")
    if len(index) > _MOST_MINIMA:  # a rugged energy; the deepest hold the mass
        index = np.sort(index[np.argsort(value[index], kind="stable")[:_MOST_MINIMA]])
    minima, depth = _refine_minima(line, z, index)
    level = float(min(depth.min(), np.nanmin(value))) + threshold
    minima, depth = minima[depth <= level], depth[depth <= level]
    ends = _hull(line, z, value, minima, level)
    for at_end, bound, point in zip(ends[2:], bounds, (z[0], z[-1]), strict=True):
        if at_end and np.isinf(bound):
            raise not_normalizable(line.chart, f"at {line.describe(point)}")
    return _Sublevel(minima, depth, level, ends)


def scan_points(low: float, high: float, count: int = _SCAN) -> np.ndarray:
    """Points between two bounds, infinite or not, equidistant in asinh z, both ends included."""
    ends = np.clip(np.arcsinh([low, high]), -T_LIMIT, T_LIMIT)
    z = np.sinh(np.linspace(ends[0], ends[1], count))
    if np.isfinite(low):
        z[0] = low
    if np.isfinite(high):
        z[-1] = high
    return z


def _looked_at(low: float, high: float) -> np.ndarray:
    """Points between two ends and around them, everywhere 1/4096 of the extent that mass there would have."""
    share = np.linspace(0.0, 1.0, _SCAN)
    doublings = 2.0 ** np.arange(_OCTAVES)[:, None]
    beyond = (doublings * (1 + share) - 1).ravel() * (high - low)
    return np.concatenate([low - beyond, low + (high - low) * share, high + beyond])


def find_bracket(
    chart: Chart, low: float = -np.inf, high: float = np.inf, threshold: float = THRESHOLD
) -> Bracket:
    """Bracket the mass of a one-dimensional density between two bounds on z.

    Args:
        chart: The energy.
        low: Lower bound on z.
        high: Upper bound on z.
        threshold: Nats below the maximum at which the density is cut.

    Raises:
        NotNormalizableError: If the density has not decayed at an end that is not a bound.
        NonFiniteEnergyError: If the energy is NaN or minus infinity where there is mass.
    """
    line = _Line(chart)
    points = scan_points(low, high)
    value, resolved = line.scan(points)
    if not resolved.any() or np.all(np.isnan(value)):
        raise non_finite(chart, points[np.argmin(np.abs(points))][None], "NaN")
    keep = np.flatnonzero(resolved)
    edges = (bool(keep[0] > 0), bool(keep[-1] < len(points) - 1))
    low = _resolution_edge(line, points, int(keep[0]), -1) if edges[0] else low
    high = _resolution_edge(line, points, int(keep[-1]), 1) if edges[1] else high
    points = np.unique(np.clip(points, low, high))
    value = line(points)
    found = _sublevel(line, points, value, (low, high), threshold)
    # The first scan steps over wells that are narrow against their distance from 0. Others look between the
    # ends and around them, and once more if that finds more.
    for _ in range(_MOST_LOOKS):
        before = found.ends[:2]
        closer = np.clip(_looked_at(*before), low, high)
        points, index = np.unique(np.concatenate([points, closer]), return_index=True)
        value = np.concatenate([value, line(closer)])[index]
        found = _sublevel(line, points, value, (low, high), threshold)
        if found.ends[0] >= before[0] and found.ends[1] <= before[1]:
            break
    ends = found.ends
    at_edge = line(np.array(ends[:2]))
    jumps, lowest = _jumps_between(line, points, value, ends[:2])
    unresolved = (ends[2] and edges[0], ends[3] and edges[1])
    return Bracket(
        low=ends[0],
        high=ends[1],
        # An end that is still well below the level is a wall, where the density jumps to zero.
        fixed=(bool(at_edge[0] < found.level - 1), bool(at_edge[1] < found.level - 1)),
        unresolved=unresolved,
        mode=float(found.minima[np.argmin(found.depth)]),
        knots=_knots(line, found.minima, found.depth, ends[1] - ends[0]),
        jumps=jumps,
        lowest=lowest,
    )


def _jumps_between(
    line: _Line, points: np.ndarray, value: np.ndarray, ends: tuple[float, float]
) -> tuple[Jumps, float]:
    """Jumps of the density of z between two ends, in units of its value at the lowest potential."""
    held = (points >= ends[0]) & (points <= ends[1])
    points = points[held]
    potential = value[held] - tail_potential(np.zeros_like(points), points)
    lowest = float(np.nanmin(potential))

    def density_at(z: np.ndarray) -> np.ndarray:
        return _density(line(z) - tail_potential(np.zeros_like(z), z), lowest)

    return find_jumps(density_at, points, _density(potential, lowest)), lowest


def _density(potential: np.ndarray, lowest: float) -> np.ndarray:
    return np.nan_to_num(np.exp(np.minimum(lowest - potential, 0.0)), nan=0.0)
