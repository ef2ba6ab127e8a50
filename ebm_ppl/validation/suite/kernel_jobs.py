"""What is asked of a kernel: on one energy, and wherever it runs."""

import dataclasses
import time
from collections.abc import Callable, Sequence

from ebm_ppl.validation import tables
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.checks.evaluations import evaluations
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS
from ebm_ppl.validation.checks.mixing import is_slow, mixing
from ebm_ppl.validation.checks.normalizer import overlooked
from ebm_ppl.validation.family import Member
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace
from ebm_ppl.validation.sampling import SamplingRun, run_kernel
from ebm_ppl.validation.subjects import Subject, built_in
from ebm_ppl.validation.suite.job import NO_KERNEL, Emit, Job, guarded, key_for
from ebm_ppl.validation.suite.kernel_checks import claim_checks, correctness_checks

REFERENCE_TARGET = "gaussian_mixture_1d"
"""The target of claims that do not depend on the energy: asymmetric, of bounded curvature."""

DEFAULT_STEP_SIZE = 0.5
"""Step size at which a kernel is questioned whose warm-up broke; that it broke is a row of its own."""

PATIENCE = 16
"""How many times as long a kernel runs again whose chains nearly agree after the usual number of steps."""


def kernel_job(
    subject: Subject,
    case: KernelCase,
    seed: int,
    num_chains: int = SCREEN_CHAINS,
    member: Member | None = None,
) -> Job:
    """Mixing of a kernel on an energy and, if it claims to be exact, its correctness there.

    Args:
        subject: The energy.
        case: The kernel.
        seed: Seed of all random keys.
        num_chains: Chains a step size in the screen of exact invariance.
        member: The subject's potential in the family whose programs it shares, if it does.
    """
    questioned = member or Member.alone(subject.potential)

    def run(emit: Emit) -> Sequence[Trace]:
        if subject.refusal is not None:
            return ()  # the energy's own row has said it
        traces: list[Trace] = []
        step_sizes: list[float] = []

        def add(check: str, question: Question, compute: Callable[[], CheckResult]) -> None:
            emit(Row(subject.name, case.name, guarded(check, question, compute)))

        def run_for(steps: KernelCase) -> tuple[SamplingRun, CheckResult]:
            density, key = subject.density, key_for(seed, subject.name, case.name, "mixing")
            sampled = run_kernel(steps, questioned, density, key)
            # An inexact kernel has another law; its chains are only compared with each other.
            truth = (density, sampled.u) if case.exact else (None, None)
            table = subject.table if case.exact else None
            return sampled, mixing(sampled.draws, sampled.energies, *truth, table=table)

        def mix() -> CheckResult:
            began = time.perf_counter()
            sampled, result = run_for(case)
            if is_slow(result):
                longer = dataclasses.replace(case, thinning=PATIENCE * case.thinning)
                sampled, result = run_for(longer)
            if subject.density is not None:
                visited = sampled.draws.reshape(-1, subject.density.dim)
                found = overlooked(subject.density, visited, case.name)
                if found is not None:
                    emit(Row(subject.name, NO_KERNEL, found))
            step_sizes.append(sampled.step_size)
            traces.append(
                tables.trace(
                    subject.name, case, sampled, subject.density, result, table=subject.table
                )
            )
            return dataclasses.replace(result, seconds=time.perf_counter() - began)

        add("mixing", Question.MIXING, mix)
        has_steps = case.adaptation_field is not None or case.discrete
        if has_steps and subject.has_truth and case.exact:
            key = key_for(seed, subject.name, case.name, "invariance")
            tuned = step_sizes[0] if step_sizes else DEFAULT_STEP_SIZE
            for check, compute in correctness_checks(
                case, subject, tuned, key, num_chains=num_chains, member=questioned
            ):
                add(check, Question.CORRECTNESS, compute)
        return traces

    return Job(f"{subject.name} × {case.name}", subject.name, case.name, run)


def claims_job(case: KernelCase, seed: int, subject: Subject | None = None) -> Job:
    """What a kernel claims wherever it runs, questioned once.

    Args:
        case: The kernel.
        seed: Seed of all random keys.
        subject: Where it is questioned; by default on the reference target.
    """
    subject = built_in()[REFERENCE_TARGET] if subject is None else subject

    def run(emit: Emit) -> Sequence[Trace]:
        for check, compute in claim_checks(case, subject, seed, Question.CORRECTNESS):
            result = guarded(check, Question.CORRECTNESS, compute)
            emit(Row(subject.name, case.name, result))
        if case.evaluations_field is None:  # the state of others counts
            key = key_for(seed, case.name, "evaluations")
            result = guarded(
                "evaluations",
                Question.CORRECTNESS,
                lambda: evaluations(case, subject.potential, key),
            )
            if result is not None:
                emit(Row(subject.name, case.name, result))
        return ()

    return Job(f"{case.name}: claims", subject.name, case.name, run)
