"""Estimators of log Z: whether their errors are honest, and their work worth it."""

import functools
from collections.abc import Sequence

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation import cases, controls, names
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.checks.efficiency import efficiency
from ebm_ppl.validation.checks.partition import decisive_runs, honest_error
from ebm_ppl.validation.controls import EstimatorControl
from ebm_ppl.validation.results import Question, Row, Trace
from ebm_ppl.validation.suite.job import Checks, Emit, Job, guarded, key_for
from ebm_ppl.validation.suite.kind import Kind, Scope

PARTITION = "partition function"
"""What stands in a report's column of energies beside estimators."""


def checks_of(case: EstimatorCase, rng_key: PRNGKey, question: Question) -> Checks:
    """The checks that the same runs of an estimator have to pass, by name."""
    runs, work = functools.cache(lambda: decisive_runs(case, rng_key)), case.work
    yield "honest error", lambda: honest_error(case, runs(), question=question)
    if work is not None:
        yield "efficiency", lambda: efficiency(work, runs().error, question=question)


def estimator_job(case: EstimatorCase, seed: int) -> Job:
    """What an estimator claims."""

    def run(emit: Emit) -> Sequence[Trace]:
        key = key_for(seed, "estimator", case.name)
        for check, compute in checks_of(case, key, Question.ESTIMATION):
            emit(Row(PARTITION, case.name, guarded(check, Question.ESTIMATION, compute)))
        return ()

    return Job(f"estimator: {case.name}", PARTITION, case.name, run)


def jobs(estimators: Sequence[EstimatorCase], scope: Scope) -> list[Job]:
    """Each estimator."""
    return [estimator_job(case, scope.seed) for case in estimators]


def control_checks(control: EstimatorControl, seed: int) -> Checks:
    """The checks that a control meets, as a correct estimator would."""
    return checks_of(control.case, key_for(seed, "control", control.name), Question.CONTROL)


ESTIMATORS = Kind(
    names=names.ESTIMATORS,
    cases=cases.discover_estimators,
    controls=controls.discover_estimators,
    jobs=jobs,
    control_checks=control_checks,
    place_of=lambda _control: PARTITION,
    quick=("annealed_importance_sampling, Gibbs",),
)
