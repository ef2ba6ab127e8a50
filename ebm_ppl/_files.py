"""Files and folders that exist whole or not at all: all that the package writes goes through here.

What is being written has a hidden name beside its target until it is whole. The process that writes it holds
a lock on it, so that others can tell what a dead one has left, which the next writer to that place removes,
from what a living one still needs.
"""

import contextlib
import errno
import glob
import os
import pathlib
import shutil
import stat
import uuid
import warnings
from collections.abc import Iterator
from typing import IO

from ebm_ppl._locks import claim, is_named, lock, stem

_SUFFIX = ".tmp"

_TRIAL_SIZE = 4096
"""Bytes that any result takes; a disk that is full to the last block has no room for them."""


def resolved(path: str | os.PathLike[str]) -> pathlib.Path:
    """Where a file is to be written: behind links, in a folder that exists, over nothing but a file.

    Args:
        path: The file.

    Raises:
        OSError: If its folder does not exist, or something other than a regular file has its name.
    """
    target = pathlib.Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(target.parent))
    try:
        found = target.stat()
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):  # to take the place of a device would be to remove it
        raise OSError(errno.EINVAL, "Is no regular file", str(path))
    if _belongs_to_another(found, target.parent.stat()):
        raise PermissionError(errno.EPERM, "Belongs to somebody else", str(path))
    return target


def try_place(path: str | os.PathLike[str], size: int = _TRIAL_SIZE) -> None:
    """Find out before work begins whether its result could be written.

    Args:
        path: File to be written later.
        size: Bytes that it will take, as far as that is known.

    Raises:
        OSError: If it could not be written.
    """
    with _about(path), _temporary(resolved(path)) as (file, _):
        file.write(bytes(_TRIAL_SIZE))
        file.flush()
        reserve(file, max(size, _TRIAL_SIZE))


def reserve(file: IO[bytes], size: int) -> None:
    """Take the space that a file will need, where the disk can do that.

    Args:
        file: A file, open for writing.
        size: Bytes of the whole file.

    Raises:
        OSError: If there is too little space.
    """
    if size < 1 or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file through a temporary one beside it, which takes its name once it is on the disk.

    A reader finds the old file or the new one, never a part of either, also if the program is killed
    or the machine loses power meanwhile. Its permissions stay, and a link stays one.

    Args:
        path: Where to write; the folder must exist.
        content: The contents.

    Raises:
        OSError: If the file cannot be written.
    """
    with _about(path):
        target = resolved(path)
        with _temporary(target) as (file, temporary):
            if target.exists() and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":
                file.close()  # it does not rename what is open
            temporary.replace(target)


@contextlib.contextmanager
def _about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors of the system name the file that was to be written, not one that nobody has asked for."""
    try:
        yield
    except OSError as error:
        is_hidden = error.filename is None or os.fsdecode(error.filename).endswith(_SUFFIX)
        if error.errno is None or not is_hidden:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed while they wrote a file have left beside it.

    Args:
        path: The file.
    """
    target = pathlib.Path(os.path.realpath(path))
    for leftover in _temporaries(target):
        # What cannot be opened or removed is somebody else's, or gone by now.
        with contextlib.suppress(OSError), leftover.open("r+b") as file:
            if lock(file):
                leftover.unlink()


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Make a folder that takes its name once it is whole; nobody else makes it meanwhile.

    Args:
        path: The folder; it must not exist yet, but the folder that it will be in.

    Yields:
        The folder to write into, which is gone if anything is raised.

    Raises:
        ValueError: If `path` exists, or the folder that it would be in does not.
        OSError: If the folder cannot be made, or another process is making it.
    """
    target = pathlib.Path(path)
    if os.path.lexists(target) or not target.parent.is_dir():
        raise ValueError(f"`path` must be a new folder in one that exists; got {str(path)!r}.")
    with claim(target) as is_ours:
        if is_ours:  # then whoever made these is dead
            for leftover in _temporaries(target):
                shutil.rmtree(leftover, ignore_errors=True)
        temporary = _hidden(target)
        try:
            temporary.mkdir()
            yield temporary
            _take_name(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _take_name(temporary: pathlib.Path, target: pathlib.Path) -> None:
    """Give a folder that is whole its name, or one beside it if somebody else has taken that meanwhile."""
    for file in temporary.rglob("*"):
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
    try:
        temporary.rename(target)
    except OSError as error:
        if not os.path.lexists(target):
            raise
        number = 2
        while os.path.lexists(spare := target.with_name(f"{target.name}-{number}")):
            number += 1
        temporary.rename(spare)
        warnings.warn(
            f"`path` was taken by something else meanwhile ({error.strerror}: {str(target)!r}); the "
            f"folder is {str(spare)!r}.",
            stacklevel=4,
        )


@contextlib.contextmanager
def _temporary(target: pathlib.Path) -> Iterator[tuple[IO[bytes], pathlib.Path]]:
    """A new file beside `target` that is locked, and gone at the end unless it was renamed."""
    remove_leftovers(target)
    while True:
        temporary = _hidden(target)
        try:
            with temporary.open("xb") as file:
                # Between its making and its lock somebody may have taken it for a leftover.
                is_ours = lock(file)
                if is_ours is False or (is_ours and not is_named(file, temporary)):
                    continue
                yield file, temporary
        finally:
            temporary.unlink(missing_ok=True)
        return


def _hidden(target: pathlib.Path) -> pathlib.Path:
    """A hidden name that nobody else has, in the same folder, for what is to become `target`."""
    return target.with_name(f".{stem(target)}.{uuid.uuid4().hex}{_SUFFIX}")


def _temporaries(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """All that has a name of `_hidden`."""
    yield from target.parent.glob(f".{glob.escape(stem(target))}.{'[0-9a-f]' * 32}{_SUFFIX}")


def _belongs_to_another(file: os.stat_result, folder: os.stat_result) -> bool:
    """Whether the file is in a folder for all, such as `/tmp`, where only its owner may replace it."""
    if not hasattr(os, "geteuid"):
        return False
    return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in (
        0,
        file.st_uid,
        folder.st_uid,
    )
