"""The numbers behind the figures: NumPy on draws of shape `(num_chains, num_samples)`."""

import dataclasses
import math

import numpy as np
from scipy.stats import rankdata

from ebm_ppl.validation import diagnostics

_BAND_MISS_RATE = 0.01


def effective_size(series: np.ndarray) -> float:
    """Effective sample size of the mean; chains that never move have one effective draw each."""
    num_chains, num_samples = series.shape
    if num_samples < 4 or np.all(series == series[:, :1]):
        return float(num_chains)
    size = diagnostics.effective_size(series)
    return size if np.isfinite(size) else float(num_chains)


@dataclasses.dataclass(frozen=True)
class EcdfDifference:
    r"""Difference between the empirical and the true distribution function, with its band.

    Attributes:
        points: Probabilities $u$ at which it is tabulated.
        difference: Share of draws with $F(x) \le u$, minus $u$.
        band: Half-width of the simultaneous band around zero.
        num_draws: Number of draws that are left after thinning.
        step: Every how many draws one was kept.
    """

    points: np.ndarray
    difference: np.ndarray
    band: float
    num_draws: int
    step: int


def ecdf_difference(probabilities: np.ndarray, num_points: int = 201) -> EcdfDifference:
    r"""Compare probability integral transforms with the uniform law, at thinned draws.

    The band of Dvoretzky, Kiefer and Wolfowitz with Massart's constant,
    $\pm\sqrt{\log(2/\alpha) / 2m}$, holds at all points at once for $m$ **independent** draws; a
    chain's draws are not. So the chains are thinned by the autocorrelation time of $u$ or of
    $|u - 1/2|$, whichever is longer; what correlation is left then shrinks $m$ in the band.

    Args:
        probabilities: $F(x)$ of every draw, shape `(num_chains, num_samples)`, all finite.
        num_points: Number of points to tabulate at.

    References:
        Massart (1990).
    """
    step = max(1, math.ceil(probabilities.size / _smallest_effective_size(probabilities)))
    thinned = probabilities[:, ::step]
    effective = min(_smallest_effective_size(thinned), thinned.size) if step > 1 else thinned.size
    points = np.linspace(0.0, 1.0, num_points)
    ecdf = np.searchsorted(np.sort(thinned, axis=None), points, side="right") / thinned.size
    band = math.sqrt(math.log(2 / _BAND_MISS_RATE) / (2 * effective))
    return EcdfDifference(points, ecdf - points, band, thinned.size, step)


def _smallest_effective_size(probabilities: np.ndarray) -> float:
    return min(effective_size(probabilities), effective_size(np.abs(probabilities - 0.5)))


def rank_counts(series: np.ndarray, num_bins: int = 20) -> np.ndarray:
    """Counts of each chain's ranks among all draws, shape `(num_chains, num_bins)`.

    Equal counts mean that the chains agree. A single chain is compared half against half.

    References:
        Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021).
    """
    if series.shape[0] == 1:
        half = series.shape[1] // 2
        series = series[:, : 2 * half].reshape(2, half)
    ranks = rankdata(series, axis=None).reshape(series.shape)
    bins = np.minimum((num_bins * (ranks - 0.5) / ranks.size).astype(int), num_bins - 1)
    return np.stack([np.bincount(chain, minlength=num_bins) for chain in bins])


def finite_steps(series: np.ndarray) -> np.ndarray:
    """Drop the steps at which any chain is not finite; the shape stays `(num_chains, ...)`."""
    return series[:, np.isfinite(series).all(axis=0)]


def central_range(values: np.ndarray, tail: float = 0.002) -> tuple[float, float]:
    """Interval that holds all but `tail` of the values on either side, never empty."""
    low, high = np.quantile(values, [tail, 1 - tail])
    if not high > low:
        margin = max(1e-3 * abs(low), 1e-3)
        return float(low - margin), float(high + margin)
    return float(low), float(high)


def joint_range(truth: tuple[float, float], draws: tuple[float, float]) -> tuple[float, float]:
    """Range that shows truth and draws; wild draws widen the truth's at most threefold."""
    width = truth[1] - truth[0]
    low = min(truth[0], max(draws[0], truth[0] - width))
    high = max(truth[1], min(draws[1], truth[1] + width))
    return float(low), float(high)
