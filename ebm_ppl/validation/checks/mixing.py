"""Mixing: whether one run's chains agree with each other and with the truth. Never called correctness.

Every threshold here answers a way in which the usual diagnostics are blind: chains that are copies of
each other have an R-hat below 1, a constant chain has as many effective draws as draws, and chains that
all sit in one mode agree perfectly.
"""

import time

import numpy as np
from jaxtyping import Float

from ebm_ppl.quadrature import QuadratureDensity, StateTable
from ebm_ppl.validation.checks import agreement, error_rates
from ebm_ppl.validation.diagnostics import convergence
from ebm_ppl.validation.results import CheckResult, Question, Verdict

MAXIMUM_RHAT = 1.01
SLOW_RHAT = 1.2
"""Below it chains may only be slow; above they are in different parts of the law."""
MINIMUM_ESS_PER_CHAIN = 50
MAXIMUM_REPEATS = 0.1
"""Largest allowed share of a chain that is one uninterrupted run of the same draw."""
MAXIMUM_CORRELATION = 0.9
"""Correlation of two chains above which they count as copies."""


def mixing(
    draws: Float[np.ndarray, "chains samples dim"],
    energies: Float[np.ndarray, "chains samples"],
    density: QuadratureDensity | None,
    u: Float[np.ndarray, "chains samples dim"] | None,
    *,
    table: StateTable | None = None,
    question: Question = Question.MIXING,
) -> CheckResult:
    """Judge one run of several chains from over-dispersed starts.

    Args:
        draws: Draws in the support.
        energies: Energy of every draw.
        density: Ground truth, or `None` where there is none; then the chains are only compared with
            each other.
        u: Probability integral transform of the draws under the ground truth, or `None`.
        table: Ground truth of draws that are states, or `None`.
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
        components |= agreement.worst(summaries)
        minimum_ess = MINIMUM_ESS_PER_CHAIN * num_chains
        if not components["rhat"] <= MAXIMUM_RHAT:
            reasons.append(f"R-hat {components['rhat']:.4f} is above {MAXIMUM_RHAT}")
        for kind in ("ess_bulk", "ess_tail"):
            if not components[kind] >= minimum_ess:
                reasons.append(f"{kind} {components[kind]:.0f} is below {minimum_ess}")
        tests: dict[str, float] = {}
        if density is not None and u is not None:
            tests, measured = agreement.with_density(draws, density, u, summaries)
            components |= measured
        elif table is not None:
            tests, measured = agreement.with_table(draws, table, summaries)
            components |= measured
        if tests:
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
        if p_value is not None and ess > 0
        else "no ground truth: chains are compared with each other only",
        false_alarm_rate=error_rates.SINGLE_LEVEL if p_value is not None else 0.0,
        detail="; ".join(reasons),
        seconds=time.perf_counter() - began,
        components=components,
    )


def is_slow(result: CheckResult) -> bool:
    """Whether all that is wrong with a run may be that it was too short: nothing disagrees but a little."""
    disagrees = result.p_value is not None and result.p_value < error_rates.SINGLE_LEVEL
    nearly_mixed = result.components.get("rhat", np.inf) < SLOW_RHAT
    return result.verdict is Verdict.FAIL and nearly_mixed and not disagrees


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
