"""Work that is to be killed, or done twice at once: each function runs in a process of its own.

Importing this module computes nothing, so that a process that has imported it may be forked.
"""

import contextlib
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import jax
import numpy as np

import ebm_ppl as ebm
from ebm_ppl.cli import _validate
from ebm_ppl.cli._outputs import Outputs
from ebm_ppl.cli.fitting.draws import write_draws
from ebm_ppl.energies import Gaussian
from ebm_ppl.streaming import stream
from ebm_ppl.validation.report import html, json_report, markdown  # noqa: F401  # once, before the forks
from tests.unit.validation import fakes

NUM_STEPS = 60
NUM_STREAMED = 4_000
SIZE = 200
SHAPE = (4, 2_500)


def fit(folder: pathlib.Path, ready: Connection) -> None:
    """A fit that writes a checkpoint after every step."""
    from tests.unit.trainers import resumable

    with _told(ready, folder / "fit.ckpt"):
        resumable.run(folder / "fit.ckpt", every=1, num_steps=NUM_STEPS)


def long_fit(folder: pathlib.Path, ready: Connection) -> None:
    """One that does not end."""
    from tests.unit.trainers import resumable

    with _told(ready, folder / "fit.ckpt"):
        resumable.run(folder / "fit.ckpt", every=1, num_steps=10_000_000)


def short_fit(folder: pathlib.Path) -> None:
    """A short fit with the same checkpoint."""
    from tests.unit.trainers import resumable

    resumable.run(folder / "fit.ckpt", num_steps=10)


def streamed(folder: pathlib.Path, ready: Connection | None = None) -> None:
    """A run whose draws go to a folder, chunk by chunk."""
    kernel = ebm.RandomWalkMetropolis(ebm.as_model(ebm.energies.Quartic()), step_size=1.0)
    hidden = f".draws.{'?' * 32}.tmp"
    with contextlib.nullcontext() if ready is None else _told(ready, folder, hidden):
        stream(
            kernel,
            jax.random.key(0),
            num_samples=NUM_STREAMED,
            num_chains=2,
            chunk_size=5,
            path=folder / "draws",
            progress_bar=False,
        )


def model(folder: pathlib.Path, ready: Connection) -> None:
    """One model after the other in one file, each of one number everywhere."""
    _again(ready, lambda number: save_model(folder, number))


def report(folder: pathlib.Path, ready: Connection) -> None:
    """One set of reports after the other in one folder, each of one seed everywhere."""
    _again(ready, lambda number: write_report(folder, number))


def draws(folder: pathlib.Path, ready: Connection) -> None:
    """Draws of one number everywhere, as CSV and as NetCDF in turn."""
    _again(ready, lambda number: save_draws(folder, number))


def save_model(folder: pathlib.Path, number: int) -> None:
    energy = Gaussian(np.full(SIZE, number, np.float32), np.eye(SIZE, dtype=np.float32))
    ebm.save_energy(energy, folder / "model.eqx", metadata={"number": number})


def write_report(folder: pathlib.Path, number: int) -> None:
    outputs = Outputs([("--out", folder / name) for name in _validate.REPORTS])
    _validate._write(fakes.report(traces=(), seed=number), outputs)


def save_draws(folder: pathlib.Path, number: int) -> None:
    columns = {name: np.full(SHAPE, float(number)) for name in ("a", "b")}
    write_draws(columns, folder / ("draws.nc", "draws.csv")[number % 2], list(columns))


def save_models(folder: pathlib.Path, numbers: range) -> None:
    """As many as there are, and no more."""
    for number in numbers:
        save_model(folder, number)


def write_reports(folder: pathlib.Path, numbers: range) -> None:
    """Likewise."""
    for number in numbers:
        write_report(folder, number)


def outcome(work: Callable[..., Any], answer: Connection, *arguments: Any) -> None:
    """Send what came of some work: an empty string, or what it raised."""
    try:
        work(*arguments)
    except (OSError, ValueError) as error:
        answer.send(f"{type(error).__name__}: {error}")
    else:
        answer.send("")


def import_arviz(cache: pathlib.Path) -> None:
    """The first use of ArviZ in a process, with a cache of its own."""
    os.environ["XDG_CACHE_HOME"] = str(cache)
    from ebm_ppl.validation import diagnostics

    diagnostics.effective_size(np.random.default_rng(0).normal(size=(2, 20)))


def hold(folder: pathlib.Path, ready: Connection) -> None:
    """Be in the middle of a write to each place, for ever."""
    from ebm_ppl._files import _temporary, new_folder

    with _temporary(folder / "model.eqx"), new_folder(folder / "draws"):
        ready.send("ready")
        time.sleep(3600)


def _again(ready: Connection, write: Callable[[int], None]) -> None:
    for number in range(2):
        write(number)
    ready.send("ready")
    while True:
        number += 1
        write(number)


@contextlib.contextmanager
def _told(ready: Connection, path: pathlib.Path, pattern: str = "") -> Iterator[None]:
    """Tell as soon as a file is there, or one of a pattern in a folder; at the end in any case."""

    def watch() -> None:
        while not is_over.is_set():
            if next(path.glob(pattern), None) if pattern else path.exists():
                break
            time.sleep(0.001)
        ready.send("ready")

    is_over = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
