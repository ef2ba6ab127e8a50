"""A run on the terminal: a bar on standard error, a line a verdict on standard output."""

import pathlib
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from tqdm import tqdm

from ebm_ppl._text import printable
from ebm_ppl.cli._say import heard_warnings, say
from ebm_ppl.validation.report import view
from ebm_ppl.validation.report._format import SYMBOLS, WORDS, duration, number, p_value
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.results import CheckResult, Row, Verdict

_LONGEST = 2000
"""Characters of a line: those about the whole run name what was asked."""

_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.ERROR: "yellow"}


class Progress:
    """Shows a run as it goes; the bar is off where standard error is not a terminal."""

    def __enter__(self) -> Self:
        """Open the bar."""
        self._bar = tqdm(
            file=sys.stderr,
            disable=None,
            leave=False,
            dynamic_ncols=True,
            smoothing=0,  # jobs differ, so the time left follows from all that are done
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {remaining} left]",
        )
        self._warnings = heard_warnings()
        self._warnings.__enter__()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Clear the bar away."""
        self._warnings.__exit__(None, None, None)
        self._bar.close()

    def row(self, row: Row) -> None:
        """Print a verdict above the bar."""
        with tqdm.external_write_mode(file=sys.stdout):
            _echo(verdict_line(row), _COLOURS[row.result.verdict])

    def advance(self, done: int, total: int, label: str) -> None:
        """Move the bar."""
        self._bar.total, self._bar.n = total, done
        self._bar.set_description_str(printable(label))
        self._bar.refresh()


def verdict_line(row: Row) -> str:
    """One verdict in one line."""
    result = row.result
    word = WORDS[result.question][result.verdict]
    subject = row.energy if row.kernel == view.NO_KERNEL else f"{row.energy} / {row.kernel}"
    parts = [f"{subject}: {result.check}", _evidence(result), duration(result.seconds)]
    line = f"{SYMBOLS[result.verdict]} {word:<12} " + ", ".join(part for part in parts if part)
    if not result.passed and result.detail:
        line += f": {result.detail}"
    if result.place:
        line += f" at {result.place}"
    return printable(line)


def summarise(report: Report, paths: Iterable[pathlib.Path]) -> None:
    """Print the verdict of the whole run and where the files are."""
    _echo("")
    for _, tally, sentence in view.summaries(report):
        _echo(f"{SYMBOLS[tally.verdict]} {sentence}", _COLOURS[tally.verdict])
    for pair in report.options.get("left out", []):
        _echo(f"{SYMBOLS[Verdict.ERROR]} left out: {pair}", _COLOURS[Verdict.ERROR])
    _echo(view.budget(report))
    _echo(
        f"{view.headline(report)} in {duration(report.seconds)}.",
        _COLOURS[Verdict.PASS if report.passed else Verdict.FAIL],
    )
    for path in paths:
        _echo(f"  {path}")


def _evidence(result: CheckResult) -> str:
    if result.p_value is not None:
        return f"p {p_value(result.p_value)}"
    if result.verdict is Verdict.ERROR:
        return ""  # what broke has no statistic; its message follows
    bound = "" if result.bound is None else f" (allowed: {number(result.bound)})"
    return f"{result.statistic_name} {number(result.statistic)}{bound}"


def _echo(text: str, colour: str | None = None) -> None:
    say(text, colour=colour, limit=_LONGEST)
