"""What the last check that a control met says about the suite."""

import dataclasses
from typing import Protocol

from ebm_ppl.validation.results import CheckResult, Question, Verdict


class AnyCase(Protocol):
    """What cases of every kind have."""

    @property
    def name(self) -> str:
        """Name in the report."""
        ...


class AnyControl(AnyCase, Protocol):
    """What controls of every kind have."""

    @property
    def wrong_because(self) -> str:
        """What is wrong, in one sentence."""
        ...

    @property
    def equivalent(self) -> bool:
        """Whether it is correct after all and must pass."""
        ...

    @property
    def quick(self) -> bool:
        """Whether the quick report runs it."""
        ...


def judged(last: CheckResult, control: AnyControl, *, seconds: float) -> CheckResult:
    """The verdict on a control, from the last check that it met."""
    caught = last.verdict is Verdict.FAIL
    good = last.verdict is Verdict.PASS if control.equivalent else caught
    if control.equivalent:
        outcome = "passed, as it should" if good else f"rejected by {last.check}: {last.detail}"
    else:
        outcome = f"caught by {last.check}" if caught else "not caught"
    return dataclasses.replace(
        last,
        check="equivalent variant passes" if control.equivalent else "planted bug is caught",
        question=Question.CONTROL,
        verdict=Verdict.PASS if good else Verdict.FAIL,
        false_alarm_rate=last.false_alarm_rate if control.equivalent else 0.0,
        detail=f"{outcome}; {control.wrong_because}",
        seconds=seconds,
    )
