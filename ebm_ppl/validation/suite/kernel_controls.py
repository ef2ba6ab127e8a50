"""What a planted bug in a kernel or a potential is held against."""

import dataclasses

import numpy as np

from ebm_ppl.validation import cases, tables
from ebm_ppl.validation.controls import Control
from ebm_ppl.validation.diagnostics import convergence
from ebm_ppl.validation.results import Question
from ebm_ppl.validation.sampling import run_kernel
from ebm_ppl.validation.subjects import built_in
from ebm_ppl.validation.suite.energies import potential_checks
from ebm_ppl.validation.suite.job import Checks, key_for
from ebm_ppl.validation.suite.kernel_checks import claim_checks, correctness_checks

EFFICIENCY_SAMPLES = 5_000
"""Draws of each chain in each block where efficiency is measured, without thinning."""


def control_checks(control: Control, seed: int) -> Checks:
    """The checks that a control meets, as a correct subject with its claims would."""
    target = built_in()[control.target]
    potential = control.register(target.energy)
    subject = dataclasses.replace(target, name=control.name, registered=potential)
    if control.case is None or (control.equivalent and not target.is_discrete):
        yield from potential_checks(subject, at=target, question=Question.CONTROL)
    if control.case is None:
        return
    yield from claim_checks(control.case, subject, seed, Question.CONTROL)
    if control.case.exact:
        key = key_for(seed, "control", control.name)
        yield from correctness_checks(
            control.case, subject, control.step_size, key, question=Question.CONTROL
        )


def efficiency(control: Control, seed: int) -> dict[str, float]:
    """Effective draws per gradient of a variant, beside those of the correct kernel; none if none are asked.

    Every draw is kept: thinned ones may be independent of each other, and all kernels look alike.
    """
    reference, target = control.expected_efficiency_of, built_in()[control.target]
    if reference is None:
        return {}
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
