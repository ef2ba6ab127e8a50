"""Exact invariance: chains that start in the target must stay in it, at any autocorrelation."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from ebm_ppl.quadrature import QuadratureDensity
from validation.cases._base import KernelCase
from validation.chains import CHUNK, ShortChains
from validation.checks import error_rates, uniformity
from validation.checks.sequential import screen_then_confirm
from validation.results import CheckResult, Question, Verdict
from validation.truth import constrain, exact_starts, probability_transform

SCREEN_CHAINS = 200_000

MINIMUM_REJECTION = 0.15
"""Share of rejected transitions that one of the step sizes must show: acceptance has to be exercised."""

MAXIMUM_DOUBLINGS = 3
"""How often the largest step size is doubled while it refuses too little."""

Runner = Callable[[jax.Array, Float[np.ndarray, "n *position"], float], ShortChains]


@dataclasses.dataclass(frozen=True)
class InvarianceSubject:
    """A kernel on a target, ready to run.

    Attributes:
        case: The kernel and its claims.
        runner: Runs short chains (`validation.chains.ShortChainRunner`).
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
        p_values |= uniformity.acceptance_tests(chains.moved, chains.accept_prob)
    p_values["neighbour independence, end"] = uniformity.neighbour_independence(
        ndtri(np.clip(end[:, 0], 1e-12, 1 - 1e-12))
    )
    p_values["neighbour independence, change"] = uniformity.neighbour_independence(
        one[:, 0] - start[:, 0]
    )
    return p_values


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
        FAIL if both stages reject, or the screen does beyond doubt, or the step sizes never exercise
        the acceptance; PASS otherwise.
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
    unexercised = _unexercised(subject.case, acceptances)
    if decision.rejected:
        detail = f"the law changed: {worst}"
    elif unexercised:
        detail = unexercised
    else:
        detail = f"no test rejects; the least likely was {worst}"
    dim = subject.density.dim
    num_components = len(uniformity.legendre_components(np.full((1, dim), 0.5))[0])
    shift = error_rates.detectable_component(
        screen_chains, error_rates.SCREEN_LEVEL, len(tests), num_components
    )
    return CheckResult(
        check="exact invariance",
        question=question,
        verdict=Verdict.FAIL if decision.rejected or unexercised else Verdict.PASS,
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


def _unexercised(case: KernelCase, acceptances: Mapping[float, float]) -> str:
    """Why the step sizes did not put the acceptance to work, or an empty string."""
    if max(acceptances.values()) < MINIMUM_REJECTION:
        return (
            f"the chains hardly moved (at most {max(acceptances.values()):.1%} of the transitions)"
        )
    if _accepts_too_much(case, acceptances):
        return (
            f"no step size led to {MINIMUM_REJECTION:.0%} rejections "
            f"(at most {1 - min(acceptances.values()):.1%}), so the acceptance was not exercised"
        )
    return ""


def _accepts_too_much(case: KernelCase, acceptances: Mapping[float, float]) -> bool:
    return case.reports_acceptance and 1 - min(acceptances.values()) < MINIMUM_REJECTION


def _summary(tests: Mapping[str, float], acceptances: Mapping[float, float]) -> dict[str, float]:
    kinds: dict[str, float] = {}
    for name, p_value in tests.items():
        kind = name.rsplit(", step size", 1)[0]
        kinds[f"p: {kind}"] = min(kinds.get(f"p: {kind}", 1.0), error_rates.rank(p_value))
    moves = {f"share of moves at step size {eps:.3g}": share for eps, share in acceptances.items()}
    return kinds | moves
