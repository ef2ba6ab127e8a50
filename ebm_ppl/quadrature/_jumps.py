"""Jumps of a density along a line: where they are, and what a rule that steps over them leaves out.

Two grids may agree by luck on an integrand that jumps: the error of a rule is then the height of the jump
times a fraction of a cell that depends on where the nodes happen to lie. With the jump's place and both of
its limits known, the trapezoid rule on either side of it converges with the second power of the step again.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from ebm_ppl.quadrature._maps import Axis

_MOST = 512
"""Most cells of a grid that are looked into whatever their neighbours are like."""
_STANDS_OUT = 3.0
"""Of more cells those whose change is so many times that of the smoother neighbour."""
_SECTIONS = 8
_PERSISTS = 0.6
"""Share of a cell's change that one of its sections has at a jump; an eighth of it where it is smooth."""
_MOST_ROUNDS = 64
"""Rounds of cutting: a jump at 0, next to which floats never end, is one if it is so at 1e-57 of a cell."""
_NEGLIGIBLE = 1e-15
"""Share of the largest density below which a change is rounding."""


@dataclasses.dataclass(frozen=True)
class Jumps:
    """Places of jumps, in ascending order, and the density on both sides of each.

    Attributes:
        place: Coordinates, shape (k,).
        left: Density just before, shape (k,).
        right: Density just after, shape (k,).
    """

    place: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def __len__(self) -> int:
        """Number of jumps."""
        return len(self.place)

    def on(self, axis: Axis, log_unit: float) -> "Jumps":
        """Jumps along z in the coordinate of an axis, of the density there in other units."""
        place = axis.map.to_u(self.place)
        factor = axis.map.slope(self.place) * np.exp(log_unit)
        inside = (place > axis.low) & (place < axis.high)
        values = (place, factor * self.left, factor * self.right)
        return Jumps(*(one[inside] for one in values))

    def corrections(self, low: float, step: float, density: np.ndarray) -> np.ndarray:
        """What the masses of the trapezoid rule's nodes lack, for nodes from `low` on.

        Each side of a jump has the mass of the trapezoid between its node and its limit. The node and the one
        behind it share it such that its mean is where it should be.
        """
        cell = self._cells(low, step, len(density))
        share = np.clip((self.place - low) / step - cell, 0.0, 1.0)
        lacking = np.zeros_like(density)
        for node, behind, part, limit in (
            (cell, np.maximum(cell - 1, 0), share, self.left),
            (cell + 1, np.minimum(cell + 2, len(density) - 1), 1 - share, self.right),
        ):
            mass = 0.5 * step * part * (density[node] + limit)
            shift = np.where(density[behind] > 0, 0.5 * part, 0.0) * mass
            np.add.at(lacking, node, mass + shift - 0.5 * step * density[node])
            np.add.at(lacking, behind, -shift)
        return lacking

    def unresolved(self, low: float, step: float, density: np.ndarray) -> float:
        """Width of a step times the heights of those jumps that share a cell, which is not set right."""
        cell = self._cells(low, step, len(density))
        shared = np.bincount(cell, minlength=1)[cell] > 1
        return float(step * np.sum(np.abs(self.right - self.left)[shared]))

    def _cells(self, low: float, step: float, num_nodes: int) -> np.ndarray:
        return np.clip(((self.place - low) / step).astype(int), 0, num_nodes - 2)


def find_jumps(
    density_at: Callable[[np.ndarray], np.ndarray], nodes: np.ndarray, density: np.ndarray
) -> Jumps:
    """Find the jumps between nodes, by cutting the cells in which the change persists.

    Args:
        density_at: The density at any coordinates.
        nodes: The nodes in ascending order, shape (n,).
        density: The density there, shape (n,).
    """
    change = np.abs(np.diff(density))
    is_large = change > _NEGLIGIBLE * density.max()
    if np.count_nonzero(is_large) > _MOST:
        around = np.concatenate([[np.inf], change, [np.inf]])
        is_large &= change > _STANDS_OUT * np.minimum(around[:-2], around[2:])
    cell = np.flatnonzero(is_large)
    low, high = nodes[cell], nodes[cell + 1]
    left, right = density[cell], density[cell + 1]
    place, before, after = [], [], []
    for _ in range(_MOST_ROUNDS):
        if not len(low):
            break
        low, high, left, right = _section(density_at, low, high, left, right)
        ends = high - low <= 4 * np.finfo(np.float64).eps * np.maximum(np.abs(low), np.abs(high))
        place.append(0.5 * (low + high)[ends])
        before.append(left[ends])
        after.append(right[ends])
        low, high, left, right = (values[~ends] for values in (low, high, left, right))
    place, before, after = (
        [*found, rest] for found, rest in ((place, low), (before, left), (after, right))
    )
    order = np.argsort(np.concatenate(place), kind="stable")
    return Jumps(*(np.concatenate(found)[order] for found in (place, before, after)))


def _section(
    density_at: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each cell the section with the largest change, where that is most of the cell's."""
    share = np.arange(1, _SECTIONS) / _SECTIONS
    inner = low[:, None] + (high - low)[:, None] * share
    values = density_at(inner.ravel()).reshape(inner.shape)
    points = np.concatenate([low[:, None], inner, high[:, None]], axis=1)
    values = np.concatenate([left[:, None], values, right[:, None]], axis=1)
    change = np.abs(np.diff(values, axis=1))
    rows, best = np.arange(len(low)), change.argmax(axis=1)
    keep = change[rows, best] > _PERSISTS * np.abs(right - left)
    rows, best = rows[keep], best[keep]
    return points[rows, best], points[rows, best + 1], values[rows, best], values[rows, best + 1]
