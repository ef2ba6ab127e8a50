"""The question of an estimator of log Z, and of its planted bugs."""

import functools
import time
from collections.abc import Callable, Sequence

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.checks.efficiency import efficiency
from ebm_ppl.validation.checks.partition import decisive_runs, honest_error
from ebm_ppl.validation.controls import EstimatorControl
from ebm_ppl.validation.jobs import Emit, Job, guarded, judged, key_for
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace, Verdict

PARTITION = "partition function"
"""What stands in a report's column of energies beside estimators."""


def checks_of(
    case: EstimatorCase, rng_key: PRNGKey, question: Question
) -> list[tuple[str, Callable[[], CheckResult]]]:
    """The checks that the same runs of an estimator have to pass, by name."""
    runs, work = functools.cache(lambda: decisive_runs(case, rng_key)), case.work
    checks = [("honest error", lambda: honest_error(case, runs(), question=question))]
    if work is not None:
        checks.append(("efficiency", lambda: efficiency(work, runs().error, question=question)))
    return checks


def estimator_job(case: EstimatorCase, seed: int) -> Job:
    """What an estimator claims."""

    def run(emit: Emit) -> Sequence[Trace]:
        key = key_for(seed, "estimator", case.name)
        for check, compute in checks_of(case, key, Question.ESTIMATION):
            emit(Row(PARTITION, case.name, guarded(check, Question.ESTIMATION, compute)))
        return ()

    return Job(f"estimator: {case.name}", PARTITION, case.name, run)


def estimator_control_job(control: EstimatorControl, seed: int) -> Job:
    """Hold a control against the same check."""

    def run(emit: Emit) -> Sequence[Trace]:
        result = judge_estimator_control(control, seed)
        emit(Row(PARTITION, f"control: {control.name}", result))
        return ()

    return Job(f"control: {control.name}", PARTITION, control.name, run)


def judge_estimator_control(control: EstimatorControl, seed: int) -> CheckResult:
    """PASS if a check caught the planted bug, or if an equivalent variant passed all of them."""
    began = time.perf_counter()
    result = ask_estimator_control(control, seed)
    return judged(
        result,
        control.wrong_because,
        equivalent=control.equivalent,
        seconds=time.perf_counter() - began,
    )


def ask_estimator_control(control: EstimatorControl, seed: int) -> CheckResult:
    """What the first check says that does not pass a control; the last, if all pass it."""
    key = key_for(seed, "control", control.name)
    results = [
        guarded(check, Question.CONTROL, compute)
        for check, compute in checks_of(control.case, key, Question.CONTROL)
    ]
    return next((result for result in results if result.verdict is not Verdict.PASS), results[-1])
