"""The console script `ebm-ppl`."""

import os
import pathlib
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NoReturn

import click

from ebm_ppl.cli._fit import fit, sample

# JAX, Matplotlib and ArviZ take seconds to import, so commands import them; `--help` needs none.
if TYPE_CHECKING:
    from ebm_ppl.energies import AbstractEnergy
    from ebm_ppl.validation.results import Report

INTERRUPTED = 130
MAX_SEED = 2**32 - 1


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ebm-ppl")
def main() -> None:
    """Energy-based models in NumPyro, with a report that proves their samples."""


main.add_command(fit)
main.add_command(sample)


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
        raise click.BadParameter(
            f"must be comma-separated positive integers, or empty for a scalar; got {value!r}."
        )
    return shape


def _seed(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) <= MAX_SEED):
        raise click.BadParameter(f"must be an integer from 0 to {MAX_SEED}; got {value!r}.")
    return int(value)


def _output_folder(
    _context: click.Context, _parameter: click.Parameter, value: pathlib.Path
) -> pathlib.Path:
    nearest = next(path for path in (value, *value.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise click.BadParameter(f"must be a folder; {str(nearest)!r} is a file.")
    if not os.access(nearest, os.W_OK):
        raise click.BadParameter(f"must be where you may write; {str(nearest)!r} is not.")
    return value


@main.command()
@click.option(
    "energies",
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
@click.option(
    "targets", "--target", multiple=True, metavar="NAME", help="A built-in energy. Repeatable."
)
@click.option(
    "kernels",
    "--kernel",
    multiple=True,
    metavar="NAME",
    help="A kernel; all by default. Repeatable.",
)
@click.option(
    "objectives",
    "--objective",
    multiple=True,
    metavar="NAME",
    help="A training objective; those of the mode by default. Repeatable.",
)
@click.option(
    "estimators",
    "--estimator",
    multiple=True,
    metavar="NAME",
    help="An estimator of log Z; those of the mode by default. Repeatable.",
)
@click.option("--quick", is_flag=True, help="The few questions that say most.")
@click.option("--full", is_flag=True, help="Every question of every kernel and energy.")
@click.option(
    "--seed",
    metavar="INTEGER",
    callback=_seed,
    default="0",
    show_default=True,
    help="Where all random keys come from.",
)
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    callback=_output_folder,
    default=pathlib.Path("ebm-ppl-report"),
    show_default=True,
    help="Folder of the three reports: HTML, JSON and Markdown.",
)
def validate(
    energies: tuple[str, ...],
    event_shape: tuple[int, ...] | None,
    targets: tuple[str, ...],
    kernels: tuple[str, ...],
    objectives: tuple[str, ...],
    estimators: tuple[str, ...],
    quick: bool,
    full: bool,
    seed: int,
    out: pathlib.Path,
) -> None:
    """Check that kernels sample energies correctly, and write a report.

    Without options, asks every kernel about eleven built-in energies. The exit status is 0 if
    everything passed, 1 if anything fell short, 2 if the command was not understood, and 130 after an
    interrupt.
    """
    if quick and full:
        raise click.UsageError("Give --quick or --full, not both.")
    mode = "quick" if quick else "full" if full else "default"
    try:
        passed = _validate(
            energies, event_shape, targets, kernels, objectives, estimators, mode, seed, out
        )
    except KeyboardInterrupt:
        click.echo("Interrupted; no report was written.", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(0 if passed else 1)


def _validate(
    energies: tuple[str, ...],
    event_shape: tuple[int, ...] | None,
    targets: tuple[str, ...],
    kernels: tuple[str, ...],
    objectives: tuple[str, ...],
    estimators: tuple[str, ...],
    mode: str,
    seed: int,
    out: pathlib.Path,
) -> bool:
    from ebm_ppl import validation
    from ebm_ppl.cli import _cache, _terminal

    _cache.enable()
    _check_names("--kernel", kernels, validation.kernel_names())
    _check_names("--target", targets, validation.energy_names())
    _check_names("--objective", objectives, validation.objective_names())
    _check_names("--estimator", estimators, validation.estimator_names())
    loaded = _load(energies, event_shape)
    with _terminal.Progress() as progress:
        report = validation.run(
            loaded or None,
            list(dict.fromkeys(kernels)) or None,
            energies=list(dict.fromkeys(targets)) or None,
            objectives=list(dict.fromkeys(objectives)) or None,
            estimators=list(dict.fromkeys(estimators)) or None,
            mode=mode,
            seed=seed,
            on_row=progress.row,
            on_progress=progress.advance,
        )
    paths = _write(report, out)
    _terminal.summarise(report, paths)
    return report.passed


def _check_names(option: str, given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            _refuse(option, f"must be one of {', '.join(map(repr, sorted(known)))}; got {name!r}.")


def _load(
    sources: tuple[str, ...], event_shape: tuple[int, ...] | None
) -> Mapping[str, "AbstractEnergy"]:
    from ebm_ppl.cli._sources import LoadError, load_energy

    loaded, shape_used = {}, False
    for source in sources:
        try:
            loaded[source], used = load_energy(source, event_shape)
        except LoadError as error:
            _refuse("--energy", f"{source!r}: {error}")
        shape_used = shape_used or used
    if event_shape is not None and not shape_used:
        _refuse(
            "--event-shape",
            "is for an --energy that is a function of one point; got none such.",
        )
    return loaded


def _refuse(option: str, message: str) -> NoReturn:
    raise click.BadParameter(message, param_hint=f"'{option}'")


def _write(report: "Report", out: pathlib.Path) -> list[pathlib.Path]:
    """Write the three files, each whole or not at all, once all are rendered."""
    from ebm_ppl.validation.report import render_html, render_json, render_markdown
    from ebm_ppl.validation.report._atomic import write_text

    texts = {
        "report.html": render_html(report),
        "report.json": render_json(report),
        "report.md": render_markdown(report),
    }
    try:
        return [write_text(out / name, text) for name, text in texts.items()]
    except OSError as error:
        raise click.ClickException(f"The report could not be written to {out}: {error}.") from error
