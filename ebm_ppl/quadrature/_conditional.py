"""Conditional distributions, tabulated row by row and interpolated between the rows."""

import numpy as np

from ebm_ppl.quadrature._curve import cumulative, hermite, hermite_inverse, limited_slopes


class ConditionalTable:
    """Distribution of u2 given u1 on a tensor grid.

    Between rows the conditional distribution is interpolated by cubic Lagrange polynomials, within
    a row by monotone cubic Hermite curves.

    Args:
        row_range: First and last row.
        column_range: First and last column.
        density: Joint densities up to a factor, shape (n, 2 m + 1).
    """

    def __init__(
        self, row_range: tuple[float, float], column_range: tuple[float, float], density: np.ndarray
    ) -> None:
        self._row_low = row_range[0]
        self._row_step = (row_range[1] - row_range[0]) / (len(density) - 1)
        node_step = (column_range[1] - column_range[0]) / (density.shape[1] - 1)
        self._column_low, self._column_step = column_range[0], 2 * node_step
        values = cumulative(density, node_step)
        mass = values[:, -1]
        # A row whose mass underflows has no conditional distribution of its own; it takes a
        # neighbour's.
        filled = np.flatnonzero(mass > 1e-250 * mass.max())
        after = np.clip(np.searchsorted(filled, np.arange(len(mass))), 0, len(filled) - 1)
        nearest = filled[after]
        self._values = values[nearest] / mass[nearest, None]
        self._slopes = density[nearest, ::2] * (self._column_step / mass[nearest, None])
        self._cells = self._values.shape[1] - 1

    def _stencil(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Four rows around each u and their Lagrange weights, shapes (4, n)."""
        count = len(self._values)
        position = np.clip((u - self._row_low) / self._row_step, 0, count - 1)
        first = np.clip(position.astype(int) - 1, 0, count - 4)
        s = position - first
        weights = np.stack(
            [
                -(s - 1) * (s - 2) * (s - 3) / 6,
                s * (s - 2) * (s - 3) / 2,
                -s * (s - 1) * (s - 3) / 2,
                s * (s - 1) * (s - 2) / 6,
            ]
        )
        return first + np.arange(4)[:, None], weights

    def _cell(
        self, rows: np.ndarray, weights: np.ndarray, cell: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Start, rise and end slopes of the interpolated distribution in a cell of columns."""

        def at(table: np.ndarray, column: np.ndarray) -> np.ndarray:
            return np.einsum("kn,kn->n", weights, table[rows, column])

        start, end = at(self._values, cell), at(self._values, cell + 1)
        rise = np.maximum(end - start, 0.0)
        left = limited_slopes(rise, np.maximum(at(self._slopes, cell), 0.0))
        right = limited_slopes(rise, np.maximum(at(self._slopes, cell + 1), 0.0))
        return start, rise, left, right

    def cdf(self, u: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Probability of less than `column` given the row u."""
        rows, weights = self._stencil(u)
        position = np.clip((column - self._column_low) / self._column_step, 0, self._cells)
        cell = np.minimum(position.astype(int), self._cells - 1)
        value, _ = hermite(position - cell, *self._cell(rows, weights, cell))
        return np.clip(value, 0.0, 1.0)

    def quantile(self, u: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Column below which a share `probability` lies, given the row u."""
        rows, weights = self._stencil(u)
        low = np.zeros(len(u), int)
        high = np.full(len(u), self._cells)
        for _ in range(int(np.ceil(np.log2(self._cells))) + 1):
            middle = (low + high) // 2
            value = np.einsum("kn,kn->n", weights, self._values[rows, middle])
            below = value <= probability
            low = np.where(below, middle, low)
            high = np.where(below, high, middle)
        cell = np.minimum(low, self._cells - 1)
        t = hermite_inverse(probability, *self._cell(rows, weights, cell))
        return self._column_low + self._column_step * (cell + t)
