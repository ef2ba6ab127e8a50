"""Every planted bug is caught and every equivalent variant passes, as in the default report."""

import functools

import pytest

from ebm_ppl.validation.checks.error_rates import SEQUENTIAL_LEVEL
from ebm_ppl.validation.results import Question, Verdict
from ebm_ppl.validation.suite import KERNELS

CONTROLS = KERNELS.controls()

# Two of those that must pass; the quick ones are caught by every kind of check.
STAND_FOR_THE_REST = {"another mass matrix", "energy plus a constant"} | {
    name for name, control in CONTROLS.items() if control.quick
}


@functools.cache
def judged(name):
    return KERNELS.judge(CONTROLS[name], seed=0)


def test_there_are_enough_of_both_kinds():
    assert sum(not control.equivalent for control in CONTROLS.values()) >= 30
    assert sum(control.equivalent for control in CONTROLS.values()) >= 4


@pytest.mark.parametrize(
    "name",
    [
        name if name in STAND_FOR_THE_REST else pytest.param(name, marks=pytest.mark.slow)
        for name in CONTROLS
    ],
)
def test_control(name):
    """An equivalent variant is rejected falsely with probability 2e-7; detection has no random part
    where a deterministic check catches the bug, and p-values below 1e-7 where chains do."""
    result = judged(name)
    assert result.verdict is Verdict.PASS, result.detail
    assert result.question is Question.CONTROL
    if CONTROLS[name].equivalent:
        assert result.false_alarm_rate <= SEQUENTIAL_LEVEL


def test_every_check_has_a_control_that_it_catches():
    """The first check that rejects is named; over all controls, each of them is named at least once."""
    quick = [name for name, control in CONTROLS.items() if control.quick]
    named = {judged(name).detail.split(";")[0] for name in quick}
    assert named == {
        f"caught by {check}"
        for check in (
            "gradient",
            "change of variables",
            "resolution",
            "frozen adaptation",
            "detailed balance",
            "exact invariance",
            "order of bias",
        )
    }


@pytest.mark.slow
def test_what_changes_efficiency_alone_is_measured_beside_the_correct_kernel():
    """A fifth less of the gradient is no other order of efficiency, and no thinning may hide what it is."""
    rows = []
    KERNELS.control_job(CONTROLS["gradient scaled alike in proposal and ratio"], seed=0).run(
        rows.append
    )
    figures = rows[0].result.components
    assert rows[0].result.verdict is Verdict.PASS
    assert figures["ESS per gradient"] > 0.1
    assert 0.1 < figures["share of the expected"] < 10
