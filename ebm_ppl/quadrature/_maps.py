r"""Coordinates for the grid: increasing analytic maps of the real line.

The trapezoid rule converges exponentially in any analytic coordinate in which the integrand decays
at both ends, so the coordinate decides how many nodes are needed. Uniform nodes serve one length
scale. Several wells of unequal width, or an algebraic tail, are served by

.. math:: u(z) = \sum_k \operatorname{asinh}((z - c_k) / s_k),

which resolves every knot $c_k$ at its own scale $s_k$ and turns algebraic tails into exponential
ones.
"""

import dataclasses

import numpy as np

from ebm_ppl.quadrature._solve import increasing_root

_LOOKUP = 2049


@dataclasses.dataclass(frozen=True)
class Uniform:
    """The identity: nodes uniform in z."""

    def to_z(self, u: np.ndarray) -> np.ndarray:
        """Position z(u)."""
        return u

    def to_u(self, z: np.ndarray) -> np.ndarray:
        """Coordinate u(z)."""
        return z

    def slope(self, z: np.ndarray) -> np.ndarray:
        """Derivative dz/du at z."""
        return np.ones_like(z)


@dataclasses.dataclass(frozen=True)
class Knots:
    """Nodes crowded at each knot in proportion to its scale, and spread out exponentially far away.

    Attributes:
        centers: Knots, shape (k,).
        scales: Their length scales, shape (k,).
    """

    centers: np.ndarray
    scales: np.ndarray

    def to_u(self, z: np.ndarray) -> np.ndarray:
        """Coordinate u(z)."""
        z = np.asarray(z, np.float64)
        return np.asarray(np.arcsinh((z[..., None] - self.centers) / self.scales).sum(-1))

    def slope(self, z: np.ndarray) -> np.ndarray:
        """Derivative dz/du at z."""
        z = np.asarray(z, np.float64)
        density = (1.0 / np.hypot(z[..., None] - self.centers, self.scales)).sum(-1)
        return np.asarray(1.0 / density)

    def to_z(self, u: np.ndarray) -> np.ndarray:
        """Position z(u), in closed form for one knot and by safeguarded Newton steps for more."""
        u = np.asarray(u, np.float64)
        if len(self.centers) == 1:
            return np.asarray(self.centers[0] + self.scales[0] * np.sinh(u))
        if u.size > 2 * _LOOKUP:
            return self._from_lookup(u)
        # u is a sum of increasing terms: some term is at least u/k, some at most, which brackets z.
        share = u[..., None] / len(self.centers)
        candidates = self.centers + self.scales * np.sinh(share)
        # The root is sought in y = asinh((z - c_0) / s_0), as z itself may span hundreds of
        # decades.
        center, scale = self.centers[0], self.scales[0]
        low = np.arcsinh((candidates.min(-1) - center) / scale)
        high = np.arcsinh((candidates.max(-1) - center) / scale)

        def value_and_slope(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            z = center + scale * np.sinh(y)
            return self.to_u(z) - u, scale * np.cosh(y) / self.slope(z)

        return center + scale * np.sinh(increasing_root(value_and_slope, low, high))

    def _from_lookup(self, u: np.ndarray) -> np.ndarray:
        """Solve for many u: tabulate the solution first, for close brackets."""
        ticks = np.linspace(u.min(), u.max(), _LOOKUP)
        center, scale = self.centers[0], self.scales[0]
        table = np.arcsinh((self.to_z(ticks) - center) / scale)
        cell = np.clip(np.searchsorted(ticks, u, side="right") - 1, 0, _LOOKUP - 2)
        low, high = table[cell], table[cell + 1]

        def value_and_slope(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            z = center + scale * np.sinh(y)
            return self.to_u(z) - u, scale * np.cosh(y) / self.slope(z)

        start = low + (high - low) * (u - ticks[cell]) / (ticks[1] - ticks[0])
        return center + scale * np.sinh(increasing_root(value_and_slope, low, high, start=start))


CoordinateMap = Uniform | Knots


@dataclasses.dataclass(frozen=True)
class Axis:
    """One coordinate of a grid: a map and a range of u.

    Attributes:
        map: The coordinate map.
        low: Lower end in u.
        high: Upper end in u.
    """

    map: CoordinateMap
    low: float
    high: float

    def nodes(self, num_intervals: int) -> np.ndarray:
        """Equidistant nodes in u, shape (num_intervals + 1,)."""
        return np.linspace(self.low, self.high, num_intervals + 1)

    def nodes_around(self, z: np.ndarray, num_intervals: int) -> np.ndarray:
        """Numbers of the node nearest to each z and of its neighbours, shape (..., 3)."""
        step = (self.high - self.low) / num_intervals
        nearest = np.rint((self.map.to_u(z) - self.low) / step).astype(int)
        return np.clip(nearest[..., None] + np.array([-1, 0, 1]), 0, num_intervals)


def anchored_axis(
    coordinate: CoordinateMap,
    z_range: tuple[float, float],
    anchor: float,
    fixed: tuple[bool, bool],
    coarsest: int = 32,
) -> Axis:
    """Make the axis of a range, and lengthen a free end such that `anchor` is a node of every grid.

    A kink of the energy at the main mode then costs Simpson's rule nothing.
    """
    low, high = (float(u) for u in coordinate.to_u(np.array(z_range)))
    if all(fixed):
        return Axis(coordinate, low, high)
    middle = float(coordinate.to_u(np.array([anchor]))[0])
    if not low < middle < high:
        return Axis(coordinate, low, high)
    if not fixed[1]:
        steps = max(1, int(np.floor((middle - low) / (high - low) * coarsest)))
        if steps < coarsest:
            stretched = low + (middle - low) * coarsest / steps
            if stretched - high <= (high - low):
                return Axis(coordinate, low, max(high, stretched))
    if not fixed[0]:
        steps = max(1, int(np.floor((high - middle) / (high - low) * coarsest)))
        stretched = high - (high - middle) * coarsest / steps
        if low - stretched <= (high - low):
            return Axis(coordinate, min(low, stretched), high)
    return Axis(coordinate, low, high)
