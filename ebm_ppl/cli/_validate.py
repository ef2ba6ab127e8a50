"""`ebm-ppl validate`: the suite's questions, a line a verdict, and a report in three files."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ebm_ppl.cli._options import seed_option
from ebm_ppl.cli._outputs import INTERRUPTED, Outputs, refused_place
from ebm_ppl.cli._refusal import check_names, listing, refuse
from ebm_ppl.cli._say import heard_warnings, say
from ebm_ppl.validation import names

if TYPE_CHECKING:
    from ebm_ppl.energies import AbstractEnergy
    from ebm_ppl.validation import Report

REPORTS = ("report.json", "report.md", "report.html")
MAX_PROCESSES = 4
"""Each takes a gigabyte, and programs of energies that it asks about."""


def _event_shape(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        shape = tuple(int(size) for size in value.split(",") if value.strip())
    except ValueError:
        shape = (0,)
    if any(size < 1 for size in shape):
        refuse(
            "--event-shape",
            f"must be comma-separated positive integers, or empty for a scalar; got {value!r}.",
        )
    return shape


def _options_of_kinds(command: Callable[..., None]) -> Callable[..., None]:
    """An option for the names of each kind."""
    for kind in reversed(names.ALL):
        option = click.option(
            kind.plural, kind.option, multiple=True, metavar="NAME", help=kind.help
        )
        command = option(command)
    return command


@click.command(epilog="\n\n".join(listing(kind.title, kind.known) for kind in names.ALL))
@click.option(
    "own",
    "--energy",
    multiple=True,
    metavar="SOURCE",
    help="An energy of yours, as module:attribute or path/to/file.py:attribute: an AbstractEnergy, "
    "a function without arguments that makes one, or a function of one point (with --event-shape). "
    "Repeatable.",
)
@click.option(
    "--event-shape",
    callback=_event_shape,
    metavar="SHAPE",
    help="Shape of a point, for an --energy that is a function of one: 2, or 2,3, or the empty "
    "string for a scalar.",
)
@_options_of_kinds
@click.option(
    "--thorough",
    is_flag=True,
    help="Eleven energies, every objective, every estimator and every planted bug.",
)
@click.option("--full", is_flag=True, help="Every energy too, and whole fits.")
@seed_option
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    default=pathlib.Path("ebm-ppl-report"),
    show_default=True,
    help="Folder of the three reports: HTML, JSON and Markdown.",
)
def validate(
    own: tuple[str, ...],
    event_shape: tuple[int, ...] | None,
    thorough: bool,
    full: bool,
    seed: int,
    out: pathlib.Path,
    **chosen: tuple[str, ...],
) -> None:
    """Check that kernels sample energies correctly, and write a report.

    Without options, asks every kernel about three energies, and whether one planted bug for each check
    would be caught. The exit status is 0 if everything passed, 1 if anything fell short, 2 if the
    command was not understood, and 130 after an interrupt, which leaves a report of what was asked so
    far.
    """
    if thorough and full:
        raise click.UsageError("Give --thorough or --full, not both.")
    for kind in names.ALL:
        check_names(kind.option, chosen[kind.plural], kind.known)
    with _leaving(), _folder(out), heard_warnings():
        outputs = Outputs([("--out", out / name) for name in REPORTS])
        say(f"Loading JAX; the report goes to {out}.", err=True)
        with outputs:
            passed = _run(
                {
                    "energy": _load(own, event_shape) or None,
                    **{kind: _distinct(given) for kind, given in chosen.items()},
                    "mode": "full" if full else "thorough" if thorough else "quick",
                    "seed": seed,
                },
                outputs,
            )
    _leave(0 if passed else 1)


@contextlib.contextmanager
def _leaving() -> Iterator[None]:
    """Let what ends the command end it now, whatever is still being asked."""
    try:
        yield
    except SystemExit as error:
        _leave(error.code if isinstance(error.code, int) else 1)


def _run(questions: Mapping[str, Any], outputs: Outputs) -> bool:
    """Ask the questions and write the report; whether everything passed."""
    from ebm_ppl import validation
    from ebm_ppl.cli import _process, _terminal
    from ebm_ppl.validation.runner import RunInterrupted

    _process.prepare()
    # Energies of the caller's own are asked in this process: others could not be handed them.
    limit = 1 if questions["energy"] else MAX_PROCESSES
    processes = min(_process.num_processors(), limit)
    interrupted = False
    try:
        with _terminal.Progress() as progress:
            report = validation.run(
                **questions,
                processes=processes,
                on_row=progress.row,
                on_progress=progress.advance,
            )
    except RunInterrupted as error:
        if not error.report.rows:
            raise
        report, interrupted = error.report, True
        say("Interrupted: writing what was asked so far; again to stop at once.", err=True)
    try:
        _write(report, outputs)
    except Exception:
        _terminal.summarise(report, outputs.saved)
        raise
    _terminal.summarise(report, outputs.saved)
    if interrupted:
        raise SystemExit(INTERRUPTED)
    return report.passed


def _leave(status: int) -> NoReturn:
    """End the program, without waiting for a check that is still under way after an interrupt."""
    workers = sys.modules.get("ebm_ppl.validation.workers")
    if workers is not None and workers.are_running():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _distinct(given: tuple[str, ...]) -> list[str] | None:
    return list(dict.fromkeys(given)) or None


def _load(
    sources: tuple[str, ...], event_shape: tuple[int, ...] | None
) -> Mapping[str, "AbstractEnergy"]:
    loaded: dict[str, AbstractEnergy] = {}
    shape_used = False
    if sources:
        from ebm_ppl.cli._sources import LoadError, find_energy

        for source in sources:
            try:
                loaded[source], used = find_energy(source, event_shape)
            except LoadError as error:
                refuse("--energy", f"{source!r}: {error}")
            shape_used = shape_used or used
    if event_shape is not None and not shape_used:
        refuse(
            "--event-shape",
            "is for an --energy that is a function of one point; got none such.",
        )
    return loaded


@contextlib.contextmanager
def _folder(out: pathlib.Path) -> Iterator[None]:
    """Make the folder of the report; it does not stay if nothing was written to it."""
    made = [path for path in (out, *out.parents) if not path.exists()]
    try:
        with refused_place("--out", out):
            out.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        _remove_empty(made)


def _remove_empty(folders: list[pathlib.Path]) -> None:
    with contextlib.suppress(OSError):  # one that holds something stays
        for folder in folders:
            folder.rmdir()


def _write(report: "Report", outputs: Outputs) -> None:
    """Write the three files, each whole or not at all; first the one with every number."""
    from ebm_ppl._locks import alone_in
    from ebm_ppl.validation.report import render_html, render_json, render_markdown
    from ebm_ppl.validation.report._atomic import write_text

    renders = (render_json, render_markdown, render_html)
    with alone_in(outputs.missing[0].parent):
        for path, render in zip(list(outputs.missing), renders, strict=True):
            outputs.save(path, lambda path=path, render=render: write_text(path, render(report)))
