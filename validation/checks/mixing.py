"""Mixing: whether one run's chains agree with each other and with the truth. Never called correctness.

Every threshold here answers a way in which the usual diagnostics are blind: chains that are copies of
each other have an R-hat below 1, a constant chain has as many effective draws as draws, and chains that
all sit in one mode agree perfectly.
"""

import itertools
import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import signal

from ebm_ppl.quadrature import QuadratureDensity
from validation.checks import error_rates
from validation.checks.uniformity import kolmogorov_smirnov, legendre_components
from validation.diagnostics import Convergence, convergence
from validation.results import CheckResult, Question, Verdict

MAXIMUM_RHAT = 1.01
MINIMUM_ESS_PER_CHAIN = 50
MAXIMUM_REPEATS = 0.1
"""Largest allowed share of a chain that is one uninterrupted run of the same draw."""
MAXIMUM_CORRELATION = 0.9
"""Correlation of two chains above which they count as copies."""
MODE_VALLEY = 0.5
"""A valley this much lower than the lower of its neighbouring peaks separates two modes."""
THINNING_FACTOR = 3
"""Lag between thinned draws, in integrated autocorrelation times (0.25% left of an AR(1) process)."""


def mixing(
    draws: Float[np.ndarray, "chains samples dim"],
    energies: Float[np.ndarray, "chains samples"],
    density: QuadratureDensity | None,
    u: Float[np.ndarray, "chains samples dim"] | None,
    *,
    question: Question = Question.MIXING,
) -> CheckResult:
    """Judge one run of several chains from over-dispersed starts.

    Args:
        draws: Draws in the support.
        energies: Energy of every draw.
        density: Ground truth, or `None` where there is none; then the chains are only compared with
            each other.
        u: Probability integral transform of the draws under the ground truth, or `None`.
        question: Recorded in the result.

    Returns:
        FAIL with every reason that applies; PASS if there is none.
    """
    began = time.perf_counter()
    num_chains, num_samples, dim = draws.shape
    reasons = degenerate(draws, energies)
    components: dict[str, float] = {}
    p_value: float | None = None
    if not reasons:
        quantities = [draws[:, :, axis] for axis in range(dim)] + [energies]
        summaries = [convergence(quantity) for quantity in quantities]
        components |= _worst(summaries)
        minimum_ess = MINIMUM_ESS_PER_CHAIN * num_chains
        if not components["rhat"] <= MAXIMUM_RHAT:
            reasons.append(f"R-hat {components['rhat']:.4f} is above {MAXIMUM_RHAT}")
        for kind in ("ess_bulk", "ess_tail"):
            if not components[kind] >= minimum_ess:
                reasons.append(f"{kind} {components[kind]:.0f} is below {minimum_ess}")
        if density is not None and u is not None:
            tests, measured = against_truth(draws, density, u, summaries)
            components |= measured
            p_value = error_rates.bonferroni(tests)
            if p_value < error_rates.SINGLE_LEVEL:
                worst = min(tests, key=lambda name: tests[name])
                reasons.append(f"{worst} disagrees with the truth (p = {tests[worst]:.2g})")
    shift = error_rates.normal_quantile(error_rates.SINGLE_LEVEL / (10 * dim)) + 2.33
    ess = components.get("ess_bulk", 0.0)
    return CheckResult(
        check="mixing",
        question=question,
        verdict=Verdict.FAIL if reasons else Verdict.PASS,
        statistic=components.get("rhat", np.nan),
        statistic_name="largest rank-normalised split R-hat",
        bound=MAXIMUM_RHAT,
        p_value=p_value,
        sample_size=num_chains * num_samples,
        detectable=f"a mean off by {shift / np.sqrt(ess):.3f} standard deviations"
        if density is not None and ess > 0
        else "no ground truth: chains are compared with each other only",
        false_alarm_rate=error_rates.SINGLE_LEVEL if p_value is not None else 0.0,
        detail="; ".join(reasons),
        seconds=time.perf_counter() - began,
        components=components,
    )


def degenerate(
    draws: Float[np.ndarray, "chains samples dim"], energies: Float[np.ndarray, "chains samples"]
) -> list[str]:
    """Reasons why no diagnostic may be trusted: non-finite, stuck, constant or copied chains."""
    if not (np.all(np.isfinite(draws)) and np.all(np.isfinite(energies))):
        return [f"{np.sum(~np.isfinite(draws)) + np.sum(~np.isfinite(energies))} values not finite"]
    reasons = []
    longest = max(_longest_repeat(chain) for chain in draws) / draws.shape[1]
    if longest > MAXIMUM_REPEATS:
        reasons.append(f"a chain repeats one draw for {longest:.0%} of its length")
    elif len(draws) > 1:
        # the largest correlation over pairs, in the coordinate in which a pair agrees least
        correlations = np.min(
            [np.corrcoef(draws[:, :, axis]) for axis in range(draws.shape[2])], axis=0
        )
        largest = np.max(correlations[np.triu_indices(len(draws), 1)])
        if not largest <= MAXIMUM_CORRELATION:
            reasons.append(f"two chains are copies of each other (correlation {largest:.3f})")
    return reasons


def _longest_repeat(chain: Float[np.ndarray, "samples dim"]) -> int:
    changes = np.flatnonzero(np.any(chain[1:] != chain[:-1], axis=1))
    edges = np.concatenate([[-1], changes, [len(chain) - 1]])
    return int(np.max(np.diff(edges)))


def _worst(summaries: Sequence[Convergence]) -> dict[str, float]:
    return {
        "rhat": max(summary.rhat for summary in summaries),
        "ess_bulk": min(summary.ess_bulk for summary in summaries),
        "ess_tail": min(summary.ess_tail for summary in summaries),
    }


def against_truth(
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
    worst = _worst(summaries)
    ess = min(worst["ess_bulk"], worst["ess_tail"], num_chains * num_samples)
    lag = int(np.ceil(THINNING_FACTOR * num_chains * num_samples / ess))
    figures["thinning lag"] = lag
    for axis in range(dim):
        thinned = u[:, ::lag, axis].reshape(-1)
        tests[f"Kolmogorov-Smirnov of thinned coordinate {axis}"] = kolmogorov_smirnov(thinned)
    return tests, figures


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
