"""A one-dimensional grid: nodes, integral, cumulative distribution and its inverse."""

import dataclasses
import functools

import numpy as np

from ebm_ppl.quadrature._bracket import non_finite
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._curve import Curve
from ebm_ppl.quadrature._jumps import Jumps, find_jumps
from ebm_ppl.quadrature._maps import Axis
from ebm_ppl.quadrature._rules import Integral, integrate, rule_weights

_TABLE_INTERVALS = 8192


def node_log_density(
    chart: Chart, points: np.ndarray, log_volume: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log density of the grid coordinate at nodes (n, dim), and the potential there.

    Raises:
        NonFiniteEnergyError: If the energy is NaN or minus infinity at a node.
    """
    potential, _ = chart.potential(points)
    for bad, what in ((np.isnan(potential), "NaN"), (potential == -np.inf, "-inf")):
        if bad.any():
            raise non_finite(chart, points[np.flatnonzero(bad)[0]], what)
    return log_volume - potential, potential


class LineGrid:
    """Values of the density of u at equidistant nodes of one axis.

    Args:
        chart: The energy.
        axis: The axis.
        num_intervals: Number of intervals.
        jumps: Jumps of the density of z, if they are known; by default those between nodes.
        lowest: Potential at which that density is 1.

    Attributes:
        axis: The axis.
        num_intervals: Number of intervals.
        estimate: The integral of `exp(log density - offset)` by both rules.
        offset: Largest log density at a node.
        potential_scale: Mean absolute potential, which sets the roundoff of the integral.
    """

    def __init__(
        self,
        chart: Chart,
        axis: Axis,
        num_intervals: int,
        jumps: Jumps | None = None,
        lowest: float = 0.0,
    ) -> None:
        self.chart, self.axis, self.num_intervals = chart, axis, num_intervals
        self._z, log_density, potential = self._values(num_intervals)
        # Where every node misses the mass, the integral is 0 and its estimated error infinite.
        self.offset = max(float(log_density.max()), -np.finfo(np.float64).max)
        self.density = np.exp(log_density - self.offset)
        self._step = (axis.high - axis.low) / num_intervals
        if jumps is None:
            self._jumps = find_jumps(self._density_at, axis.nodes(num_intervals), self.density)
        else:
            self._jumps = jumps.on(axis, -lowest - self.offset if self.density.any() else -np.inf)
        self._lacking = self._jumps.corrections(axis.low, self._step, self.density)
        self.estimate = self._estimate()
        masses = self.masses
        self.potential_scale = float(np.abs(potential[masses > 0]) @ masses[masses > 0])

    def _values(self, num_intervals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._values_at(self.axis.nodes(num_intervals))

    def _values_at(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z = self.axis.map.to_z(u)
        log_volume = np.log(self.axis.map.slope(z))
        return z, *node_log_density(self.chart, z[:, None], log_volume)

    def _density_at(self, u: np.ndarray) -> np.ndarray:
        return np.exp(self._values_at(u)[1] - self.offset)

    def _estimate(self) -> Integral:
        """By both rules; by the trapezoid rule on either side of jumps, where Simpson's is off by a step."""
        low, width = self.axis.low, self.axis.high - self.axis.low
        plain = integrate(self.density, [width])
        if not len(self._jumps) or not self.density.any():
            return plain
        half = self.density[::2]
        lacking_half = self._jumps.corrections(low, 2 * self._step, half)
        fine, coarse = (
            float(np.sum(rule_weights("trapezoid", len(values) - 1, width) * values + lacking))
            for values, lacking in ((self.density, self._lacking), (half, lacking_half))
        )
        if not fine > 0:  # The jumps that were found are not those of this grid.
            return dataclasses.replace(plain, error=np.inf)
        unresolved = self._jumps.unresolved(low, self._step, self.density)
        heights = float(np.sum(np.abs(self._jumps.right - self._jumps.left)))
        simpson = plain.value if plain.rule == "simpson" else plain.other_value
        return Integral(
            rule="trapezoid",
            value=fine,
            error=(abs(fine - coarse) + unresolved) / fine,
            other_value=simpson,
            other_error=heights * self._step / fine,
        )

    @property
    def points(self) -> np.ndarray:
        """Nodes in z, shape (num_intervals + 1, 1)."""
        return self._z[:, None]

    @property
    def masses(self) -> np.ndarray:
        """Probability that the rule gives each node, shape (num_intervals + 1,)."""
        weights = rule_weights(
            self.estimate.rule, self.num_intervals, self.axis.high - self.axis.low
        )
        return (weights * self.density + self._lacking) / (self.estimate.value or 1.0)

    def nodes_around(self, z: np.ndarray) -> np.ndarray:
        """Nodes around points (k, 1), shape (k, 3, 1)."""
        return self.points[self.axis.nodes_around(z[:, 0], self.num_intervals)]

    def edge_densities(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Nodes in z and density of z along the axis."""
        return [
            (self._z, self.density / self.axis.map.slope(self._z) / (self.estimate.value or 1.0))
        ]

    @functools.cached_property
    def curve(self) -> Curve:
        """Cumulative distribution of u on a grid fine enough for interpolation."""
        return Curve(self.axis.low, self.axis.high, self.tabulate()[2])

    def tabulate(self) -> tuple[np.ndarray, None, np.ndarray]:
        """Positions z and densities of u on a grid fine enough for linear interpolation."""
        z, log_density, _ = self._values(max(self.num_intervals, _TABLE_INTERVALS))
        return z, None, np.exp(log_density - self.offset)

    def rosenblatt(self, z: np.ndarray) -> np.ndarray:
        """Cumulative probabilities of points (n, 1)."""
        return self.curve.cdf(self.axis.map.to_u(z[:, 0]))[:, None]

    def inverse_rosenblatt(self, probability: np.ndarray) -> np.ndarray:
        """Points (n, 1) with given cumulative probabilities."""
        return self.axis.map.to_z(self.curve.quantile(probability[:, 0]))[:, None]
