"""Files that exist whole or not at all."""

import contextlib
import errno
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator


def temporary_beside(path: pathlib.Path) -> pathlib.Path:
    """A hidden name that nobody else has, in the same folder, for what is to become `path`."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Make a folder that takes its name once it is whole.

    Args:
        path: The folder; it must not exist yet, but the folder that it will be in.

    Yields:
        The folder to write into, which is gone if anything is raised.

    Raises:
        ValueError: If `path` exists, or the folder that it would be in does not.
    """
    target = pathlib.Path(path)
    if target.exists() or not target.parent.is_dir():
        raise ValueError(f"`path` must be a new folder in one that exists; got {str(path)!r}.")
    temporary = temporary_beside(target)
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file through a temporary one beside it, which takes its name once it is on the disk.

    A reader finds the old file or the new one, never a part of either, also if the program is killed
    or the machine loses power meanwhile.

    Args:
        path: Where to write; the folder must exist.
        content: The contents.

    Raises:
        OSError: If the file cannot be written.
    """
    target = pathlib.Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(target.parent))
    temporary = temporary_beside(target)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
