"""The report as Markdown, for terminals, pull requests and logs."""

import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from ebm_ppl._text import DIRECTIONS
from ebm_ppl.validation.report import view
from ebm_ppl.validation.report._atomic import write_text
from ebm_ppl.validation.report._format import (
    SYMBOLS,
    WORDS,
    diagnostic,
    duration,
    label,
    number,
    p_value,
    words,
)
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace


def to_markdown(report: Report, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write `report` as Markdown; the file appears whole or not at all."""
    return write_text(path, render_markdown(report))


def render_markdown(report: Report) -> str:
    """The Markdown text."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    pairs = view.pairs(report)
    mark = "✓" if report.passed else "✗"
    yield f"# {mark} {escape(report.title)}: {view.headline(report)}"
    yield ""
    yield (
        f"{escape(report.mode.capitalize())} run, seed {report.seed}, {escape(report.started)}, "
        f"{duration(report.seconds)}. {view.budget(report)}"
    )
    yield ""
    for _, tally, sentence in view.summaries(report):
        yield f"- {SYMBOLS[tally.verdict]} {sentence}."
    for heading, question in (
        ("Is it right?", Question.CORRECTNESS),
        ("Does it mix?", Question.MIXING),
    ):
        matrix = view.matrix(pairs, question)
        if matrix.lines:
            yield from ("", f"## {heading}", "")
            yield from _matrix(matrix)
            if beside := view.beside(report, matrix):
                yield from ("", escape(beside))
    for section, found in view.sections(pairs):
        yield from ("", f"## {section.heading}", "")
        lines = [[pair.kernel, _tally(section.question, tally)] for pair, tally in found]
        yield from _table([section.column, "verdict"], lines)
    if controls := view.controls(report):
        yield from ("", "## Would the checks notice?", "")
        yield from _checks(controls)
    if any(pair.rows for pair in pairs):
        yield from ("", "## Every verdict", "")
        yield from _checks(row for pair in pairs for row in pair.rows)
    if keys := view.diagnostic_keys(report):
        yield from ("", "## Diagnostics", "")
        yield from _table(
            ["energy", "kernel", *map(label, keys)],
            ([t.energy, t.kernel, *(_diagnostic(t, key) for key in keys)] for t in report.traces),
        )
    yield from ("", "## Provenance", "")
    yield from _table(["", ""], ([name, words(value)] for name, value in _provenance(report)))


def _diagnostic(trace: Trace, key: str) -> str:
    return diagnostic(trace.diagnostics[key], key) if key in trace.diagnostics else "–"


def _provenance(report: Report) -> Iterator[tuple[str, object]]:
    yield "false-alarm budget", number(report.false_alarm_budget)
    yield "false-alarm rate", number(report.false_alarm_spent)
    yield from report.versions.items()
    yield from report.options.items()


def _matrix(matrix: view.Matrix) -> Iterator[str]:
    def cell(pair: view.Pair | None) -> str:
        tally = None if pair is None else pair.tally(matrix.question)
        return "–" if tally is None else _tally(matrix.question, tally)

    kernels = ["the energy itself" if k == view.NO_KERNEL else k for k in matrix.kernels]
    yield from _table(
        ["energy", *kernels],
        ([energy, *map(cell, cells)] for energy, cells in matrix.lines),
    )


def _tally(question: Question, tally: view.Tally) -> str:
    word = WORDS[question][tally.verdict]
    return f"{SYMBOLS[tally.verdict]} {word} {tally.passed}/{tally.total}"


def _checks(rows: Iterable[Row]) -> Iterator[str]:
    yield from _table(
        [
            "energy", "kernel", "check", "verdict", "statistic", "p-value or bound", "n",
            "smallest discrepancy seen (99% power)", "false alarms", "time", "detail",
        ],
        ([row.energy, row.kernel, *_cells(row.result)] for row in rows),
    )  # fmt: skip


def _cells(result: CheckResult) -> list[str]:
    threshold = [f"p {p_value(result.p_value)}"] if result.p_value is not None else []
    if result.bound is not None:
        threshold.append(f"{'bound' if threshold else '≤'} {number(result.bound)}")
    return [
        result.check,
        f"{SYMBOLS[result.verdict]} {WORDS[result.question][result.verdict]}",
        ": ".join(filter(None, [result.statistic_name, number(result.statistic)])),
        "; ".join(threshold) or "–",
        number(result.sample_size),
        result.detectable or "–",
        number(result.false_alarm_rate),
        duration(result.seconds),
        " at ".join(filter(None, [result.detail, result.place])),
    ]


def _table(header: list[str], lines: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(escape, header))} |"
    yield f"|{'---|' * len(header)}"
    for line in lines:
        yield f"| {' | '.join(map(escape, line))} |"


def escape(text: str) -> str:
    r"""Text that Markdown shows as it is, on one line.

    Examples:
        >>> print(escape("a|b <i> `c`"))
        a\|b &lt;i&gt; \`c\`
    """
    text = re.sub(rf"[\x00-\x1f\x7f-\x9f{DIRECTIONS}]+", " ", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~$!])", r"\\\1", text)
