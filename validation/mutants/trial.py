"""One change held against the report, then against the tests."""

import dataclasses
import enum
import pathlib
import re

from validation.mutants.baseline import ASK, PYTEST, Baseline, rows_of
from validation.mutants.changes import Change
from validation.mutants.draw import area_of
from validation.mutants.nearness import Nearness
from validation.mutants.process import Ended, Tree
from validation.mutants.questions import questions_about, tests_about

_SPARE = 3
"""How many times as long as the unchanged package a changed one may take, beside the limit itself."""


class Outcome(enum.StrEnum):
    """How a change was noticed."""

    VERDICT = "killed by a verdict"
    CRASH = "killed by a crash in the report"
    TEST = "killed by a test only"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"


@dataclasses.dataclass(frozen=True)
class Trial:
    """What became of one change.

    Attributes:
        area: Area of the package.
        file: Path from the root of the checkout.
        line: Line when it was asked.
        function: Qualified name of the function around it.
        kind: Kind of the change.
        change: The change in words.
        outcome: How it was noticed.
        by: The row or test that noticed it, or why it is equivalent.
        cpu_seconds: Processor time that the question took.
    """

    area: str
    file: str
    line: int
    function: str
    kind: str
    change: str
    outcome: Outcome
    by: str = ""
    cpu_seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """What a change is known by."""
        return self.file, self.function, self.change


def trial_of(change: Change, outcome: Outcome, by: str = "", cpu_seconds: float = 0.0) -> Trial:
    """The record of a change."""
    return Trial(
        area=area_of(change.file),
        file=change.file,
        line=change.line,
        function=change.function,
        kind=change.kind,
        change=change.text,
        outcome=outcome,
        by=by,
        cpu_seconds=round(cpu_seconds, 1),
    )


def hold_against_everything(
    change: Change,
    tree: Tree,
    baseline: Baseline,
    unchanged: pathlib.Path,
    nearness: Nearness,
    limit: float,
) -> Trial:
    """Ask the report and the tests about a change, in a copy of the checkout that is restored at the end.

    Args:
        change: The change.
        tree: The copy.
        baseline: What the unchanged package answers.
        unchanged: Root of a copy that stays unchanged.
        nearness: Of that copy.
        limit: Seconds of processor time that a process may take beside thrice what it takes unchanged.
    """
    source = (unchanged / change.file).read_bytes()
    questions = questions_about(change.file, baseline.catalogue(), nearness)
    good, seconds = baseline.questions(questions)
    spent = 0.0
    tree.write(change.file, change.apply(source))
    try:
        if good:
            ended = tree.run(*ASK, *good, limit=limit + _SPARE * seconds)
            spent += ended.cpu_seconds
            noticed = judge_report(ended)
            if noticed is not None:
                return trial_of(change, *noticed, spent)
        batches = tests_about(change.file, unchanged, nearness)
        quick, slow = [("not slow", one) for one in batches], [("slow", one) for one in batches]
        for mark, batch in (*quick, ("slow", [change.file]), *slow):  # first its own docstrings
            files, failing, seconds = baseline.tests(batch, mark)
            asked = [part for test in failing for part in ("--deselect", test)]
            asked += ["-x", "-m", mark, *files]
            ended = tree.run(*PYTEST, *asked, limit=limit + _SPARE * seconds)
            spent += ended.cpu_seconds
            test = judge_tests(ended)
            if test is not None:
                return trial_of(change, Outcome.TEST, test, spent)
    finally:
        tree.write(change.file, source)
    return trial_of(change, Outcome.SURVIVED, "", spent)


def judge_report(ended: Ended) -> tuple[Outcome, str] | None:
    """What the report says of a change, and by which row; `None` if nothing."""
    for row in rows_of(ended):
        if row["verdict"] == "fail":
            return Outcome.VERDICT, row["row"]
        if row["verdict"] == "error":
            return Outcome.CRASH, f"{row['row']}: {row['detail']}"[:200]
    if ended.out_of_time:
        return Outcome.CRASH, "out of time"
    if ended.status != 0:
        lines = ended.output.strip().splitlines()
        return Outcome.CRASH, (lines[-1] if lines else f"exit status {ended.status}")[:200]
    return None


def judge_tests(ended: Ended) -> str | None:
    """The test that fails with a change; `None` if none does."""
    if ended.out_of_time:
        return "out of time"
    if ended.status in (0, 5):  # passed, or all were left out
        return None
    if ended.status == 4:
        raise RuntimeError(f"The tests were asked wrongly:\n{ended.output[-2000:]}")
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.output, re.MULTILINE)
    return found.group(1) if found else f"exit status {ended.status}"
