"""The histogram of draws under the ground-truth density of one coordinate."""

import dataclasses

import numpy as np
from matplotlib.axes import Axes

from ebm_ppl.validation.report import _series
from ebm_ppl.validation.report._svg import FILL, INK
from ebm_ppl.validation.results import Trace

_TALLEST = 3.0
"""A truth may rise this many times above the histogram; a pole must not flatten the rest."""


@dataclasses.dataclass(frozen=True)
class DensityPicture:
    """What a density panel shows.

    Attributes:
        edges: Edges of the histogram's bins, shape `(num_bins + 1,)`.
        heights: Share of the draws in each bin, divided by its width, shape `(num_bins,)`.
        grid: Points of the truth within the picture, or `None`.
        density: The truth at `grid`, or `None`.
        outside: Share of the finite draws that fall outside the picture.
    """

    edges: np.ndarray
    heights: np.ndarray
    grid: np.ndarray | None
    density: np.ndarray | None
    outside: float

    @classmethod
    def of(cls, trace: Trace, coordinate: int, series: np.ndarray) -> "DensityPicture":
        """Lay out one coordinate.

        Args:
            trace: The trace, for its truth.
            coordinate: Index of the coordinate.
            series: Its finite draws, shape `(num_chains, num_samples)`.
        """
        window = _series.central_range(series)
        grid = density = None
        if trace.truth_grid is not None and trace.truth_density is not None:
            grid, density = trace.truth_grid[coordinate], trace.truth_density[coordinate]
            window = _series.joint_range(_central_truth(trace, coordinate), window)
            keep = (grid >= window[0]) & (grid <= window[1]) & np.isfinite(density)
            grid, density = grid[keep], density[keep]
        counts, edges = np.histogram(series, num_bins(series.size), range=window)
        heights = counts / (series.size * np.diff(edges))
        return cls(edges, heights, grid, density, 1 - counts.sum() / series.size)

    def draw(self, ax: Axes) -> None:
        """Put the picture on the axes."""
        ax.stairs(self.heights, self.edges, fill=True, color=FILL)
        top = float(self.heights.max())
        if self.grid is not None and self.density is not None:
            ax.plot(self.grid, self.density, color=INK, linewidth=1.2)
            truth = float(self.density.max(initial=0.0))
            top = max(top, min(truth, _TALLEST * top)) if top > 0 else truth
        ax.set_xlim(self.edges[0], self.edges[-1])
        ax.set_ylim(0, 1.05 * top or 1.0)


def num_bins(num_draws: int) -> int:
    """Bins that show a shape rather than noise."""
    return int(np.clip(3 * num_draws ** (1 / 3), 10, 60))


def _central_truth(trace: Trace, coordinate: int) -> tuple[float, float]:
    assert trace.truth_grid is not None
    grid = trace.truth_grid[coordinate]
    if trace.truth_cdf is None:
        return float(grid[0]), float(grid[-1])
    low, high = np.interp([5e-4, 1 - 5e-4], trace.truth_cdf[coordinate], grid)
    return float(low), float(high)
