"""What commands say: a line each, in characters that a terminal can show, whatever a file holds."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import IO

import click

from ebm_ppl._text import LIMIT, printable
from ebm_ppl.cli._width import wrapped

_CACHE_TROUBLE = r"Error (reading|writing) persistent compilation cache"
"""JAX compiles what it cannot read, and says so of every program of a damaged or full cache."""


def say(text: str, *, colour: str | None = None, err: bool = False, limit: int = LIMIT) -> None:
    """Print a line.

    Args:
        text: The line, in which text from files may stand.
        colour: Its colour on a terminal.
        err: Whether it goes to standard error.
        limit: Most characters of it.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = printable(text, limit).encode(encoding, errors="replace").decode(encoding)
    try:
        click.secho(wrapped(shown), fg=colour, err=err)
    except OSError:
        _give_up(stream)
        raise


def _give_up(stream: IO[str]) -> None:
    """Let what is left in a stream go nowhere: it would fail again at the end, with a status of its own."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def warn(message: str) -> None:
    """Print a warning to standard error."""
    say(f"Warning: {message}", err=True)


@contextlib.contextmanager
def heard_warnings() -> Iterator[list[type[Warning]]]:
    """Print warnings in a line each, for the reader rather than for the library's author.

    They stay warnings where Python was asked to make errors of them (`-W error`): a command that has worked
    for an hour does not lose its result to one.

    Yields:
        The kinds of those that were printed; grows.
    """
    heard: list[type[Warning]] = []

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        from tqdm import tqdm

        heard.append(category)
        with tqdm.external_write_mode(file=sys.stderr):  # above a bar
            warn(str(message))

    with warnings.catch_warnings():
        warnings.filters[:] = [  # pyright: ignore[reportIndexIssue]
            ("default" if action == "error" else action, *rest)
            for action, *rest in warnings.filters
        ]
        warnings.filterwarnings("ignore", _CACHE_TROUBLE)
        warnings.showwarning = show
        yield heard
