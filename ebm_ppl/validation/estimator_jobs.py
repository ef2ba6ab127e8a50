"""The question of an estimator of log Z, and of its planted bugs."""

import time
from collections.abc import Sequence

from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.checks.partition import honest_error
from ebm_ppl.validation.controls import EstimatorControl
from ebm_ppl.validation.jobs import Emit, Job, guarded, judged, key_for
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace

PARTITION = "partition function"
"""What stands in a report's column of energies beside estimators."""


def estimator_job(case: EstimatorCase, seed: int) -> Job:
    """What an estimator claims."""

    def run(emit: Emit) -> Sequence[Trace]:
        key = key_for(seed, "estimator", case.name)
        result = guarded("honest error", Question.ESTIMATION, lambda: honest_error(case, key))
        emit(Row(PARTITION, case.name, result))
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
    """PASS if the check caught the planted bug, or if an equivalent variant passed it."""
    began = time.perf_counter()
    key = key_for(seed, "control", control.name)
    result = guarded(
        "honest error",
        Question.CONTROL,
        lambda: honest_error(control.case, key, question=Question.CONTROL),
    )
    return judged(
        result,
        control.wrong_because,
        equivalent=control.equivalent,
        seconds=time.perf_counter() - began,
    )
