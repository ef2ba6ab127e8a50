"""The report's formats: nothing lost, nothing executed, nothing half written."""

import dataclasses
import functools
import html.parser
import json
import math
import os
import pathlib
import re
import time
from collections.abc import Iterator

import numpy as np
import pytest

from ebm_ppl import UnreadableFileError
from ebm_ppl.validation.report import (
    _atomic,
    load_json,
    render_html,
    render_json,
    render_markdown,
    view,
)
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.report.json_report import SCHEMA
from ebm_ppl.validation.report.sections import SECTIONS
from ebm_ppl.validation.results import Question, Row, Verdict
from tests.unit.validation import fakes

MAKERS = {"ordinary": fakes.report, "hostile": fakes.hostile_report}


@functools.cache
def report_of(name: str) -> Report:
    return MAKERS[name]()


@functools.cache
def page_of(name: str) -> str:
    return render_html(report_of(name))


class Page(html.parser.HTMLParser):
    """The tags and identifiers of a page, and whether its tags match up."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


@pytest.fixture(params=list(MAKERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_page_is_well_formed_and_its_links_lead_somewhere(name: str) -> None:
    page = Page(page_of(name))
    assert not page.open
    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers))
    links = [link.removeprefix("#") for link in page.values("href") + page.values("xlink:href")]
    assert set(links) <= set(identifiers)
    clipped = re.findall(r"url\(#(\w+)\)", page_of(name))
    assert set(clipped) <= set(identifiers)
    assert set(page.values("aria-labelledby")) <= set(identifiers)


def test_a_page_needs_no_network_and_runs_no_script(name: str) -> None:
    page = Page(page_of(name))
    assert not page.values("src")
    assert all(link.startswith("#") for link in page.values("href"))
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\((?!#)|@import", page_of(name))
    assert page.tags.count("script") == 1
    assert "application/json" in page.values("type")
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert any("default-src 'none'" in content for content in page.values("content"))


def test_hostile_names_are_shown_but_not_obeyed() -> None:
    text = page_of("hostile")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "<script>alert('pwn')</script>" in "".join(Page(text).text)


def test_the_page_carries_its_verdicts_as_json(name: str) -> None:
    _, _, rest = page_of(name).partition('id="report-data">')
    document = json.loads(rest.partition("</script>")[0])
    assert document["schema"] == SCHEMA
    assert len(document["rows"]) == len(report_of(name).rows)
    assert document["rows"][0]["energy"] == report_of(name).rows[0].energy


def test_every_row_and_number_reaches_the_page_and_the_markdown() -> None:
    report = report_of("ordinary")
    page, text = " ".join(Page(page_of("ordinary")).text), render_markdown(report)
    for row in report.rows:
        for word in (row.energy, row.result.check):
            assert word in page
            assert word in text
    for expected in ("2 of 16 checks fell short", "3 × 10⁻⁴⁰", "≤ 10⁻¹⁰", "3.2 × 10⁻⁶", "0.10.2"):
        assert expected in page
        assert expected in text.replace("\\", "")


def test_an_energy_that_nobody_asked_about_is_explained() -> None:
    named = fakes.report(options={"energies": ["gaussian"]})
    sentence = "On tilted double well kernels were asked what they claim wherever they run."
    for rendered in (render_html(named), render_markdown(named)):
        assert sentence in rendered
    both = fakes.report(options={"energies": ["gaussian", "tilted double well"]})
    assert "wherever they run" not in render_html(both) + render_html(fakes.report())


def test_the_headline_says_what_was_not_asked() -> None:
    mixes = fakes.check("mixing", Question.MIXING)
    rows = (
        Row("mine", "-", fakes.check("gradient")),
        Row("mine", "mala", mixes),
        Row("gaussian_mixture_1d", "mala", fakes.check("frozen adaptation")),
    )
    report = fakes.report(rows=rows, traces=(), options={"energies": ["mine"]})
    expected = (
        "All 3 checks passed, 1 of them on another target; whether draws follow the law of mine was not "
        "asked"
    )
    assert view.headline(report) == expected
    assert view.headline(dataclasses.replace(report, rows=rows[:2])).startswith(
        "All 2 checks passed; whether draws follow the law of mine"
    )
    asked = (*rows[:2], Row("mine", "mala", fakes.check("exact invariance")))
    assert view.headline(dataclasses.replace(report, rows=asked)) == "All 3 checks passed"
    alone = dataclasses.replace(report, rows=rows[:1])
    assert view.headline(alone) == "The one check passed"


def test_mixing_is_never_called_correctness() -> None:
    rows = (
        Row("ring", "mala", fakes.check()),
        Row("ring", "mala", fakes.check("mixing", Question.MIXING, Verdict.FAIL)),
    )
    report = fakes.report(rows=rows, traces=())
    pairs = view.pairs(report)
    correctness = view.matrix(pairs, Question.CORRECTNESS).lines[0][1][0]
    assert correctness is not None
    assert correctness.tally(Question.CORRECTNESS) == view.Tally(1, 1, Verdict.PASS)
    assert correctness.tally(Question.MIXING) == view.Tally(0, 1, Verdict.FAIL)
    for text in (render_html(report), render_markdown(report)):
        assert "✗ does not mix" in text
        assert "✓ pass" in text
        assert "✗ fail" not in text


def test_verdicts_are_told_by_words_and_not_by_colour_alone() -> None:
    chips = re.findall(r'class="(?:chip|cell) \w+"[^>]*>([^<]+)', page_of("ordinary"))
    assert chips
    assert all(re.match(r"[✓✗!] \w+", chip.strip()) for chip in chips)


def test_an_empty_report_says_so() -> None:
    report = fakes.report(rows=(), traces=())
    assert "Nothing was checked" in render_html(report)
    assert "Nothing was checked" in render_markdown(report)
    assert not report.passed


def test_a_budget_that_is_overspent_is_said() -> None:
    assert "OVER its budget" in view.budget(fakes.report(false_alarm_spent=1e-3))


def test_markdown_of_hostile_names_stays_one_line_a_row() -> None:
    text = render_markdown(report_of("hostile"))
    for section in text.split("\n## ")[1:]:
        heading, table = section.split("\n\n", 1)
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}
        assert len(columns) == 1, heading
    assert "<script>" not in text


def _same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and left.dtype == right.dtype
            and np.array_equal(left, right, equal_nan=True)
        )
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        return all(_same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, dict):
        assert isinstance(right, dict)
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, (tuple, list)):
        assert isinstance(right, (tuple, list))
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, float) and math.isnan(right)
    return left == right


def test_json_is_strict_and_brings_the_report_back(name: str, tmp_path: pathlib.Path) -> None:
    report = dataclasses.replace(report_of(name), options={"kernels": ["mala"], "seed": 0})
    path = report.to_json(tmp_path / "report.json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert document["schema"] == SCHEMA
    assert document["passed"] is report.passed
    assert _same(report, load_json(path))


def test_json_takes_numpy_scalars_and_options_of_any_kind() -> None:
    result = fakes.check(statistic=np.float32(0.5), sample_size=np.int64(3))
    report = fakes.report(
        rows=(Row("e", "k", result),),
        traces=(),
        options={"path": pathlib.PurePosixPath("a"), "p": np.float64(math.inf), "none": None},
    )
    document = json.loads(render_json(report))
    assert document["rows"][0]["result"]["statistic"] == 0.5
    assert document["options"] == {"path": "PurePosixPath('a')", "p": "Infinity", "none": None}


@pytest.mark.parametrize("text", ['{"schema": "ebm-ppl/validation-report/9"}', "[]", "{", '"x"'])
def test_json_of_another_schema_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"must name a validation report in JSON; .*report\.json' is "
    ):
        load_json(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _atomic.write_text(tmp_path / "below" / "report.md", "old")

    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["report.md"]


def test_a_file_name_that_is_no_text_and_turns_direction_is_in_all_formats(
    tmp_path: pathlib.Path,
) -> None:
    name = "b\udcff\u202egnp.py:energy"
    report = fakes.report(rows=(Row(name, "k", fakes.check()),), traces=())
    html, document, markdown = (
        write(tmp_path / write.__name__).read_text(encoding="utf-8")
        for write in (report.to_html, report.to_json, report.to_markdown)
    )
    assert json.loads(document)["rows"][0]["energy"] == name
    shown = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)  # but for the data
    assert "\u202e" not in shown + markdown
    assert "gnp.py:energy" in html
    assert "gnp.py:energy" in markdown


def test_methods_of_a_report_write_all_formats(tmp_path: pathlib.Path) -> None:
    report = dataclasses.replace(report_of("ordinary"), traces=())
    for write, start in (
        (report.to_html, "<!doctype html>"),
        (report.to_json, "{"),
        (report.to_markdown, "# ✗"),
    ):
        path = write(tmp_path / write.__name__)
        assert path.read_text(encoding="utf-8").startswith(start)


def test_forty_pairs_stay_small_and_quick() -> None:
    traces = [fakes.trace("e", f"k{i}", num_chains=16) for i in range(2)]
    report = fakes.report(rows=(), traces=tuple(traces))
    began = time.process_time()
    size = len(render_html(report))
    seconds = (time.process_time() - began) / len(traces)
    assert 40 * size / len(traces) < 8e6
    assert seconds < 1.0  # about 0.2 on an idle core


def _forged(value: object) -> Iterator[object]:
    """The same document with one part after the other replaced by something else."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: other} for other in _forged(part))
    elif isinstance(value, list) and value:
        yield from ([other, *value[1:]] for other in _forged(value[0]))
    for other in (None, True, 10**400, "\x1b[31m", [], [[]], {"": 0}, -1.5):
        if type(other) is not type(value):
            yield other


def test_a_forged_report_is_refused_in_one_line_or_sound(tmp_path: pathlib.Path) -> None:
    """Sound ones are written as they were read; numbers may stand for numbers."""
    path = tmp_path / "report.json"
    report = fakes.report()
    trace = report.traces[0]
    small = dataclasses.replace(trace, draws=trace.draws[:, :2], energies=trace.energies[:, :2])
    report = dataclasses.replace(report, rows=report.rows[:1], traces=(small,))
    document = json.loads(render_json(report))
    num_refused = 0
    for forged in _forged(document):
        path.write_text(json.dumps(forged))
        try:
            report = load_json(path)
        except UnreadableFileError as error:
            num_refused += 1
            message = str(error).replace(str(path), "")
            assert message.isprintable()
            assert len(message) < 200
        else:
            assert json.loads(render_json(report))["schema"] == SCHEMA
    assert num_refused > 100


def test_only_a_regular_file_is_read_as_a_report(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableFileError, match="is no regular file"):
        load_json(tmp_path / "pipe")
    path = tmp_path / "report.json"
    path.write_text("[" * 100_000)
    with pytest.raises(UnreadableFileError, match="is no JSON that a report is written in"):
        load_json(path)


def test_every_question_has_a_place_and_every_section_stands_in_both_texts() -> None:
    elsewhere = {Question.CORRECTNESS, Question.MIXING, Question.CONTROL}
    assert elsewhere | {section.question for section in SECTIONS} == set(Question)
    base = fakes.report()
    rows = [
        dataclasses.replace(
            base.rows[0],
            energy="the world",
            kernel=f"the {section.column}",
            result=dataclasses.replace(base.rows[0].result, question=section.question),
        )
        for section in SECTIONS
    ]
    report = dataclasses.replace(base, rows=tuple(rows), traces=())
    page, text = Page(render_html(report)), render_markdown(report)
    headings = [section.heading for section in SECTIONS]
    assert [line for line in page.text if line in headings] == headings
    assert [line[3:] for line in text.splitlines() if line[3:] in headings] == headings
    for section in SECTIONS:
        assert ("href", f"#{section.question}") in page.attributes
        assert ("id", str(section.question)) in page.attributes
        assert f"| the {section.column} |" in text
        assert f"1 of 1 {section.ending}" in text
    untrained = render_html(dataclasses.replace(report, rows=report.rows[1:]))
    assert SECTIONS[0].heading not in untrained
