"""Kernels: asked about energies, and what they claim wherever they run."""

from collections.abc import Iterable, Sequence

from ebm_ppl.validation import cases, controls, names
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS
from ebm_ppl.validation.family import Member, in_families
from ebm_ppl.validation.subjects import Subject, is_built_in
from ebm_ppl.validation.suite.energies import energy_job
from ebm_ppl.validation.suite.job import Job
from ebm_ppl.validation.suite.kernel_controls import control_checks, efficiency
from ebm_ppl.validation.suite.kernel_jobs import claims_job, kernel_job
from ebm_ppl.validation.suite.kind import Kind, Scope

QUICK_CHAINS = 100_000
"""Chains a step size in the screen of a quick report, which sees discrepancies 1.4 times as large."""


def jobs(kernels: Sequence[KernelCase], scope: Scope) -> list[Job]:
    """Each energy with the kernels that suit it, then what these claim wherever they run."""
    return [*_on_energies(kernels, scope), *_wherever(kernels, scope)]


def left_out(kernels: Sequence[KernelCase], subjects: Iterable[Subject], named: bool) -> list[str]:
    """Which kernels are not asked about which energies, and why.

    Args:
        kernels: The kernels.
        subjects: The energies.
        named: Whether the kernels were named, so that one left out is told in any case.
    """
    return [
        f"{case.name} on {subject.name}: {reason}"
        for subject in subjects
        for case in kernels
        if (reason := _unasked(subject, case)) and (named or case.moves_on(subject.energy))
    ]


def _on_energies(kernels: Sequence[KernelCase], scope: Scope) -> list[Job]:
    plan: list[Job] = []
    num_chains = QUICK_CHAINS if scope.is_quick else SCREEN_CHAINS
    members = _members(scope.subjects)
    for subject in scope.subjects:
        plan.append(energy_job(subject))
        plan += [
            kernel_job(subject, case, scope.seed, num_chains, members.get(subject.name))
            for case in kernels
            if not _unsuited(subject, case)
        ]
    return plan


def _wherever(kernels: Sequence[KernelCase], scope: Scope) -> list[Job]:
    return [
        claims_job(case, scope.seed, _where_claimed(case, scope.subjects))
        for case in kernels
        if not case.discrete and any(case.moves_on(s.energy) for s in scope.subjects)
    ]


def _where_claimed(case: KernelCase, subjects: Sequence[Subject]) -> Subject | None:
    """Where the claims of a kernel are questioned; `None` for the reference target.

    Somebody's own kernel may be made for the energy beside it, and for no other. An order of bias is
    measured on a line.
    """
    if KERNELS.knows(case) or any(map(is_built_in, subjects)):
        return None
    own = [one for one in subjects if one.refusal is None and not _unsuited(one, case)]
    if case.bias_order is not None:
        own = [one for one in own if one.density is not None and one.density.dim == 1]
    return own[0] if own else None


def _unsuited(subject: Subject, case: KernelCase) -> str:
    """Why a kernel cannot sample an energy by its nature, or an empty string."""
    known = case.unsuited_for.get(subject.name, "") if is_built_in(subject) else ""
    return known or case.refusal(subject.energy)


def _unasked(subject: Subject, case: KernelCase) -> str:
    """Why a kernel was not asked whether it is correct on an energy, or an empty string."""
    reason = _unsuited(subject, case)
    if not reason and case.exact and subject.refusal is None and not subject.has_truth:
        return "no ground truth, so nothing was asked of its law"
    return reason


def _members(subjects: Iterable[Subject]) -> dict[str, Member]:
    """The built-in energies in families; an energy of anybody's own has its programs to itself.

    It may break while a kernel is traced, and would break the others of its family with it.
    """
    shared = [subject for subject in subjects if is_built_in(subject)]
    members = in_families(subject.potential for subject in shared)
    return {subject.name: member for subject, member in zip(shared, members, strict=True)}


KERNELS = Kind(
    names=names.KERNELS,
    cases=cases.discover,
    controls=controls.discover,
    jobs=jobs,
    control_checks=control_checks,
    place_of=lambda control: control.target,
    figures=efficiency,
    left_out=left_out,
    samples=True,
    takes_own=True,
)
