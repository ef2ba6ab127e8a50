"""`ebm-ppl fit` and `ebm-ppl sample`: from a table to a trained energy, and from that to draws."""

import math
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ebm_ppl._text import printable
from ebm_ppl.cli._options import seed_option, writable
from ebm_ppl.cli._outputs import Outputs
from ebm_ppl.cli._refusal import refuse
from ebm_ppl.cli._say import heard_warnings, say, warn

# JAX takes seconds to import, so the commands import it; `--help` needs none.
if TYPE_CHECKING:
    from ebm_ppl import AbstractEnergy
    from ebm_ppl.cli.fitting import FitRun, Table, Trained

ENERGY_NAMES = ("gaussian", "mlp", "quartic")
OBJECTIVE_NAMES = (
    "denoising-score-matching",
    "exact",
    "noise-contrastive",
    "persistent-cd",
    "score-matching",
    "sliced-score-matching",
)
KERNEL_NAMES = (
    "replica-exchange",
    "nuts",
    "mala",
    "chees-hmc",
    "gibbs-with-gradients",
    "block-gibbs",
)

_FORMATS = (".nc", ".csv")

_WIDEST = 80
"""Characters of a figure's name in a table."""

_FILE = click.Path(path_type=pathlib.Path, dir_okay=False)


def _refuse_same(**paths: pathlib.Path | None) -> None:
    """Refuse to write a file over one that is read, or over another that is written."""
    names: dict[pathlib.Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        other = names.setdefault(path.resolve(), name)
        if other != name:
            raise click.UsageError(f"{name} must be another file than {other}; got {str(path)!r}.")


def _of_draws(
    context: click.Context, parameter: click.Parameter, value: pathlib.Path
) -> pathlib.Path | None:
    """Refuse a name that promises another format than those that are written."""
    if value.suffix not in _FORMATS:
        refuse(parameter.opts[0], f"must end in {' or '.join(_FORMATS)}; got {str(value)!r}.")
    return writable(context, parameter, value)


@click.command()
@click.argument("data", type=click.Path(path_type=pathlib.Path, dir_okay=False))
@click.option(
    "--columns",
    metavar="NAMES",
    help="Comma-separated names of the columns to learn; all by default.",
)
@click.option(
    "--energy",
    type=click.Choice(ENERGY_NAMES),
    default="mlp",
    show_default=True,
    help="Family of energies.",
)
@click.option(
    "--objective",
    type=click.Choice(OBJECTIVE_NAMES),
    default="noise-contrastive",
    show_default=True,
    help="What training minimises.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=5000,
    show_default=True,
    help="Number of training steps.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Examples of a step; the smaller of 256 and all by default.",
)
@seed_option
@click.option(
    "--out",
    type=_FILE,
    callback=writable,
    default=pathlib.Path("model.eqx"),
    show_default=True,
    help="File of the trained energy: data, never code.",
)
@click.option(
    "--report", type=_FILE, callback=writable, help="HTML page about the fit; none by default."
)
@click.option(
    "--checkpoint",
    type=_FILE,
    callback=writable,
    help="File from which the same command goes on if it was stopped.",
)
def fit(
    data: pathlib.Path,
    columns: str | None,
    energy: str,
    objective: str,
    steps: int,
    batch_size: int | None,
    seed: int,
    out: pathlib.Path,
    report: pathlib.Path | None,
    checkpoint: pathlib.Path | None,
) -> None:
    """Train an energy on the columns of a CSV file DATA.

    The columns are standardised, a tenth of the rows is held out, and the trained energy is saved in the
    units of the data the moment its training ends, before anything is found out about it.
    """
    from ebm_ppl.cli import _process

    _refuse_same(
        **{"DATA": data, "'--out'": out, "'--report'": report, "'--checkpoint'": checkpoint}
    )
    with heard_warnings() as heard:
        outputs = Outputs([("--out", out), ("--report", report)], checkpoint)
        with outputs:
            _process.prepare()
            table = _read(data, columns)
            _fit(table, energy, objective, steps, batch_size, seed, out, report, outputs)
    if any(kind.__name__ == "CheckpointWarning" for kind in heard):
        raise SystemExit(1)


def _fit(
    table: "Table",
    energy: str,
    objective: str,
    steps: int,
    batch_size: int | None,
    seed: int,
    out: pathlib.Path,
    report: pathlib.Path | None,
    outputs: Outputs,
) -> None:
    """Train, save, and only then find out what came of it."""
    from ebm_ppl import Checkpoint, TrainingDivergedError, save_energy
    from ebm_ppl.cli.fitting import examine, train
    from ebm_ppl.cli.fitting.page import render_fit
    from ebm_ppl.validation.report._atomic import write_text

    checkpoint = outputs.checkpoint
    try:
        trained = train(
            table,
            energy,
            objective,
            num_steps=steps,
            batch_size=batch_size,
            seed=seed,
            checkpoint=None if checkpoint is None else Checkpoint(checkpoint, every=500),
        )
    except (ValueError, TrainingDivergedError) as error:
        raise click.ClickException(str(error)) from error
    outputs.save(out, lambda: save_energy(trained.energy, out, metadata=_metadata(trained)))
    run = examine(trained)
    _table(run.figures)
    if report is not None:
        outputs.save(report, lambda: write_text(report, render_fit(run)))
    _conclude(run, outputs.saved)


@click.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path, dir_okay=False))
@click.option(
    "--kernel",
    type=click.Choice(KERNEL_NAMES),
    help="Kernel that samples: by default replica-exchange, which crosses between modes, or "
    "gibbs-with-gradients, which like block-gibbs is for discrete points.",
)
@click.option("--num-samples", type=click.IntRange(min=4), default=1000, show_default=True)
@click.option("--num-warmup", type=click.IntRange(min=0), default=1000, show_default=True)
@click.option("--num-chains", type=click.IntRange(min=1), default=4, show_default=True)
@seed_option
@click.option(
    "--out",
    type=_FILE,
    callback=_of_draws,
    default=pathlib.Path("draws.nc"),
    show_default=True,
    help="File of the draws: .nc for NetCDF, which ArviZ reads, or .csv.",
)
@click.option(
    "--allow-unconverged",
    is_flag=True,
    help="Leave with status 0 although the chains disagree.",
)
def sample(
    model: pathlib.Path,
    kernel: str | None,
    num_samples: int,
    num_warmup: int,
    num_chains: int,
    seed: int,
    out: pathlib.Path,
    allow_unconverged: bool,
) -> None:
    """Draw from a trained energy, the file MODEL that `ebm-ppl fit` or `ebm_ppl.save_energy` wrote.

    The exit status is 1 if R-hat of a column is above 1.01: the chains disagree, and the draws, which are
    written all the same, do not show the energy's law.
    """
    from ebm_ppl.cli import _process

    _refuse_same(**{"MODEL": model, "'--out'": out})
    with heard_warnings():
        outputs = Outputs([("--out", out)])
        with outputs:
            _process.prepare()
            doubt = _sample(model, kernel, num_samples, num_warmup, num_chains, seed, out, outputs)
    if doubt is not None:
        warn(doubt)
        if not allow_unconverged:
            raise SystemExit(1)


def _sample(
    model: pathlib.Path,
    kernel: str | None,
    num_samples: int,
    num_warmup: int,
    num_chains: int,
    seed: int,
    out: pathlib.Path,
    outputs: Outputs,
) -> str | None:
    """Draw, save, and only then diagnose; what is wrong with the draws, if anything is."""
    from ebm_ppl._files import try_place
    from ebm_ppl.cli.fitting.draws import by_column, doubt, draw, size_of, write_draws
    from ebm_ppl.validation import diagnostics

    energy, names = _model(model)
    stored = _stored(names, out)
    try_place(out, size_of(num_chains * num_samples * len(names), out))
    try:
        draws = draw(energy, kernel, num_samples, num_warmup, num_chains, seed)
    # NumPyro finds no start where an energy is not finite
    except (ValueError, RuntimeError) as error:
        raise click.ClickException(f"{model}: {error}") from error
    columns = by_column(draws, stored)
    outputs.save(out, lambda: write_draws(columns, out, names))
    found = {name: diagnostics.convergence(values) for name, values in columns.items()}
    figures = {}
    for name, one in found.items():
        figures |= {f"{name}: R-hat": one.rhat, f"{name}: bulk ESS": one.ess_bulk}
    _table(figures)
    say(f"Wrote {out}")
    rhat = {name: one.rhat for name, one in found.items()}
    return doubt(rhat, kernel, energy.support.is_discrete)


def _model(path: pathlib.Path) -> tuple["AbstractEnergy", list[str]]:
    """The energy in a model file, and the names of its columns; `x0`, `x1`, ... if it has none for each."""
    from ebm_ppl import AbstractEnergy, load_energy
    from ebm_ppl.serialization import load_metadata

    try:
        energy = load_energy(path)
        names = _columns(load_metadata(path))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: {error}") from error
    if not isinstance(energy, AbstractEnergy):
        raise click.ClickException(
            f"{path} holds a {type(energy).__name__}, which has no draws before it is fixed: "
            "its `at(...)` is an energy to save."
        )
    dim = math.prod(energy.event_shape)
    if names is not None and len(names) != dim:
        warn(f"{path} names {len(names)} columns for points of {dim}; they are x0, x1, ... here.")
        names = None
    return energy, [f"x{k}" for k in range(dim)] if names is None else names


def _stored(names: list[str], out: pathlib.Path) -> tuple[str, ...]:
    """Names that the file of draws can hold; a warning says which are others than the model's."""
    from ebm_ppl.cli.fitting.names import storable

    stored = storable(names)
    changed = [f"{name!r} {new!r}" for name, new in zip(names, stored, strict=True) if name != new]
    if changed:
        warn(
            f"{out} cannot hold the names of all columns as they are; it calls {', '.join(changed)}."
        )
    return stored


def _read(path: pathlib.Path, columns: str | None) -> "Table":
    from ebm_ppl.cli.fitting import TableError, read_csv

    names = None if columns is None else [name.strip() for name in columns.split(",")]
    try:
        return read_csv(path, names)
    except TableError as error:
        raise click.ClickException(f"{path} {error}") from error


def _columns(metadata: Mapping[str, Any]) -> list[str] | None:
    """Names of the columns that a model was fitted to; `None` if its file does not name any."""
    names = metadata.get("columns")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else None


def _metadata(trained: "Trained") -> dict[str, Any]:
    return {
        "columns": list(trained.names),
        "energy": trained.energy_name,
        "objective": trained.objective_name,
        "steps": int(trained.fit.state.step),
        "seed": trained.seed,
    }


def _conclude(run: "FitRun", paths: list[pathlib.Path]) -> None:
    from ebm_ppl.cli.fitting.draws import doubt

    for path in paths:
        say(f"Wrote {path}")
    problem = doubt({"the worst column": run.figures["R-hat"]}, None, False)
    if problem is not None:
        warn(problem)


def _table(figures: Mapping[str, float]) -> None:
    from ebm_ppl.validation.report import _format

    labels = [printable(name, _WIDEST) for name in figures]
    width = max(map(len, labels))
    for label, value in zip(labels, figures.values(), strict=True):
        say(f"{label:<{width}}  {_format.number(value, digits=5)}")
