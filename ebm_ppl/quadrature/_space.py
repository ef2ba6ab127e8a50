"""A three-dimensional grid: the tensor product of three axes, filled one plane after the other."""

import numpy as np

from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._line import node_log_density
from ebm_ppl.quadrature._maps import Axis
from ebm_ppl.quadrature._rules import integrate, rule_weights
from ebm_ppl.quadrature._steps import step_error

MOST_BYTES = 2**28
"""Memory that the nodes of a grid and their probabilities may take: 256 MiB."""

_BYTES_PER_NODE = 32  # three coordinates and a probability

MOST_INTERVALS = 4 * ((int((MOST_BYTES / _BYTES_PER_NODE) ** (1 / 3)) - 1) // 4)
"""The most intervals along each axis that fit into it, a multiple of four."""


def check_memory(num_intervals: int) -> None:
    """Refuse a grid that would take too much memory."""
    if num_intervals > MOST_INTERVALS:
        needed = _BYTES_PER_NODE * (num_intervals + 1) ** 3 / 2**20
        raise ValueError(
            f"`num_intervals` must be at most {MOST_INTERVALS} for three coordinates, whose grid may take "
            f"{MOST_BYTES // 2**20} MiB; got {num_intervals}, which takes {needed:,.0f} MiB."
        )


class SpaceGrid:
    """Values of the density of (u1, u2, u3) at the nodes of three axes.

    Attributes:
        axes: The axes.
        num_intervals: Number of intervals along each.
        estimate: The integral of `exp(log density - offset)` by both rules.
        offset: Largest log density at a node.
        potential_scale: Mean absolute potential, which sets the roundoff of the integral.
    """

    def __init__(self, chart: Chart, axes: tuple[Axis, ...], num_intervals: int) -> None:
        check_memory(num_intervals)
        self.chart, self.axes, self.num_intervals = chart, axes, num_intervals
        self._z = [axis.map.to_z(axis.nodes(num_intervals)) for axis in axes]
        log_slope = [np.log(axis.map.slope(z)) for axis, z in zip(axes, self._z, strict=True)]
        across = (log_slope[1][:, None] + log_slope[2]).reshape(-1)
        log_density = np.empty((num_intervals + 1,) * 3)
        for row, first in enumerate(self._z[0]):
            values, _ = node_log_density(chart, self._plane(first), log_slope[0][row] + across)
            log_density[row] = values.reshape(log_density.shape[1:])
        # Where every node misses the mass, the integral is 0 and its estimated error infinite.
        self.offset = max(float(log_density.max()), -np.finfo(np.float64).max)
        self.density = np.exp(log_density - self.offset)
        self._widths = [axis.high - axis.low for axis in axes]
        nodes = [axis.nodes(num_intervals) for axis in axes]
        self.estimate = integrate(self.density, self._widths).off_by(
            step_error(self.density, nodes, self._density_at)
        )
        held = self.density > 0
        volume = log_slope[0][:, None] + across
        potential = np.where(held, volume.reshape(held.shape) - log_density, 0.0)
        self.potential_scale = float(np.abs(potential).reshape(-1) @ self.masses)

    def _density_at(self, u: np.ndarray) -> np.ndarray:
        z = np.stack([axis.map.to_z(u[:, k]) for k, axis in enumerate(self.axes)], -1)
        slope = [axis.map.slope(z[:, k]) for k, axis in enumerate(self.axes)]
        log_density, _ = node_log_density(self.chart, z, np.log(slope).sum(0))
        return np.exp(log_density - self.offset)

    def _plane(self, first: float) -> np.ndarray:
        """Positions of all nodes with one first coordinate, shape ((num_intervals + 1)^2, 3)."""
        second, third = np.meshgrid(self._z[1], self._z[2], indexing="ij")
        return np.stack([np.full_like(second, first), second, third], -1).reshape(-1, 3)

    @property
    def points(self) -> np.ndarray:
        """Nodes in z, shape ((num_intervals + 1)^3, 3)."""
        return np.stack(np.meshgrid(*self._z, indexing="ij"), -1).reshape(-1, 3)

    @property
    def masses(self) -> np.ndarray:
        """Probability that the rule gives each node, shape ((num_intervals + 1)^3,)."""
        first, second, third = (
            rule_weights(self.estimate.rule, self.num_intervals, width) for width in self._widths
        )
        weights = first[:, None, None] * second[:, None] * third / (self.estimate.value or 1.0)
        return (weights * self.density).reshape(-1)

    def nodes_around(self, z: np.ndarray) -> np.ndarray:
        """Nodes around points (k, 3), shape (k, 27, 3)."""
        lines = [
            self._z[k][axis.nodes_around(z[:, k], self.num_intervals)]
            for k, axis in enumerate(self.axes)
        ]
        first, second, third = lines
        shape = (len(z), 3, 3, 3)
        nodes = [
            np.broadcast_to(first[:, :, None, None], shape),
            np.broadcast_to(second[:, None, :, None], shape),
            np.broadcast_to(third[:, None, None, :], shape),
        ]
        return np.stack(nodes, -1).reshape(len(z), -1, 3)

    def edge_densities(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per axis, nodes in z and the marginal density."""
        masses = self.masses.reshape(self.density.shape)
        found = []
        for axis, z in enumerate(self._z):
            others = tuple(other for other in range(3) if other != axis)
            weights = rule_weights(self.estimate.rule, self.num_intervals, self._widths[axis])
            found.append((z, masses.sum(others) / weights / self.axes[axis].map.slope(z)))
        return found
