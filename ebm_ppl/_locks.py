"""Locks that die with their owner, whatever kills it."""

import contextlib
import errno
import hashlib
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # a system without such locks
    fcntl = None

_LONGEST_NAME = 200
"""Bytes of a name that leave room for more around it: file systems take 255."""


def stem(path: pathlib.Path) -> str:
    """The name of a file for use in the names of others, or a digest of it if it is too long for that.

    Args:
        path: The file.
    """
    name = os.fsencode(path.name)
    return path.name if len(name) <= _LONGEST_NAME else hashlib.sha256(name).hexdigest()


def lock(file: IO[bytes]) -> bool | None:
    """Lock an open file for as long as it stays open and this process lives.

    Args:
        file: The file, open for writing.

    Returns:
        Whether the lock is ours now; `None` if the system or the disk has no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some disks of a network have none
        return None
    return True


def is_named(file: IO[bytes], path: pathlib.Path) -> bool:
    """Whether an open file still has this name: somebody may have removed it before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def alone_in(folder: pathlib.Path) -> Iterator[None]:
    """Write several files of a folder that belong together while nobody else who asks does; wait for that.

    Args:
        folder: The folder, which stays as it is where the disk has no locks.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claim(path: pathlib.Path) -> Iterator[bool]:
    """Be the only one who writes to a place, for as long as that takes.

    A hidden file beside it names the owner, and is locked while the owner lives; that of a dead owner is
    taken over.

    Args:
        path: The place.

    Yields:
        Whether nobody else can have the claim; `False` where the disk has no locks.

    Raises:
        OSError: If somebody else has the claim, whom the message names, or the folder cannot be written to.
    """
    name = path.with_name(f".{stem(path)}.lock")
    while True:
        with os.fdopen(os.open(name, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
            is_ours = lock(file)
            if is_ours is False:
                owner = file.read(200).decode(errors="replace").strip() or "another process"
                raise OSError(errno.EBUSY, f"{owner} is writing to it", str(path))
            if is_ours and not is_named(file, name):
                continue  # its last owner removed it after we had opened it
            try:
                file.truncate()
                file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
                yield bool(is_ours)
            finally:
                name.unlink(missing_ok=True)
            return
