"""Which checks follow from what an energy is and what a kernel claims."""

import dataclasses
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import jax
import numpy as np

from ebm_ppl.samplers import AbstractMetropolisKernel, AbstractUnadjustedKernel
from ebm_ppl.validation import cases, state_jobs, tables
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.chains import ShortChainRunner
from ebm_ppl.validation.checks.adaptation import frozen_adaptation
from ebm_ppl.validation.checks.bias_order import bias_order
from ebm_ppl.validation.checks.detailed_balance import detailed_balance
from ebm_ppl.validation.checks.evaluations import evaluations
from ebm_ppl.validation.checks.gradients import change_of_variables, gradient, resolution
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS, InvarianceSubject, exact_invariance
from ebm_ppl.validation.checks.mixing import is_slow, mixing
from ebm_ppl.validation.checks.normalizer import normalizer, overlooked
from ebm_ppl.validation.controls import Control
from ebm_ppl.validation.diagnostics import convergence
from ebm_ppl.validation.family import Member
from ebm_ppl.validation.faults import fault_of
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace, Verdict
from ebm_ppl.validation.sampling import SamplingRun, run_kernel
from ebm_ppl.validation.subjects import Subject, built_in

NO_KERNEL = "-"
REFERENCE_TARGET = "gaussian_mixture_1d"
"""The target of claims that do not depend on the energy: asymmetric, of bounded curvature."""

STEP_FACTORS = (0.5, 1.0, 2.0)
DEFAULT_STEP_SIZE = 0.5
"""Step size at which a kernel is questioned whose warm-up broke; that it broke is a row of its own."""
EFFICIENCY_SAMPLES = 5_000
"""Draws of each chain in each block where efficiency is measured, without thinning."""

PATIENCE = 16
"""How many times as long a kernel runs again whose chains nearly agree after the usual number of steps."""

Emit = Callable[[Row], None]
Checked = TypeVar("Checked", CheckResult, CheckResult | None)


@dataclasses.dataclass(frozen=True)
class Job:
    """One unit of work: runs some checks, emits their rows and returns the traces it made."""

    label: str
    energy: str
    kernel: str
    run: Callable[[Emit], Sequence[Trace]]

    @property
    def programs(self) -> str:
        """What its programs belong to: jobs of one kernel share them."""
        return self.label if self.kernel == NO_KERNEL else self.kernel


def key_for(seed: int, *labels: str) -> jax.Array:
    """A key that depends on the seed and on what it is for, not on what else runs."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32("/".join(labels).encode()))


def guarded(check: str, question: Question, run: Callable[[], Checked]) -> Checked | CheckResult:
    """Run a check; one that breaks becomes an ERROR with its message, and never vanishes."""
    began = time.perf_counter()
    try:
        return run()
    except Exception as error:
        return broken(check, question, error, time.perf_counter() - began)


def broken(check: str, question: Question, error: Exception, seconds: float = 0.0) -> CheckResult:
    """The result of a check that could not be carried out."""
    message = str(error).strip().splitlines()
    place, traceback = fault_of(error)
    return CheckResult(
        check=check,
        question=question,
        verdict=Verdict.ERROR,
        statistic=float("nan"),
        statistic_name="",
        sample_size=0,
        detectable="",
        false_alarm_rate=0.0,
        detail=f"{type(error).__name__}: {message[0] if message else 'no message'}",
        seconds=seconds,
        place=place,
        traceback=traceback,
    )


def energy_job(subject: Subject) -> Job:
    """Gradient, change of variables and normaliser of one energy; sums over the states of a discrete one."""

    def run(emit: Emit) -> Sequence[Trace]:
        def add(check: str, compute: Callable[[], CheckResult]) -> None:
            emit(Row(subject.name, NO_KERNEL, guarded(check, Question.CORRECTNESS, compute)))

        if subject.refusal is not None:
            result = broken("energy", Question.CORRECTNESS, subject.refusal)
            emit(Row(subject.name, NO_KERNEL, result))
            return ()
        if subject.is_discrete:
            for check, compute in state_jobs.energy_checks(subject) if subject.has_truth else ():
                add(check, compute)
            return ()
        potential, density = subject.potential, subject.density
        add("gradient", lambda: gradient(potential, subject.probes))
        add(
            "change of variables",
            lambda: change_of_variables(subject.energy, potential, subject.probes),
        )
        add("resolution", lambda: resolution(potential, subject.probes))
        if density is not None:
            add("normaliser", lambda: normalizer(density, subject.log_z))
        return ()

    return Job(f"{subject.name}: energy", subject.name, NO_KERNEL, run)


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


def correctness_checks(
    case: KernelCase,
    subject: Subject,
    step_size: float,
    rng_key: jax.Array,
    *,
    question: Question = Question.CORRECTNESS,
    num_chains: int = SCREEN_CHAINS,
    member: Member | None = None,
) -> Iterator[tuple[str, Callable[[], CheckResult]]]:
    """The checks that an exact kernel's claims call for, the cheapest first."""
    if subject.is_discrete:
        yield from state_jobs.correctness_checks(
            case, subject, rng_key, question=question, num_chains=num_chains
        )
        return
    density, potential = subject.density, subject.potential
    assert density is not None  # for the type checker; the caller has looked

    def balance() -> CheckResult:
        kernel = case.make(potential)
        assert isinstance(kernel, AbstractMetropolisKernel)
        return detailed_balance(kernel, potential, density, step_size, question=question)

    def invariance() -> CheckResult:
        runner = ShortChainRunner(case, member or potential)
        steps = [factor * step_size for factor in STEP_FACTORS]
        return exact_invariance(
            InvarianceSubject(case, runner, density, steps),
            rng_key,
            question=question,
            screen_chains=num_chains,
        )

    if case.metropolis:
        yield "detailed balance", balance
    yield "exact invariance", invariance


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


def claim_checks(
    case: KernelCase, subject: Subject, seed: int, question: Question
) -> Iterator[tuple[str, Callable[[], CheckResult]]]:
    """The checks of a kernel that do not depend on the energy."""
    if case.adaptation_field is not None:
        key = key_for(seed, case.name, "claims")
        yield (
            "frozen adaptation",
            lambda: frozen_adaptation(case, subject.potential, key, question=question),
        )
    if case.bias_order is not None:
        yield "order of bias", lambda: _bias_order(case, subject, question)


def _bias_order(case: KernelCase, subject: Subject, question: Question) -> CheckResult:
    kernel, density = case.make(subject.potential), subject.density
    assert isinstance(kernel, AbstractUnadjustedKernel)  # `case` claims it
    assert density is not None  # the reference target is one-dimensional
    assert case.bias_step_size is not None
    return bias_order(kernel, subject.potential, density, case.bias_step_size, question=question)


def control_checks(control: Control, seed: int) -> Iterator[tuple[str, Callable[[], CheckResult]]]:
    """The checks that a control meets, as a correct subject with its claims would."""
    target = built_in()[control.target]
    potential = control.register(target.energy)
    subject = dataclasses.replace(target, name=control.name, registered=potential)
    if control.case is None or (control.equivalent and not target.is_discrete):
        probes = target.probes
        yield "gradient", lambda: gradient(potential, probes, question=Question.CONTROL)
        yield (
            "change of variables",
            lambda: change_of_variables(
                target.energy, potential, probes, question=Question.CONTROL
            ),
        )
        yield "resolution", lambda: resolution(potential, probes, question=Question.CONTROL)
    if control.case is None:
        return
    yield from claim_checks(control.case, subject, seed, Question.CONTROL)
    if control.case.exact:
        key = key_for(seed, "control", control.name)
        yield from correctness_checks(
            control.case, subject, control.step_size, key, question=Question.CONTROL
        )


def control_job(control: Control, seed: int) -> Job:
    """Run a control until a check rejects it; an equivalent variant has to pass them all."""

    def run(emit: Emit) -> Sequence[Trace]:
        result = judge_control(control, seed)
        if control.expected_efficiency_of is not None:
            figures = efficiency(control, control.expected_efficiency_of, seed)
            result = dataclasses.replace(result, components={**result.components, **figures})
        emit(Row(control.target, f"control: {control.name}", result))
        return ()

    return Job(f"control: {control.name}", control.target, control.name, run)


def judge_control(control: Control, seed: int) -> CheckResult:
    """PASS if a check caught the planted bug, or if an equivalent variant passed all of them."""
    began = time.perf_counter()
    last: CheckResult | None = None
    for check, compute in control_checks(control, seed):
        last = guarded(check, Question.CONTROL, compute)
        if last.verdict is not Verdict.PASS:
            break
    assert last is not None  # every control meets a check
    return judged(
        last,
        control.wrong_because,
        equivalent=control.equivalent,
        seconds=time.perf_counter() - began,
    )


def judged(
    last: CheckResult, wrong_because: str, *, equivalent: bool, seconds: float
) -> CheckResult:
    """The verdict on a control, from the last check that it met."""
    caught = last.verdict is Verdict.FAIL
    good = last.verdict is Verdict.PASS if equivalent else caught
    if equivalent:
        outcome = "passed, as it should" if good else f"rejected by {last.check}: {last.detail}"
    else:
        outcome = f"caught by {last.check}" if caught else "not caught"
    return dataclasses.replace(
        last,
        check="equivalent variant passes" if equivalent else "planted bug is caught",
        question=Question.CONTROL,
        verdict=Verdict.PASS if good else Verdict.FAIL,
        false_alarm_rate=last.false_alarm_rate if equivalent else 0.0,
        detail=f"{outcome}; {wrong_because}",
        seconds=seconds,
    )


def efficiency(control: Control, reference: str, seed: int) -> dict[str, float]:
    """Effective draws per gradient of a variant, beside those that the correct kernel gets.

    Every draw is kept: thinned ones may be independent of each other, and all kernels look alike.
    """
    target = built_in()[control.target]
    assert control.case is not None
    per_gradient = []
    for kernel_case in (control.case, cases.discover()[reference]):
        case = dataclasses.replace(kernel_case, thinning=1)
        key = key_for(seed, "efficiency", case.name)
        sampled = run_kernel(
            case, target.potential, target.density, key, num_samples=EFFICIENCY_SAMPLES
        )
        quantities = [*np.moveaxis(sampled.draws, 2, 0), sampled.energies]
        ess = min(convergence(quantity).ess_bulk for quantity in quantities)
        per_gradient.append(ess / (sampled.evaluations * tables.evaluations_per_step(sampled)))
    return {
        "ESS per gradient": per_gradient[0],
        f"expected of {reference}": per_gradient[1],
        "share of the expected": per_gradient[0] / per_gradient[1],
    }
