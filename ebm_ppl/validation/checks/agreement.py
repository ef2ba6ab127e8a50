"""Whether the draws of one run agree with the truth: p-values of moments, shares and thinned draws."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import signal

from ebm_ppl.quadrature import QuadratureDensity, StateTable
from ebm_ppl.validation.checks import error_rates, states
from ebm_ppl.validation.checks.uniformity import kolmogorov_smirnov, legendre_components
from ebm_ppl.validation.diagnostics import Convergence, convergence

MODE_VALLEY = 0.5
"""A valley this much lower than the lower of its neighbouring peaks separates two modes."""
THINNING_FACTOR = 3
"""Lag between thinned draws, in integrated autocorrelation times (0.25% left of an AR(1) process)."""


def worst(summaries: Sequence[Convergence]) -> dict[str, float]:
    """The largest R-hat and the smallest effective sample sizes of several quantities."""
    return {
        "rhat": max(summary.rhat for summary in summaries),
        "ess_bulk": min(summary.ess_bulk for summary in summaries),
        "ess_tail": min(summary.ess_tail for summary in summaries),
    }


def with_density(
    draws: Float[np.ndarray, "chains samples dim"],
    density: QuadratureDensity,
    u: Float[np.ndarray, "chains samples dim"],
    summaries: Sequence[Convergence],
) -> tuple[dict[str, float], dict[str, float]]:
    """p-values of the run's moments, mode shares and thinned draws against the truth, and the figures.

    Location and spread are tested on the probability integral transform, whose moments exist and have
    known values however heavy the target's tails are; the raw means are reported in units of their
    Monte Carlo standard error.
    """
    num_chains, num_samples, dim = draws.shape
    components = legendre_components(u.reshape(-1, dim)).reshape(num_chains, num_samples, -1)
    tests: dict[str, float] = {}
    figures: dict[str, float] = {}
    truth_mean = np.reshape(density.mean(), -1)
    per_axis = components.shape[2] if dim == 1 else 6
    for axis in range(dim):
        for order, word in ((0, "location"), (1, "spread")):
            series = components[:, :, axis * per_axis + order]
            tests[f"{word} of coordinate {axis}"] = _mean_p_value(series, 0.0)
        error = (np.mean(draws[:, :, axis]) - truth_mean[axis]) / summaries[axis].mcse_mean
        figures[f"error of the mean of coordinate {axis}, in MCSE"] = float(error)
        for index, (name, cells, mass) in enumerate(_modes(density, axis, draws[:, :, axis])):
            share = np.mean(cells)
            figures[f"share of mode {index} of coordinate {axis} ({name})"] = float(share)
            figures[f"mass of mode {index} of coordinate {axis}"] = mass
            tests[f"share of mode {index} of coordinate {axis}"] = _mean_p_value(cells, mass)
    lag = thinning_lag(draws, summaries)
    figures["thinning lag"] = lag
    for axis in range(dim):
        thinned = u[:, ::lag, axis].reshape(-1)
        tests[f"Kolmogorov-Smirnov of thinned coordinate {axis}"] = kolmogorov_smirnov(thinned)
    return tests, figures


def with_table(
    draws: Float[np.ndarray, "chains samples dim"],
    table: StateTable,
    summaries: Sequence[Convergence],
) -> tuple[dict[str, float], dict[str, float]]:
    """p-values of a run's means, mean energy and thinned states against the truth, and the figures."""
    shape = (*draws.shape[:2], *table.energy.event_shape)
    numbers = table.number_of(draws.reshape(shape))
    surprise = np.where(table.probs > 0, -table.log_probs, 0.0)
    tests = {"mean energy": _mean_p_value(surprise[numbers], table.entropy())}
    figures: dict[str, float] = {}
    for axis, mean in enumerate(table.mean().ravel()):
        series = draws[:, :, axis].astype(float)
        tests[f"mean of coordinate {axis}"] = _mean_p_value(series, float(mean))
        error = (np.mean(series) - mean) / summaries[axis].mcse_mean
        figures[f"error of the mean of coordinate {axis}, in MCSE"] = float(error)
    lag = thinning_lag(draws, summaries)
    figures["thinning lag"] = lag
    thinned = numbers[:, ::lag].ravel()
    cell_of = states.cells(table.probs, len(thinned))
    num_cells = int(cell_of.max()) + 1
    counts = np.bincount(cell_of[thinned], minlength=num_cells)
    probs = np.bincount(cell_of, table.probs, num_cells)
    tests["G test of thinned states"] = states.g_test(counts, probs)
    return tests, figures


def thinning_lag(
    draws: Float[np.ndarray, "chains samples dim"], summaries: Sequence[Convergence]
) -> int:
    """Lag at which the draws of each chain are as good as independent."""
    smallest, num_draws = worst(summaries), draws.shape[0] * draws.shape[1]
    ess = min(smallest["ess_bulk"], smallest["ess_tail"], num_draws)
    return int(np.ceil(THINNING_FACTOR * num_draws / ess))


def _mean_p_value(series: Float[np.ndarray, "chains samples"], expected: float) -> float:
    """Two-sided p-value of a stationary mean, in Monte Carlo standard errors."""
    error = float(np.mean(series)) - expected
    if np.all(series == series.flat[0]):
        # No spread to judge by: certain only where the expected mean leaves no other possibility.
        return 1.0 if abs(error) < 1e-6 else 0.0
    return error_rates.two_sided_p_value(error / convergence(series).mcse_mean)


def _modes(
    density: QuadratureDensity, axis: int, values: Float[np.ndarray, "chains samples"]
) -> list[tuple[str, Float[np.ndarray, "chains samples"], float]]:
    """Modes of a marginal, as (interval in words, indicator along the chains, mass under the truth)."""
    marginal = density.marginal(axis)
    lower, upper = marginal.quantile(np.array([1e-6, 1 - 1e-6]))
    grid = np.linspace(lower, upper, 1001)
    borders = grid[_valleys(marginal.density(grid))]
    if not len(borders):
        return []
    edges = np.concatenate([[-np.inf], borders, [np.inf]])
    masses = np.diff(np.concatenate([[0.0], marginal.cdf(borders), [1.0]]))
    return [
        (f"{low:.3g} to {high:.3g}", ((values > low) & (values <= high)).astype(float), float(mass))
        for low, high, mass in zip(edges[:-1], edges[1:], masses, strict=True)
    ]


def _valleys(density: Float[np.ndarray, " points"]) -> Int[np.ndarray, " valleys"]:
    """Grid positions of the valleys that separate modes."""
    padded = np.concatenate([[0.0], density, [0.0]])
    peaks = signal.find_peaks(padded, prominence=0.02 * np.max(density))[0] - 1
    valleys = []
    for left, right in itertools.pairwise(peaks):
        lowest = left + int(np.argmin(density[left : right + 1]))
        if density[lowest] < MODE_VALLEY * min(density[left], density[right]):
            valleys.append(lowest)
    return np.array(valleys, dtype=int)
