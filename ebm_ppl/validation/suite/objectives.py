"""Training objectives: what follows from their claims, and the loop that trains by them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ebm_ppl.trainers import AbstractObjective, Trainer
from ebm_ppl.validation import cases, controls, names
from ebm_ppl.validation.cases import ObjectiveCase
from ebm_ppl.validation.checks.training import every_example, expected_gradient, mode_mass, recovery
from ebm_ppl.validation.controls import ObjectiveControl
from ebm_ppl.validation.problems import (
    LINE_THETA,
    TRUE_THETA,
    line_law,
    line_problem,
    plane_problem,
    true_problem,
)
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace
from ebm_ppl.validation.suite.job import Checks, Emit, Job, guarded, key_for
from ebm_ppl.validation.suite.kind import Kind, Scope

TRAINING = "training"
"""What stands in a report's column of energies beside objectives."""

LOOP = "the loop"
"""What stands in the column of objectives for the loop itself."""

IN_THE_PLANE = "expected gradient in the plane"
"""Name of a check, beside that on the line."""

_LOG_Z_OFFSET = 0.1
"""How far from the truth log Z is questioned, so that its gradient is not 0."""


def objective_checks(
    case: ObjectiveCase,
    objective: AbstractObjective,
    seed: int,
    *,
    thorough: bool,
    question: Question = Question.TRAINING,
) -> Checks:
    """The checks of an objective, the cheapest first.

    Args:
        case: The case whose theory and claims it is held against.
        objective: The objective: the case's own, or an altered one.
        seed: Seed of all random keys.
        thorough: Whether parameters are to be recovered by a whole fit.
        question: Under which heading results are reported.
    """
    nodes = line_law().nodes
    offset = _LOG_Z_OFFSET if case.theory.learns_log_z else 0.0
    parameters = case.theory.complete(LINE_THETA, nodes)
    parameters[len(LINE_THETA) :] += offset
    learned = float(parameters[-1]) if case.theory.learns_log_z else None
    key = key_for(seed, "training", case.name)
    common: dict[str, Any] = {
        "burn_in": case.burn_in,
        "num_examples": case.num_examples,
        "shares_draws": case.holds_chains,
    }

    def on_the_line() -> CheckResult:
        expected = case.theory.gradient(parameters, line_law())
        return expected_gradient(
            objective, line_problem(), expected, key, learned=learned, question=question, **common
        )

    def in_the_plane() -> CheckResult:
        assert case.plane_gradient is not None
        result = expected_gradient(
            objective, plane_problem(), case.plane_gradient, key, question=question, **common
        )
        return dataclasses.replace(result, check=IN_THE_PLANE)

    def recovered() -> CheckResult:
        truth: np.ndarray = case.theory.complete(TRUE_THETA, nodes)
        return recovery(objective, true_problem(), truth, key, question=question)

    yield "expected gradient", on_the_line
    if case.plane_gradient is not None:
        yield IN_THE_PLANE, in_the_plane
    if case.holds_chains:
        yield "mass of modes", lambda: mode_mass(objective, key, question=question)
    if case.recovers and thorough:
        yield "recovery", recovered


def objective_job(case: ObjectiveCase, seed: int, *, thorough: bool) -> Job:
    """Everything that a training objective claims."""

    def run(emit: Emit) -> Sequence[Trace]:
        for check, compute in objective_checks(case, case.objective, seed, thorough=thorough):
            result = guarded(check, Question.TRAINING, compute)
            emit(Row(TRAINING, case.name, result))
        return ()

    return Job(f"training: {case.name}", TRAINING, case.name, run)


def loop_job() -> Job:
    """The training loop's own check."""

    def run(emit: Emit) -> Sequence[Trace]:
        result = guarded("every example", Question.TRAINING, every_example)
        emit(Row(TRAINING, LOOP, result))
        return ()

    return Job("training: loop", TRAINING, LOOP, run)


def control_checks(control: ObjectiveControl, seed: int) -> Checks:
    """The checks that a control meets, as a correct objective or loop would."""
    case = cases.discover_objectives()[control.like]
    if control.step is not Trainer.step:
        yield "every example", lambda: every_example(step=control.step, question=Question.CONTROL)
        return
    objective = case.objective if control.objective is None else control.objective
    yield from objective_checks(case, objective, seed, thorough=False, question=Question.CONTROL)


def jobs(objectives: Sequence[ObjectiveCase], scope: Scope) -> list[Job]:
    """The loop, then each objective."""
    if not objectives:
        return []
    thorough = scope.mode == "full"
    return [
        loop_job(),
        *(objective_job(case, scope.seed, thorough=thorough) for case in objectives),
    ]


OBJECTIVES = Kind(
    names=names.OBJECTIVES,
    cases=cases.discover_objectives,
    controls=controls.discover_objectives,
    jobs=jobs,
    control_checks=control_checks,
    place_of=lambda _control: TRAINING,
    concerns=lambda control, objectives: control.like in {case.name for case in objectives},
    quick=("noise_contrastive", "score_matching"),
)
