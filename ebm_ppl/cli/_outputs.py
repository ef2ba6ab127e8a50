"""Files of a command: tried before its work starts, saved as each is done, named if anything fails."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

import click

from ebm_ppl._files import try_place
from ebm_ppl.cli._refusal import refuse
from ebm_ppl.cli._say import say

INTERRUPTED = 130

_MISUNDERSTOOD = (
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EINVAL,
    errno.ENAMETOOLONG,
)
"""Errors of whoever named the place; others are those of the disk."""


class Outputs:
    """What a command is to write.

    As a context it turns what goes wrong into one line that says what was saved and what was not: an error of
    the system always, any other once something is saved. Other errors before that are no matter of files.

    Args:
        planned: Files with the options that name them; `None` for those that were not asked for.
        checkpoint: File from which the same command goes on.

    Raises:
        click.ClickException: If one of them could not be written.
    """

    def __init__(
        self,
        planned: Sequence[tuple[str, pathlib.Path | None]],
        checkpoint: pathlib.Path | None = None,
    ) -> None:
        self.missing = [path for _, path in planned if path is not None]
        self.saved: list[pathlib.Path] = []
        self.checkpoint = checkpoint
        for option, path in [*planned, ("--checkpoint", checkpoint)]:
            if path is not None:
                with refused_place(option, path):
                    try_place(path)

    def save(self, path: pathlib.Path, write: Callable[[], object]) -> None:
        """Write one of the files.

        Args:
            path: The file.
            write: Writes it, whole or not at all.
        """
        write()
        self.missing.remove(path)
        self.saved.append(path)

    def account(self) -> str:
        """What exists and what does not, in one or two sentences."""
        if self.saved:
            rest = f"; not saved: {_listed(self.missing)}" if self.missing else ""
            return f"Saved: {_listed(self.saved)}{rest}."
        if self.checkpoint is not None and self.checkpoint.exists():
            return f"Nothing was written but the checkpoint {self.checkpoint}."
        return "Nothing was written."

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Say what exists if something went wrong."""
        if isinstance(error, KeyboardInterrupt):
            say(f"Interrupted. {self.account()}", err=True)
            raise SystemExit(INTERRUPTED) from error
        if isinstance(error, OSError):
            raise click.ClickException(f"{reason(error)}. {self.account()}") from error
        if self.saved and isinstance(error, click.ClickException):
            raise click.ClickException(f"{error.format_message()} {self.account()}") from error
        if self.saved and isinstance(error, Exception):
            message = f"{type(error).__name__}: {error}".rstrip(". ")
            raise click.ClickException(f"{message}. {self.account()}") from error


def reason(error: OSError) -> str:
    """What a system says, without its number, and of which file."""
    what = error.strerror or str(error)
    return what if error.filename is None else f"{what}: {os.fspath(error.filename)!r}"


@contextlib.contextmanager
def refused_place(option: str, path: pathlib.Path) -> Iterator[None]:
    """Refuse a place that was tried and cannot be written.

    Args:
        option: The option that named it.
        path: The place.
    """
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        message = f"must name a place that can be written to; got {str(path)!r} ({what})."
        if error.errno in _MISUNDERSTOOD:
            refuse(option, message)
        raise click.ClickException(f"'{option}' {message}") from error


def _listed(paths: list[pathlib.Path]) -> str:
    return ", ".join(map(str, paths))
