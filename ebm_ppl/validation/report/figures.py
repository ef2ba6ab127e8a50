"""Pictures of one MCMC run beside the ground truth."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from ebm_ppl.validation.report import _series
from ebm_ppl.validation.report._density import DensityPicture, num_bins
from ebm_ppl.validation.report._svg import BAND, CHAINS, FILL, INK, render
from ebm_ppl.validation.results import Trace

MAX_COORDINATES = 2
MAX_CHAINS = 4
MAX_TRACE_POINTS = 400
MIN_STEPS = 2


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: What it shows.
        caption: How to read it, with the numbers that a reader needs.
        svg: The picture; `None` where there was nothing to draw, and then the caption says why.
    """

    title: str
    caption: str
    svg: str | None


def panels(trace: Trace, salt: str) -> list[Panel]:
    """Draw the panels of one trace.

    Args:
        trace: The draws and what they should look like.
        salt: Unique within the page; keeps the identifiers inside the SVGs apart.
    """
    return list(_panels(trace, salt))


def thumbnail(trace: Trace, salt: str) -> str | None:
    """The first coordinate's density without axes; `None` where there are too few finite draws."""
    series = _finite(trace, 0)
    if series.shape[1] < MIN_STEPS:
        return None
    return render(DensityPicture.of(trace, 0, series).draw, salt, bare=True)


def _finite(trace: Trace, k: int) -> np.ndarray:
    return _series.finite_steps(np.asarray(trace.draws[:, :, k], dtype=np.float64))


def _panels(trace: Trace, salt: str) -> Iterator[Panel]:
    dim = trace.draws.shape[2]
    for k in range(min(dim, MAX_COORDINATES)):
        name = "x" if dim == 1 else f"x{'₁₂'[k]}"
        series = _finite(trace, k)
        if series.shape[1] < MIN_STEPS:
            yield Panel(f"Draws of {name}", "There are fewer than two finite draws.", None)
            continue
        yield _density_panel(trace, k, name, series, f"{salt}-d{k}")
        yield _rank_panel(name, series, f"{salt}-r{k}")
        yield _trace_panel(name, series, f"{salt}-t{k}")
    yield _ecdf_panel(trace, f"{salt}-e")
    yield _energy_panel(trace, f"{salt}-u")


def _density_panel(trace: Trace, k: int, name: str, series: np.ndarray, salt: str) -> Panel:
    picture = DensityPicture.of(trace, k, series)

    def draw(ax: Axes) -> None:
        picture.draw(ax)

    caption = f"Filled: {series.size:,} draws. "
    caption += (
        "No ground truth." if picture.grid is None else "Line: marginal ground-truth density."
    )
    if picture.outside > 0.01:
        caption += f" {picture.outside:.1%} of the draws lie outside the picture."
    if dropped := trace.draws.shape[0] * trace.draws.shape[1] - series.size:
        caption += f" {dropped:,} draws at steps with a non-finite value are left out."
    return Panel(f"Density of {name}", caption, render(draw, salt, x=name))


def _rank_panel(name: str, series: np.ndarray, salt: str) -> Panel:
    counts = _series.rank_counts(series)
    expected = counts.sum() / counts.size

    def draw(ax: Axes) -> None:
        edges = np.linspace(0, 1, counts.shape[1] + 1)
        ax.axhline(1.0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        for chain, colour in zip(counts[:MAX_CHAINS], CHAINS, strict=False):
            ax.stairs(chain / expected, edges, baseline=None, color=colour, linewidth=1.0)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, max(2.0, 1.05 * float(counts[:MAX_CHAINS].max()) / expected))

    who = "each half of the chain" if series.shape[0] == 1 else f"chains {_shown(series.shape[0])}"
    caption = f"Ranks of {who}, relative to the expected count (dashed). Level lines agree."
    return Panel(
        f"Ranks of {name}", caption, render(draw, salt, x="rank among all draws, as a share")
    )


def _trace_panel(name: str, series: np.ndarray, salt: str) -> Panel:
    stride = math.ceil(series.shape[1] / MAX_TRACE_POINTS)

    def draw(ax: Axes) -> None:
        steps = np.arange(0, series.shape[1], stride)
        for chain, colour in zip(series[:MAX_CHAINS], CHAINS, strict=False):
            ax.plot(steps, chain[::stride], color=colour, linewidth=0.55, alpha=0.85)
        ax.set_xlim(0, series.shape[1] - 1)
        ax.set_ylim(*_series.central_range(series[:MAX_CHAINS], tail=0.0))

    caption = f"Chains {_shown(series.shape[0])}"
    caption += f"; one draw in {stride} is shown." if stride > 1 else "."
    return Panel(f"Trace of {name}", caption, render(draw, salt, x="draw"))


def _shown(num_chains: int) -> str:
    if num_chains <= MAX_CHAINS:
        return f"1 to {num_chains}" if num_chains > 1 else "1"
    return f"1 to {MAX_CHAINS} of {num_chains}"


def _ecdf_panel(trace: Trace, salt: str) -> Panel:
    title = "ECDF minus true CDF"
    if trace.truth_grid is None or trace.truth_cdf is None:
        return Panel(title, "No ground truth to compare with.", None)
    dim = trace.draws.shape[2]
    curves = []
    for k in range(min(dim, MAX_COORDINATES)):
        series = _finite(trace, k)
        if series.shape[1] < MIN_STEPS:
            return Panel(title, "There are fewer than two finite draws.", None)
        uniform = np.interp(series, trace.truth_grid[k], trace.truth_cdf[k])
        curves.append(_series.ecdf_difference(uniform))

    def draw(ax: Axes) -> None:
        limit = 0.0
        for curve, colour, line in zip(curves, CHAINS, ("-", "--"), strict=False):
            ax.axhspan(-curve.band, curve.band, color=BAND, alpha=0.5, linewidth=0)
            ax.plot(curve.points, curve.difference, color=colour, linewidth=1.1, linestyle=line)
            limit = max(limit, curve.band, float(np.abs(curve.difference).max()))
        ax.axhline(0.0, color=INK, linewidth=0.6)
        ax.set_xlim(0, 1)
        ax.set_ylim(-1.15 * limit, 1.15 * limit)

    kept = "; ".join(
        ("" if dim == 1 else f"x{'₁₂'[k]} {('solid', 'dashed')[k]}: ")
        + f"{curve.num_draws:,} draws, {_kept(curve.step)}"
        for k, curve in enumerate(curves)
    )
    caption = (
        f"Shaded: simultaneous 99% band (Dvoretzky–Kiefer–Wolfowitz–Massart) for draws thinned by "
        f"their autocorrelation time ({kept})."
    )
    return Panel(title, caption, render(draw, salt, x="true probability F(x)"))


def _kept(step: int) -> str:
    return "all kept" if step == 1 else f"one in {step} kept"


def _energy_panel(trace: Trace, salt: str) -> Panel:
    title = "Energies"
    energies = np.asarray(trace.energies, dtype=np.float64).ravel()
    energies = energies[np.isfinite(energies)]
    if energies.size < 2:
        return Panel(title, "There are fewer than two finite energies.", None)
    truth = trace.truth_energy_draws
    truth = None if truth is None else np.asarray(truth, dtype=np.float64)
    truth = None if truth is None else truth[np.isfinite(truth)]
    low, high = _series.central_range(energies)
    if truth is not None and truth.size:
        low, high = _series.joint_range(_series.central_range(truth), (low, high))

    def draw(ax: Axes) -> None:
        heights, edges = np.histogram(energies, num_bins(energies.size), range=(low, high))
        scale = edges[1] - edges[0]
        ax.stairs(heights / (energies.size * scale), edges, fill=True, color=FILL)
        if truth is not None and truth.size:
            true_heights, _ = np.histogram(truth, bins=edges)
            ax.stairs(true_heights / (truth.size * scale), edges, color=INK, linewidth=1.0)
        ax.set_xlim(low, high)
        ax.set_ylim(0, None)

    caption = "Filled: energies of the draws."
    caption += f" Line: energies of {truth.size:,} exact draws." if truth is not None else ""
    return Panel(title, caption, render(draw, salt, x="energy E(x)"))
