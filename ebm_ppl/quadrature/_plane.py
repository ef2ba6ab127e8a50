r"""A two-dimensional grid whose rows follow the density.

Rows are lines of constant $z_1$. In each row the column coordinate is standardised,
$z_2 = a(u_1) + b(u_1) v$, with smooth location $a$ and scale $b$ of the conditional density.
Ridges, bananas and funnels become straight, so few nodes resolve them, and the conditional
distribution hardly changes from row to row, so that it can be interpolated. The integral stays
exact whatever $a$ and $b$
are: they only place the nodes.
"""

import dataclasses
import functools

import numpy as np
from scipy.interpolate import CubicSpline

from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._conditional import ConditionalTable
from ebm_ppl.quadrature._curve import Curve
from ebm_ppl.quadrature._line import node_log_density
from ebm_ppl.quadrature._maps import Axis
from ebm_ppl.quadrature._rules import integrate, rule_weights
from ebm_ppl.quadrature._steps import step_error

_TABLE_ROWS, _TABLE_COLUMNS = 512, 2048
_MARGINAL_ROWS = 2048


@dataclasses.dataclass(frozen=True)
class Frame:
    """Coordinates of the plane: an axis of rows, a standardisation of each row, an axis of columns.

    Attributes:
        rows: Axis of the rows.
        columns: Axis of the columns, in the standardised v.
        location: Spline of a over u1, or `None` where columns are not adapted.
        log_scale: Spline of log b over u1, or `None`.
    """

    rows: Axis
    columns: Axis
    location: CubicSpline | None = None
    log_scale: CubicSpline | None = None

    def standardisation(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Location a and scale b of the rows at u."""
        if self.location is None or self.log_scale is None:
            return np.zeros_like(u), np.ones_like(u)
        u = np.clip(u, self.rows.low, self.rows.high)
        return self.location(u), np.exp(self.log_scale(u))


class PlaneGrid:
    """Values of the density of (u1, u2) at the nodes of a frame.

    Attributes:
        frame: The coordinates.
        num_intervals: Number of intervals along each axis.
        estimate: The integral of `exp(log density - offset)` by both rules.
        offset: Largest log density at a node.
        potential_scale: Mean absolute potential, which sets the roundoff of the integral.
    """

    def __init__(self, chart: Chart, frame: Frame, num_intervals: int) -> None:
        self.chart, self.frame, self.num_intervals = chart, frame, num_intervals
        self._table_rows = max(num_intervals, _TABLE_ROWS)
        self._table_columns = max(num_intervals, _TABLE_COLUMNS)
        self._z, log_density, potential = self._values(num_intervals, num_intervals)
        # Where every node misses the mass, the integral is 0 and its estimated error infinite.
        self.offset = max(float(log_density.max()), -np.finfo(np.float64).max)
        self.density = np.exp(log_density - self.offset)
        self._widths = [axis.high - axis.low for axis in (frame.rows, frame.columns)]
        self.estimate = integrate(self.density, self._widths).off_by(
            step_error(self.density, self._nodes(num_intervals, num_intervals), self._density_at),
            self._beyond_columns() if frame.location is not None else 0.0,
        )
        masses = self.masses
        flat = potential.reshape(-1)
        self.potential_scale = float(np.abs(flat[masses > 0]) @ masses[masses > 0])

    def _nodes(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        return self.frame.rows.nodes(rows), self.frame.columns.nodes(columns)

    def _values(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        u, column = self._nodes(rows, columns)
        return self._values_at(u[:, None], column)

    def _values_at(
        self, u: np.ndarray, column: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points z, log density of (u1, u2) and potential, at coordinates that broadcast."""
        frame = self.frame
        first, v = frame.rows.map.to_z(u), frame.columns.map.to_z(column)
        location, scale = frame.standardisation(u)
        second = location + scale * v
        points = np.stack([np.broadcast_to(first, second.shape), second], -1).reshape(-1, 2)
        log_volume = np.log(frame.rows.map.slope(first) * scale)
        log_volume = log_volume + np.log(frame.columns.map.slope(v))
        log_density, potential = node_log_density(self.chart, points, log_volume.reshape(-1))
        return points, log_density.reshape(second.shape), potential.reshape(second.shape)

    def _density_at(self, u: np.ndarray) -> np.ndarray:
        return np.exp(self._values_at(u[:, 0], u[:, 1])[1] - self.offset)

    def _beyond_columns(self) -> float:
        """Mass beyond the ends of the rows, where the density goes on as it falls between the last two nodes.

        The ends come from a hundred rows; a narrow well between two of them may reach further.
        """
        rows = rule_weights("trapezoid", self.num_intervals, self._widths[0])
        step = self._widths[1] / self.num_intervals
        beyond = 0.0
        for last, inner in ((0, 1), (-1, -2)):
            end, within = self.density[:, last], self.density[:, inner]
            held = end > 0
            fall = np.log(np.maximum(within[held], end[held]) / end[held])
            reach = np.minimum(step / np.maximum(fall, 1e-300), self._widths[1])
            beyond += float(rows[held] @ (end[held] * reach))
        return beyond

    @property
    def points(self) -> np.ndarray:
        """Nodes in z, shape ((num_intervals + 1)^2, 2)."""
        return self._z

    @property
    def masses(self) -> np.ndarray:
        """Probability that the rule gives each node, shape ((num_intervals + 1)^2,)."""
        first, second = (
            rule_weights(self.estimate.rule, self.num_intervals, width) for width in self._widths
        )
        weights = first[:, None] * second
        return (weights * self.density / (self.estimate.value or 1.0)).reshape(-1)

    def nodes_around(self, z: np.ndarray) -> np.ndarray:
        """Nodes around points (k, 2), shape (k, 9, 2)."""
        rows, columns = self.frame.rows, self.frame.columns
        row = rows.nodes_around(z[:, 0], self.num_intervals)
        location, scale = self.frame.standardisation(rows.nodes(self.num_intervals)[row])
        column = columns.nodes_around((z[:, 1:] - location) / scale, self.num_intervals)
        flat = row[:, :, None] * (self.num_intervals + 1) + column
        return self._z[flat.reshape(len(z), -1)]

    def edge_densities(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per axis, nodes in z and the marginal density; columns only where they are aligned."""
        frame, total = self.frame, self.estimate.value or 1.0
        weights = [rule_weights("trapezoid", self.num_intervals, width) for width in self._widths]
        z = frame.rows.map.to_z(frame.rows.nodes(self.num_intervals))
        marginals = [(z, self.density @ weights[1] / frame.rows.map.slope(z) / total)]
        if frame.location is None:
            z = frame.columns.map.to_z(frame.columns.nodes(self.num_intervals))
            density = weights[0] @ self.density / frame.columns.map.slope(z) / total
            marginals.append((z, density))
        return marginals

    @functools.cached_property
    def curve(self) -> Curve:
        """Cumulative distribution of u1, on more rows than the conditional ones need."""
        rows = max(self._table_rows, _MARGINAL_ROWS)
        _, log_density, _ = self._values(rows, self.num_intervals)
        weights = rule_weights(self.estimate.rule, self.num_intervals, self._widths[1])
        marginal = np.exp(log_density - self.offset) @ weights
        return Curve(self.frame.rows.low, self.frame.rows.high, marginal)

    @functools.cached_property
    def table(self) -> ConditionalTable:
        """Conditional distributions of u2 given u1, on a grid for interpolation."""
        frame = self.frame
        return ConditionalTable(
            (frame.rows.low, frame.rows.high),
            (frame.columns.low, frame.columns.high),
            self.tabulate()[2],
        )

    def tabulate(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions z1 and z2 and densities of (u1, u2), on a grid for interpolation."""
        points, log_density, _ = self._values(self._table_rows, self._table_columns)
        shape = log_density.shape
        density = np.exp(log_density - self.offset)
        return points[:: shape[1], 0], points[:, 1].reshape(shape), density

    def rosenblatt(self, z: np.ndarray) -> np.ndarray:
        """F(x1) and F(x2 | x1) of points (n, 2)."""
        u = self.frame.rows.map.to_u(z[:, 0])
        location, scale = self.frame.standardisation(u)
        second = self.frame.columns.map.to_u((z[:, 1] - location) / scale)
        return np.stack([self.curve.cdf(u), self.table.cdf(u, second)], -1)

    def inverse_rosenblatt(self, probability: np.ndarray) -> np.ndarray:
        """Points (n, 2) with given probabilities."""
        u = self.curve.quantile(probability[:, 0])
        location, scale = self.frame.standardisation(u)
        v = self.frame.columns.map.to_z(self.table.quantile(u, probability[:, 1]))
        return np.stack([self.frame.rows.map.to_z(u), location + scale * v], -1)
