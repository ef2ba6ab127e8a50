"""Exact invariance: chains that start in the target must stay in it, at any autocorrelation."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.validation.cases._base import KernelCase
from ebm_ppl.validation.chains import CHUNK, ShortChains
from ebm_ppl.validation.checks import error_rates, uniformity
from ebm_ppl.validation.checks.sequential import screen_then_confirm
from ebm_ppl.validation.results import CheckResult, Question, Verdict
from ebm_ppl.validation.truth import constrain, exact_starts, probability_transform

SCREEN_CHAINS = 200_000

MINIMUM_REJECTION = 0.15
"""Share of rejected transitions that one of the step sizes must show: acceptance has to be exercised."""

MAXIMUM_DOUBLINGS = 6
"""How often the largest step size is doubled while it refuses too little."""

Runner = Callable[[jax.Array, Float[np.ndarray, "n *position"], float], ShortChains]


@dataclasses.dataclass(frozen=True)
class InvarianceSubject:
    """A kernel on a target, ready to run.

    Attributes:
        case: The kernel and its claims.
        runner: Runs short chains (`ebm_ppl.validation.chains.ShortChainRunner`).
        density: Ground truth of the target.
        step_sizes: Step sizes to try: half, once and twice the tuned one. Longer ones are added until the
            acceptance step has something to refuse.
    """

    case: KernelCase
    runner: Runner
    density: QuadratureDensity
    step_sizes: Sequence[float]


def invariance_p_values(
    chains: ShortChains, density: QuadratureDensity, *, reversible: bool, reports_acceptance: bool
) -> dict[str, float]:
    """p-values of all tests that apply to short chains from exact starts; all 0 if anything is not finite."""
    if not chains.is_finite:
        return {"non-finite value": 0.0}
    start, one, end = (
        probability_transform(density, constrain(density, positions))
        for positions in (chains.start, chains.one, chains.end)
    )
    components = {
        name: uniformity.legendre_components(u)
        for name, u in {"start": start, "one": one, "end": end}.items()
    }
    p_values = {
        f"Kolmogorov-Smirnov, coordinate {axis}": uniformity.kolmogorov_smirnov(end[:, axis])
        for axis in range(end.shape[1])
    }
    p_values["Neyman smooth"] = uniformity.neyman_smooth(components["end"])
    p_values["paired change"] = uniformity.paired_change(components["end"] - components["start"])
    p_values["paired change in one step"] = uniformity.paired_change(
        components["one"] - components["start"]
    )
    if reversible:
        p_values["energy sign"] = uniformity.energy_sign(chains.energy_change)
    if reports_acceptance:
        p_values |= uniformity.acceptance_tests(
            chains.moved, chains.accept_prob, lost=_moves_lost_to_rounding(chains)
        )
        if reversible and len(chains.moved) > 1:
            p_values["chains are alike"] = uniformity.heterogeneity(chains.moved, one)
    p_values["neighbour independence, end"] = uniformity.neighbour_independence(
        ndtri(np.clip(end[:, 0], 1e-12, 1 - 1e-12))
    )
    p_values["neighbour independence, change"] = uniformity.neighbour_independence(
        one[:, 0] - start[:, 0]
    )
    return p_values


def _moves_lost_to_rounding(chains: ShortChains) -> float:
    """Upper bound of how many moves are expected to end where they began, and look like refusals.

    A move is lost if it is shorter than half a unit in the last place of the position, which has a
    probability below that unit over the length of a typical move.
    """
    lengths = np.abs(chains.one - chains.start).max(axis=1)[chains.moved[0]]
    if lengths.size == 0:
        return 0.0
    unit = np.finfo(chains.start.dtype).eps * np.abs(chains.start).max(axis=1)
    return float(len(chains.moved) * np.minimum(unit / np.median(lengths), 1.0).sum())


def exact_invariance(
    subject: InvarianceSubject,
    rng_key: jax.Array,
    *,
    question: Question = Question.CORRECTNESS,
    screen_chains: int = SCREEN_CHAINS,
) -> CheckResult:
    """Check that a kernel leaves its target invariant, by a screen and, if it rejects, a confirmation.

    Args:
        subject: Kernel, target and step sizes.
        rng_key: Random key; screen and confirmation use independent ones.
        question: Recorded in the result.
        screen_chains: Independent chains a step size in the screen; four times as many
            in the confirmation.

    Returns:
        FAIL if both stages reject, or the screen does beyond doubt, or the chains hardly move; ERROR if
        no step size exercises the acceptance; PASS otherwise.
    """
    began = time.perf_counter()
    acceptances: dict[float, float] = {}

    def stage(key: jax.Array, num_chains: int) -> dict[str, float]:
        tests, shares = _stage(subject, key, num_chains)
        if not acceptances:  # those of the screen
            acceptances.update(shares)
        return tests

    decision = screen_then_confirm(stage, rng_key, screen_chains)
    tests, worst = decision.tests, decision.worst
    if decision.rejected:
        verdict, detail = Verdict.FAIL, f"the law changed: {worst}"
    else:
        verdict, detail = _exercise(subject.case, acceptances)
        detail = detail or f"no test rejects; the least likely was {worst}"
    dim = subject.density.dim
    num_components = len(uniformity.legendre_components(np.full((1, dim), 0.5))[0])
    shift = error_rates.detectable_component(
        screen_chains, error_rates.SCREEN_LEVEL, len(tests), num_components
    )
    return CheckResult(
        check="exact invariance",
        question=question,
        verdict=verdict,
        statistic=error_rates.rank(tests[worst]),
        statistic_name=f"smallest p-value of {len(tests)} tests, {worst}",
        bound=error_rates.SCREEN_LEVEL,
        p_value=decision.p_value,
        sample_size=decision.sample_size,
        detectable=f"a component of the law off by {shift:.4f} standard deviations",
        false_alarm_rate=error_rates.SEQUENTIAL_LEVEL,
        detail=detail,
        seconds=time.perf_counter() - began,
        components=_summary(tests, acceptances),
    )


def _stage(
    subject: InvarianceSubject, rng_key: jax.Array, num_chains: int
) -> tuple[dict[str, float], dict[float, float]]:
    """All p-values over all step sizes on fresh chains, and the share of moves at each step size."""
    tests: dict[str, float] = {}
    acceptances: dict[float, float] = {}
    num_chains = max(num_chains // CHUNK * CHUNK, min(num_chains, CHUNK))
    pending = list(subject.step_sizes)
    for index in range(len(pending) + MAXIMUM_DOUBLINGS):
        if not pending:
            if not _accepts_too_much(subject.case, acceptances):
                break
            pending.append(2 * max(acceptances))
        step_size = pending.pop(0)
        start_key, chain_key = jax.random.split(jax.random.fold_in(rng_key, index))
        start = exact_starts(subject.density, start_key, num_chains)
        chains = subject.runner(chain_key, start, step_size)
        acceptances[step_size] = chains.acceptance
        p_values = invariance_p_values(
            chains,
            subject.density,
            reversible=subject.case.reversible,
            reports_acceptance=subject.case.reports_acceptance,
        )
        tests |= {f"{name}, step size {step_size:.3g}": p for name, p in p_values.items()}
    return tests, acceptances


def _exercise(case: KernelCase, acceptances: Mapping[float, float]) -> tuple[Verdict, str]:
    """Whether the step sizes put the acceptance to work, and why not if they did not."""
    most, least = max(acceptances.values()), min(acceptances.values())
    if most < MINIMUM_REJECTION:
        return Verdict.FAIL, f"the chains hardly moved (at most {most:.1%} of the transitions)"
    if _accepts_too_much(case, acceptances):
        return Verdict.ERROR, (
            f"no step size led to {MINIMUM_REJECTION:.0%} rejections "
            f"(at most {1 - least:.1%}), so the acceptance was not exercised"
        )
    return Verdict.PASS, ""


def _accepts_too_much(case: KernelCase, acceptances: Mapping[float, float]) -> bool:
    return case.reports_acceptance and 1 - min(acceptances.values()) < MINIMUM_REJECTION


def _summary(tests: Mapping[str, float], acceptances: Mapping[float, float]) -> dict[str, float]:
    kinds: dict[str, float] = {}
    for name, p_value in tests.items():
        kind = name.rsplit(", step size", 1)[0]
        kinds[f"p: {kind}"] = min(kinds.get(f"p: {kind}", 1.0), error_rates.rank(p_value))
    moves = {f"share of moves at step size {eps:.3g}": share for eps, share in acceptances.items()}
    return kinds | moves
