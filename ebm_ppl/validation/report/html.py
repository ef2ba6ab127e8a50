"""The report as one self-contained HTML page."""

import os
import pathlib
import re
from typing import Any

import jinja2
from markupsafe import Markup

from ebm_ppl._text import DIRECTIONS
from ebm_ppl.validation.report import _format, figures, view
from ebm_ppl.validation.report._atomic import write_text
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.report.json_report import render_json
from ebm_ppl.validation.results import Question

_CONTROL_CHARACTERS = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{DIRECTIONS}]")


def to_html(report: Report, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write `report` as a page that needs no network; the file appears whole or not at all."""
    return write_text(path, render_html(report))


def render_html(report: Report) -> str:
    """The page's text."""
    pairs = view.pairs(report)
    correctness = view.matrix(pairs, Question.CORRECTNESS)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            pairs=pairs,
            groups=view.by_energy(pairs),
            fell_short=any(not row.result.passed for row in report.rows),
            short=[pair for pair in pairs if not pair.passed],
            correctness=correctness,
            beside=view.beside(report, correctness),
            mixing=view.matrix(pairs, Question.MIXING),
            sections=view.sections(pairs),
            controls=view.controls(report),
            headline=view.headline(report),
            summaries=view.summaries(report),
            budget=view.budget(report),
            diagnostic_keys=view.diagnostic_keys(report),
            thumbnails=[(pair, _thumbnail(pair)) for pair in pairs if pair.trace is not None],
            panels={pair.anchor: _panels(pair) for pair in pairs},
            data=_script_data(render_json(report, traces=False)),
            Question=Question,
            NO_KERNEL=view.NO_KERNEL,
            symbols=_format.SYMBOLS,
            words=_format.WORDS,
        )
    )


def _panels(pair: view.Pair) -> list[figures.Panel]:
    return [] if pair.trace is None else figures.panels(pair.trace, pair.anchor)


def _thumbnail(pair: view.Pair) -> str | None:
    return pair.trace and figures.thumbnail(pair.trace, f"{pair.anchor}-thumbnail")


def _script_data(text: str) -> Markup:
    """JSON that cannot end the element that holds it."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _printable(value: Any) -> Any:
    """Replace control characters, which no name needs and which HTML forbids, and turns of direction."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", value)
    return value


def environment() -> jinja2.Environment:
    """Templates with the filters that both pages use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ebm_ppl.validation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _format.number,
        "p_value": _format.p_value,
        "duration": _format.duration,
        "label": _format.label,
        "diagnostic": _format.diagnostic,
        "words": _format.words,
        "svg": Markup,  # drawn by `_svg.render`, which escapes labels
    }
    return environment
