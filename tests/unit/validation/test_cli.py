"""The command line: what it passes on, what it refuses, and what it leaves behind."""

import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import pytest
from click.testing import CliRunner, Result

from ebm_ppl import validation
from ebm_ppl.cli import _process, _terminal, _validate, main
from ebm_ppl.cli._validate import INTERRUPTED
from ebm_ppl.cli._width import wrapped
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.validation import names
from ebm_ppl.validation import report as formats
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.results import Question, Row, Verdict
from ebm_ppl.validation.runner import RunInterrupted
from ebm_ppl.validation.suite import KINDS
from tests.unit.validation import fakes

Invoke = Callable[..., Result]

ENERGIES = """
import jax.numpy as jnp
from ebm_ppl.energies import ConditionalGaussian, Gaussian
conditional = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
energy = Gaussian(jnp.zeros(2), jnp.eye(2))
def make():
    return energy
def broken():
    raise RuntimeError("no such luck")
def number():
    return 3
def point_energy(x):
    return 0.5 * jnp.sum(x**2)
three = 3
"""


class FakeRun:
    """Stands in for `validation.run`: records its arguments and returns a report at once."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.arguments: dict[str, object] = {}
        self.error: BaseException | None = None

    def __call__(self, energy=None, kernels=None, *, on_row, on_progress, **options) -> Report:
        self.arguments = {"energy": energy, "kernels": kernels, **options}
        for index, row in enumerate(self.report.rows, start=1):
            on_progress(index, len(self.report.rows), row.energy)
            on_row(row)
        if self.error is not None:
            raise self.error
        return self.report


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    run = FakeRun(fakes.report(traces=()))
    monkeypatch.setitem(validation.__dict__, "run", run)
    return run


@pytest.fixture
def invoke(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine.py").write_text(ENERGIES)
    return lambda *arguments: CliRunner().invoke(main, ["validate", *arguments])


def test_a_run_that_falls_short_writes_all_three_files_and_exits_with_1(
    fake_run: FakeRun, invoke: Invoke, tmp_path: pathlib.Path
) -> None:
    result = invoke("--out", "reports/today", "--kernel", "mala", "--seed", "7")
    assert result.exit_code == 1, result.output
    expected = {
        "energy": None,
        "kernels": ["mala"],
        "energies": None,
        "objectives": None,
        "estimators": None,
        "mode": "quick",
        "seed": 7,
        "processes": fake_run.arguments["processes"],
    }
    assert fake_run.arguments == expected
    names = {path.name for path in (tmp_path / "reports" / "today").iterdir()}
    assert names == {"report.html", "report.json", "report.md"}
    assert "✗ fail" in result.stdout
    assert "order of bias" in result.stdout
    assert "2 of 16 checks fell short" in result.stdout
    assert str(pathlib.Path("reports/today/report.html")) in result.stdout


def test_a_run_in_which_everything_passes_exits_with_0(fake_run: FakeRun, invoke: Invoke) -> None:
    fake_run.report = fakes.report(rows=fakes.report().rows[:3], traces=())
    result = invoke()
    assert result.exit_code == 0, result.output
    assert "All 3 checks passed" in result.stdout
    assert fake_run.arguments["mode"] == "quick"


@pytest.mark.parametrize(("processors", "processes"), [(1, 1), (3, 3), (64, 4)])
def test_processes_share_the_work_unless_an_energy_is_the_callers_own(
    fake_run: FakeRun,
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    processors: int,
    processes: int,
) -> None:
    monkeypatch.setattr(_process, "num_processors", lambda: processors)
    invoke()
    assert fake_run.arguments["processes"] == processes
    invoke("--energy", "mine:energy")
    assert fake_run.arguments["processes"] == 1


@pytest.mark.parametrize("source", ["mine:energy", "mine:make", "mine.py:energy", "./mine.py:make"])
def test_energies_come_from_modules_and_files(
    fake_run: FakeRun, invoke: Invoke, source: str
) -> None:
    assert invoke("--energy", source).exit_code == 1
    energies = fake_run.arguments["energy"]
    assert isinstance(energies, dict)
    assert list(energies) == [source]
    assert isinstance(energies[source], AbstractEnergy)


@pytest.mark.parametrize(("text", "shape"), [("2", (2,)), ("", ()), ("2,3", (2, 3))])
def test_a_function_of_a_point_takes_an_event_shape(
    fake_run: FakeRun, invoke: Invoke, text: str, shape: tuple[int, ...]
) -> None:
    result = invoke("--energy", "mine.py:point_energy", "--event-shape", text)
    assert result.exit_code == 1, result.output
    energies = fake_run.arguments["energy"]
    assert isinstance(energies, dict)
    (energy,) = energies.values()
    assert energy.event_shape == shape


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("--kernel", "nutz"), ("--kernel", "'nutz'", "did you mean 'nuts'?")),
        (("--estimator", "ais"), ("--estimator", "'ais' is not known.", "--help")),
        (
            ("--objective", "score-matching"),
            ("--objective", "'score-matching'", "did you mean 'score_matching'?"),
        ),
        (("--target", "bananna"), ("--target", "'bananna'", "did you mean 'banana'?")),
        (("--seed", "-1"), ("--seed", "'-1'", "from 0 to")),
        (("--seed", "1.5"), ("--seed", "'1.5'", "integer")),
        (("--out", "mine.py"), ("--out", "mine.py", "can be written to")),
        (("--out", "mine.py/below"), ("--out", "mine.py", "can be written to")),
        (("--out", "/proc/self/below"), ("--out", "/proc/self/below", "can be written to")),
        (("--thorough", "--full"), ("--thorough", "--full", "not both")),
        (("--energy", "mine"), ("--energy", "'mine'", "module:attribute")),
        (("--energy", "no_such:energy"), ("--energy", "no_such", "ModuleNotFoundError")),
        (("--energy", "no/such.py:energy"), ("--energy", "no/such.py", "no file")),
        (("--energy", "mine:nothing"), ("--energy", "'nothing'", "no attribute")),
        (("--energy", "mine:three"), ("--energy", "int", "energy or a callable")),
        (("--energy", "mine:broken"), ("--energy", "RuntimeError at", "mine.py:9", "no such luck")),
        (("--energy", "mine:number"), ("--energy", "AbstractEnergy", "int")),
        (("--energy", "mine:conditional"), ("--energy", "ConditionalGaussian", "fixed")),
        (("--energy", "mine:point_energy"), ("--energy", "point_energy", "--event-shape")),
        (("--energy", "mine:energy", "--event-shape", "2"), ("--event-shape", "function")),
        (("--event-shape", "2"), ("--event-shape", "function")),
        (("--event-shape", "two"), ("--event-shape", "'two'", "positive integers")),
        (("--event-shape", "0"), ("--event-shape", "'0'", "positive integers")),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_status_2(
    fake_run: FakeRun, invoke: Invoke, arguments: tuple[str, ...], fragments: tuple[str, ...]
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.partition("Error: ")[2].splitlines()
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines[1:]), lines
    message = " ".join(line.strip() for line in lines)
    assert all(fragment in message for fragment in fragments), message
    assert "Traceback" not in result.output
    assert not fake_run.arguments


def test_an_interrupt_before_the_first_verdict_leaves_nothing_behind(
    fake_run: FakeRun, invoke: Invoke, tmp_path: pathlib.Path
) -> None:
    fake_run.error = RunInterrupted(fakes.report(rows=(), traces=(), interrupted=True))
    result = invoke("--out", "new/reports")
    assert result.exit_code == INTERRUPTED
    assert "Interrupted. Nothing was written." in result.stderr
    assert not (tmp_path / "new").exists()


def test_an_interrupt_writes_what_was_asked_so_far(
    fake_run: FakeRun, invoke: Invoke, tmp_path: pathlib.Path
) -> None:
    rows = fakes.report().rows[:3]
    fake_run.error = RunInterrupted(fakes.report(rows=rows, traces=(), interrupted=True))
    result = invoke("--out", "reports")
    assert result.exit_code == INTERRUPTED
    headline = "Interrupted, so only a part was asked: all 3 checks passed"
    assert headline in result.stdout
    page = (tmp_path / "reports" / "report.html").read_text(encoding="utf-8")
    assert headline in page
    assert "What fell short" not in page
    assert headline in (tmp_path / "reports" / "report.md").read_text(encoding="utf-8")
    read = validation.load_json(tmp_path / "reports" / "report.json")
    assert read.interrupted
    assert not read.passed


def test_a_second_interrupt_stops_at_once(
    fake_run: FakeRun, invoke: Invoke, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    fake_run.error = RunInterrupted(fakes.report(traces=(), interrupted=True))
    monkeypatch.setattr(_validate, "_write", interrupted)
    result = invoke("--out", "reports")
    assert result.exit_code == INTERRUPTED
    assert not (tmp_path / "reports").exists()


def test_lines_break_between_words_where_the_terminal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    text = "random-walk-metropolis and a_name_that_is_longer_than_a_line_of_the_terminal"
    lines = wrapped(text).splitlines()
    assert [line.strip() for line in lines] == [
        "random-walk-metropolis and",
        "a_name_that_is_longer_than_a_line_of_the_terminal",
    ]
    monkeypatch.delenv("COLUMNS")
    assert wrapped(text) == text  # a file's lines are its reader's business


def test_names_are_those_of_the_modules() -> None:
    assert list(names.ENERGIES.known) == validation.energy_names()
    assert [kind.names for kind in KINDS] == [one for one in names.ALL if one is not names.ENERGIES]
    for kind in KINDS:
        assert list(kind.names.known) == list(kind.cases())


def test_help_lists_every_name() -> None:
    text = CliRunner().invoke(main, ["validate", "--help"]).output
    known = {name for kind in names.ALL for name in kind.known}
    assert [name for name in known if name not in text] == []


@pytest.mark.parametrize("name", ["report.json", "report.md", "report.html"])
def test_a_place_that_cannot_be_written_is_found_before_anything_is_asked(
    fake_run: FakeRun, invoke: Invoke, tmp_path: pathlib.Path, name: str
) -> None:
    (tmp_path / "reports" / name).mkdir(parents=True)
    result = invoke("--out", "reports")
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert f"got 'reports/{name}' (Is a folder)" in message
    assert not fake_run.arguments
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [name]


def test_every_number_is_saved_before_any_page_and_said_to_be(
    fake_run: FakeRun, invoke: Invoke, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("no glyphs\x1b[2J")

    monkeypatch.setattr(formats, "render_html", broken)
    result = invoke("--out", "reports")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        r"Error: RuntimeError: no glyphs\x1b[2J. Saved: reports/report.json, reports/report.md; "
        "not saved: reports/report.html."
    )
    assert "checks" in result.stdout  # the verdict all the same
    validation.load_json(tmp_path / "reports" / "report.json")


def test_a_name_can_neither_start_a_line_nor_move_the_cursor() -> None:
    result = fakes.check(
        verdict=Verdict.ERROR, detail=fakes.HOSTILE, place=fakes.HOSTILE, p_value=float("nan")
    )
    line = _terminal.verdict_line(Row(fakes.HOSTILE, fakes.HOSTILE, result))
    assert line.isprintable()
    assert "p NaN" in line


def test_mixing_has_words_of_its_own() -> None:
    result = fakes.check("mixing", Question.MIXING, Verdict.FAIL)
    assert "does not mix" in _terminal.verdict_line(Row("ring", "mala", result))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_CACHE_HOME": "/somewhere"}, pathlib.Path("/somewhere/ebm-ppl/jax")),
        ({"HOME": "/home/me"}, pathlib.Path("/home/me/.cache/ebm-ppl/jax")),
    ],
)
def test_the_compilation_cache_follows_the_platform(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: pathlib.Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _process.folder() == expected


@pytest.mark.parametrize("opt_out", [False, True])
def test_the_compilation_cache_can_be_refused_and_yields_to_jax_settings(
    monkeypatch: pytest.MonkeyPatch, opt_out: bool
) -> None:
    before = jax.config.jax_compilation_cache_dir
    assert before is not None  # the test session has set it
    _process.prepare()
    assert jax.config.jax_compilation_cache_dir == before
    if opt_out:
        monkeypatch.setenv(_process.OPT_OUT, "1")
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        _process.prepare()
        expected = None if opt_out else str(_process.folder())
        assert jax.config.jax_compilation_cache_dir == expected
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize("error", [RuntimeError("no home"), OSError("no disk")])
def test_without_a_place_for_it_there_is_no_compilation_cache(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def nowhere() -> pathlib.Path:
        raise error

    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setattr(_process, "folder", nowhere)
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        _process.prepare()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ebm_ppl.cli import main; main(['--help'], standalone_mode=False);"
        "sys.exit(any(name in sys.modules for name in ('jax', 'arviz', 'matplotlib', 'numpy')))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "validate" in done.stdout
    assert time.perf_counter() - began < 5  # a third of a second on an idle machine
