"""Pictures of one fit: its course, the density over the data, energies of data and draws."""

import numpy as np
from matplotlib.axes import Axes

from ebm_ppl.cli.fitting.run import FitRun, column_density, log_density
from ebm_ppl.validation.report._density import num_bins
from ebm_ppl.validation.report._svg import BAND, CHAINS, FILL, INK, MUTED, render
from ebm_ppl.validation.report.figures import Panel

_MAX_POINTS = 400
_MAX_SCATTER = 1500
_GRID = 81
_LEVELS = (0.05, 0.25, 0.5, 0.75)

COURSE = {
    "loss": ("Loss", "Objective of each step's batch; the line is a running mean."),
    "energy_gap": (
        "Energy gap",
        "Mean energy of negative examples (or noise) less that of the data; near 0 for trained chains.",
    ),
    "gradient_norm": ("Gradient norm", "Euclidean norm of the gradient of each step."),
    "accept_prob": (
        "Acceptance of the chains",
        "Mean acceptance probability of each step's moves.",
    ),
}
"""Metrics that are drawn over the steps, with what they mean."""


def course_panels(run: FitRun) -> list[Panel]:
    """One panel for each recorded metric that a reader wants to see."""
    history = run.trained.fit.history
    return [
        _course_panel(history[name], title, caption, f"fit-{name}")
        for name, (title, caption) in COURSE.items()
        if name in history
    ]


def _course_panel(values: np.ndarray, title: str, caption: str, salt: str) -> Panel:
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    if finite.sum() < 2:
        return Panel(title, "There are fewer than two finite values.", None)
    steps = np.arange(len(values))[finite]
    values = values[finite]
    stride = -(-len(values) // _MAX_POINTS)
    window = max(1, len(values) // 50)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    mean = (sums[window:] - sums[:-window]) / window
    low, high = np.quantile(values, [0.005, 0.995])

    def draw(ax: Axes) -> None:
        ax.plot(steps[::stride], values[::stride], color=FILL, linewidth=0.7)
        ax.plot(steps[window - 1 :][::stride], mean[::stride], color=INK, linewidth=1.2)
        ax.set_ylim(low - 0.05 * (high - low or 1.0), high + 0.05 * (high - low or 1.0))

    return Panel(title, caption, render(draw, salt, x="step"))


def data_panels(run: FitRun) -> list[Panel]:
    """The density over the data: each column, and the plane if there are two."""
    dim = run.trained.train.shape[1]
    panels = [_column_panel(run, k) for k in range(min(dim, 4))]
    return [_plane_panel(run), *panels] if dim == 2 else panels


def _column_panel(run: FitRun, k: int) -> Panel:
    data, draws = run.trained.train[:, k], run.draws[:, :, k].ravel()
    low, high = np.quantile(data, [0.001, 0.999])
    margin = 0.15 * (high - low)
    window = (low - margin, high + margin)

    def draw(ax: Axes) -> None:
        ax.hist(data, num_bins(len(data)), range=window, density=True, color=FILL)
        if run.density is not None:
            grid = np.linspace(*window, 301)
            values = column_density(run.density, run.units, k, grid)
            ax.plot(grid, values, color=INK, linewidth=1.2)
        else:
            ax.hist(
                draws, num_bins(len(draws)), range=window, density=True, histtype="step", color=INK
            )

    line = (
        "density of the energy, by quadrature"
        if run.density is not None
        else "draws by replica exchange"
    )
    caption = f"Filled: {len(data):,} rows of the data. Line: {line}."
    return Panel(
        f"Column {run.trained.names[k]}",
        caption,
        render(draw, f"fit-column-{k}", x=run.trained.names[k]),
    )


def _plane_panel(run: FitRun) -> Panel:
    title = "Density over the data"
    if run.density is None:
        return Panel(title, "The energy could not be normalised.", None)
    density = run.density
    low, high = np.quantile(run.trained.train, [0.001, 0.999], axis=0)
    margin = 0.15 * (high - low)
    axes = [np.linspace(a - m, b + m, _GRID) for a, b, m in zip(low, high, margin, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = np.exp(log_density(density, run.units, points.reshape(-1, 2))).reshape(_GRID, _GRID)
    ordered = np.sort(values.ravel())[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    levels = sorted({float(ordered[np.searchsorted(share, 1 - p)]) for p in _LEVELS})
    shown = run.trained.train[:: -(-len(run.trained.train) // _MAX_SCATTER)]

    def draw(ax: Axes) -> None:
        ax.plot(shown[:, 0], shown[:, 1], ".", color=MUTED, markersize=1.2, alpha=0.5)
        ax.contour(*axes, values.T, levels=levels, colors=INK, linewidths=0.9)
        ax.set_xlim(axes[0][0], axes[0][-1])
        ax.set_ylim(axes[1][0], axes[1][-1])

    caption = (
        f"Points: {len(shown):,} rows of the data. Lines: smallest regions that hold 25, 50, 75 and 95% of "
        "the energy's mass in the picture."
    )
    return Panel(
        title, caption, render(draw, "fit-plane", x=run.trained.names[0], y=run.trained.names[1])
    )


def energy_panels(run: FitRun) -> list[Panel]:
    """Energies of data and draws, and the traces of the chains."""
    of_data, of_draws = run.energies_of_data, run.energies_of_draws
    both = np.concatenate([of_data, of_draws])
    low, high = np.quantile(both[np.isfinite(both)], [0.002, 0.998])

    def histograms(ax: Axes) -> None:
        bins = num_bins(len(of_data))
        ax.hist(of_data, bins, range=(low, high), density=True, color=FILL)
        ax.hist(of_draws, bins, range=(low, high), density=True, histtype="step", color=INK)

    def traces(ax: Axes) -> None:
        stride = -(-run.draws.shape[1] // _MAX_POINTS)
        ax.axhspan(*np.quantile(run.trained.train[:, 0], [0.05, 0.95]), color=BAND)
        for chain, colour in zip(run.draws[:, ::stride, 0], CHAINS, strict=False):
            ax.plot(np.arange(len(chain)) * stride, chain, color=colour, linewidth=0.5)

    return [
        Panel(
            "Energies",
            "Filled: energies of the data. Line: energies of independent draws, or of the chains where "
            "there are none. They agree where the energy has learned the law of the data.",
            render(histograms, "fit-energies", x="energy E(x)"),
        ),
        Panel(
            "Chains",
            f"{run.trained.names[0]} along each of {run.draws.shape[0]} chains with replica exchange. "
            "Shaded: the middle 90% of the data.",
            render(traces, "fit-chains", x="draw", y=run.trained.names[0]),
        ),
    ]
