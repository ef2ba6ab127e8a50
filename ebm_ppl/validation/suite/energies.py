"""What is asked about an energy itself, whoever samples it."""

from collections.abc import Sequence

from ebm_ppl.validation.checks.gradients import change_of_variables, gradient, resolution
from ebm_ppl.validation.checks.normalizer import normalizer
from ebm_ppl.validation.results import Question, Row, Trace
from ebm_ppl.validation.subjects import Subject
from ebm_ppl.validation.suite import states
from ebm_ppl.validation.suite.job import NO_KERNEL, Checks, Emit, Job, broken, guarded


def energy_job(subject: Subject) -> Job:
    """Gradient, change of variables and normaliser of one energy; sums over the states of a discrete one."""

    def run(emit: Emit) -> Sequence[Trace]:
        if subject.refusal is not None:
            result = broken("energy", Question.CORRECTNESS, subject.refusal)
            emit(Row(subject.name, NO_KERNEL, result))
            return ()
        for check, compute in energy_checks(subject):
            result = guarded(check, Question.CORRECTNESS, compute)
            emit(Row(subject.name, NO_KERNEL, result))
        return ()

    return Job(f"{subject.name}: energy", subject.name, NO_KERNEL, run)


def energy_checks(subject: Subject) -> Checks:
    """The checks of an energy that can be questioned."""
    if subject.is_discrete:
        yield from states.energy_checks(subject) if subject.has_truth else ()
        return
    density = subject.density
    yield from potential_checks(subject, at=subject)
    if density is not None:
        yield "normaliser", lambda: normalizer(density, subject.log_z)


def potential_checks(
    subject: Subject, *, at: Subject, question: Question = Question.CORRECTNESS
) -> Checks:
    """The checks of a potential on real points.

    Args:
        subject: The energy, and the potential that is held against it.
        at: At whose probes.
        question: Under which heading results are reported.
    """
    energy, potential = subject.energy, subject.potential
    yield "gradient", lambda: gradient(potential, at.probes, question=question)
    yield (
        "change of variables",
        lambda: change_of_variables(energy, potential, at.probes, question=question),
    )
    yield "resolution", lambda: resolution(potential, at.probes, question=question)
