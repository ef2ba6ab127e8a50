"""A monotone cumulative distribution function from tabulated densities, and its inverse."""

import numpy as np

from ebm_ppl.quadrature._solve import increasing_root


def cumulative(density: np.ndarray, step: float) -> np.ndarray:
    """Integral up to every second node, by Simpson's rule in each pair of cells.

    Every increment is a positive combination of densities, so the result never decreases.

    Args:
        density: Non-negative values at equidistant nodes of the last axis, shape (..., 2 n + 1).
        step: Distance of the nodes.

    Returns:
        Integrals, shape (..., n + 1), the first of them 0.
    """
    cells = step / 3 * (density[..., :-2:2] + 4 * density[..., 1:-1:2] + density[..., 2::2])
    start = np.zeros((*density.shape[:-1], 1))
    return np.concatenate([start, np.cumsum(cells, axis=-1)], axis=-1)


def limited_slopes(rise: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Cap end slopes of a cell at three times its secant, where cubic Hermite curves stay monotone.

    Fritsch and Carlson, "Monotone piecewise cubic interpolation", SIAM J. Numer. Anal. 17 (1980).

    Args:
        rise: Increase over the cell.
        slope: Slope at an end times the cell's width.

    Returns:
        The slope, lowered where the cell is too coarse for it.
    """
    return np.minimum(slope, 3 * rise)


def hermite(
    t: np.ndarray, start: np.ndarray, rise: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cubic with given start, rise and end slopes on the unit cell: its value and slope at t."""
    quadratic = 3 * rise - 2 * left - right
    cubic = left + right - 2 * rise
    value = start + t * (left + t * (quadratic + t * cubic))
    return value, left + t * (2 * quadratic + 3 * t * cubic)


def hermite_inverse(
    target: np.ndarray, start: np.ndarray, rise: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Where in the unit cell a monotone cubic takes the value `target`."""
    scale = np.where(rise > 0, rise, 1.0)
    wanted = np.clip((target - start) / scale, 0.0, 1.0)
    zero, left, right = np.zeros_like(wanted), left / scale, right / scale

    def value_and_slope(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = hermite(t, zero, np.ones_like(t), left, right)
        return value - wanted, slope

    return increasing_root(value_and_slope, zero, np.ones_like(zero), start=wanted, tolerance=1e-13)


class Curve:
    """Cumulative distribution function over equidistant nodes of a coordinate u.

    Args:
        low: First node.
        high: Last node.
        density: Densities of u at the nodes, shape (2 n + 1,), up to a common factor.

    Attributes:
        nodes: Every second node, shape (n + 1,).
        values: The distribution function there.
        density: Its normalised density there.
    """

    def __init__(self, low: float, high: float, density: np.ndarray) -> None:
        total = cumulative(density, (high - low) / (len(density) - 1))
        self.nodes = np.linspace(low, high, len(total))
        self.values = total / total[-1]
        self.step = (high - low) / (len(total) - 1)
        self._rise = np.diff(self.values)
        self.density = density[::2] / total[-1]
        scaled = self.density * self.step
        self._left = limited_slopes(self._rise, scaled[:-1])
        self._right = limited_slopes(self._rise, scaled[1:])

    def cdf(self, u: np.ndarray) -> np.ndarray:
        """Probability below u; 0 and 1 outside the nodes."""
        position = np.clip((u - self.nodes[0]) / self.step, 0, len(self._rise))
        cell = np.minimum(position.astype(int), len(self._rise) - 1)
        value, _ = hermite(
            position - cell,
            self.values[cell],
            self._rise[cell],
            self._left[cell],
            self._right[cell],
        )
        return np.clip(value, 0.0, 1.0)

    def quantile(self, probability: np.ndarray) -> np.ndarray:
        """The u below which a share `probability` lies."""
        cell = np.searchsorted(self.values, probability, side="right") - 1
        cell = np.clip(cell, 0, len(self._rise) - 1)
        t = hermite_inverse(
            probability, self.values[cell], self._rise[cell], self._left[cell], self._right[cell]
        )
        return self.nodes[cell] + self.step * t
