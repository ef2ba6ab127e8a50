"""Marginal of one coordinate, and the exchange of two coordinates that gives the other one."""

from typing import Any

import numpy as np
from numpyro.distributions import constraints
from scipy.interpolate import CubicSpline

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.quadrature._chart import Chart, support_limits
from ebm_ppl.quadrature._line import LineGrid
from ebm_ppl.quadrature._plane import PlaneGrid


class Marginal:
    """Density of the first coordinate of a grid, with the other one integrated out.

    Methods take and return NumPy float64 arrays of any one shape.
    """

    def __init__(self, chart: Chart, grid: LineGrid | PlaneGrid) -> None:
        self._chart = chart
        self._axis = grid.axis if isinstance(grid, LineGrid) else grid.frame.rows
        self._curve = grid.curve
        density = self._curve.density
        positive = density > 0
        self._log_density = CubicSpline(self._curve.nodes[positive], np.log(density[positive]))

    def _complete(self, first: np.ndarray) -> np.ndarray:
        """Points whose first coordinate is given; the others do not matter."""
        filler = np.zeros((len(first), self._chart.dim - 1))
        return np.concatenate([first[:, None], filler], axis=1)

    def _to_z(self, x: np.ndarray) -> np.ndarray:
        lower, upper = self._chart.lower[0], self._chart.upper[0]
        inner = self._chart.to_support(np.zeros((1, self._chart.dim)))[0]
        points = np.repeat(inner[None], x.size, axis=0)
        points[:, 0] = np.clip(x.reshape(-1), lower, upper)
        return self._chart.from_support(points)[:, 0]

    def density(self, x: Any) -> np.ndarray:
        """Marginal density at x; 0 outside the range of the grid."""
        x = np.asarray(x, np.float64)
        z = self._to_z(x)
        u = self._axis.map.to_u(z)
        inside = (u >= self._curve.nodes[0]) & (u <= self._curve.nodes[-1])
        value = np.zeros(x.size)
        # Density of u, times du/dz, times dz/dx, the latter from a central difference of T in
        # float64.
        per_z = np.exp(self._log_density(u[inside])) / self._axis.map.slope(z[inside])
        value[inside] = per_z / self._stretch(z[inside])
        return value.reshape(x.shape)

    def _stretch(self, z: np.ndarray) -> np.ndarray:
        """Derivative dx/dz."""
        step = 1e-5
        ends = [self._chart.to_support(self._complete(z + side * step))[:, 0] for side in (-1, 1)]
        return (ends[1] - ends[0]) / (2 * step)

    def cdf(self, x: Any) -> np.ndarray:
        """Probability of less than x."""
        x = np.asarray(x, np.float64)
        return self._curve.cdf(self._axis.map.to_u(self._to_z(x))).reshape(x.shape)

    def quantile(self, probability: Any) -> np.ndarray:
        """The x below which a share `probability` lies."""
        probability = np.asarray(probability, np.float64)
        z = self._axis.map.to_z(self._curve.quantile(probability.reshape(-1)))
        return self._chart.to_support(self._complete(z))[:, 0].reshape(probability.shape)


class _Swapped(AbstractEnergy):
    """An energy of two coordinates with their order reversed."""

    energy: AbstractEnergy
    reversed_support: constraints.Constraint

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.energy.event_shape

    @property
    def support(self) -> constraints.Constraint:
        return self.reversed_support

    def _energy(self, x: Event) -> Scalar:
        return self.energy(x[::-1])


def swapped(energy: AbstractEnergy) -> AbstractEnergy:
    """Exchange the two coordinates of an energy of event shape (2,)."""
    lower, upper = support_limits(energy.support)
    support = energy.support
    if np.ndim(lower) or np.ndim(upper):
        lower, upper = np.broadcast_to(lower, 2)[::-1], np.broadcast_to(upper, 2)[::-1]
        if np.all(np.isinf(upper)):
            base = constraints.greater_than(lower)
        elif np.all(np.isinf(lower)):
            base = constraints.less_than(upper)
        else:
            base = constraints.interval(lower, upper)
        support = constraints.independent(base, 1)
    return _Swapped(energy, support)
