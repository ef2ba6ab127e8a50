"""Files that others wrote: regular ones of a stated size, and JSON of a stated number of values."""

import io
import json
import math
import os
import stat
import zipfile
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ebm_ppl._errors import UnreadableFileError

MOST_BYTES = 2**30
"""Largest file that is read whole unless the caller allows more."""

MOST_VALUES = 2**20
"""Most values that JSON may hold. Each takes up to 250 bytes as an object, whatever it takes as text."""

_MOST_MEMBERS = 2**16


def unreadable(path: str | os.PathLike[str], kind: str, reason: object) -> UnreadableFileError:
    """The refusal of a file, one sentence for all kinds of files.

    Args:
        path: The file.
        kind: What it was to be, such as "a whole model file".
        reason: Why it is not; the end of a sentence whose subject is the file.

    Returns:
        The error, to be raised.
    """
    return UnreadableFileError(f"`path` must name {kind}; {os.fspath(path)!r} {reason}.")


def open_regular(path: str | os.PathLike[str], kind: str) -> BinaryIO:
    """Open a file for reading, and wait for nobody: a named pipe is refused, and so is a device.

    Args:
        path: The file.
        kind: What it is to be, for the message.

    Returns:
        The open file.

    Raises:
        UnreadableFileError: If it is no regular file.
        OSError: If it cannot be opened.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115, handed to the caller
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise unreadable(path, kind, "is no regular file")
    return file


def read_bytes(path: str | os.PathLike[str], kind: str, most: int = MOST_BYTES) -> bytes:
    """Read a regular file of at most so many bytes.

    Args:
        path: The file.
        kind: What it is to be, for the message.
        most: The largest size.

    Returns:
        The contents.

    Raises:
        UnreadableFileError: If it is no regular file, or a larger one.
        OSError: If it cannot be read.
    """
    with open_regular(path, kind) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise unreadable(path, kind, f"has {size} bytes, and at most {most} are read")
        return file.read(size)


def parse_json(text: bytes) -> Any:
    """Read JSON in UTF-8, strictly, in memory of at most four times the text and 256 MiB.

    Args:
        text: The text.

    Returns:
        The value.

    Raises:
        ValueError: If it is no JSON, holds `NaN` or an infinity, or more than `MOST_VALUES` values.
        RecursionError: If it is nested too deep.
    """
    # Every value but the first stands behind one of these; those within strings count too.
    count = sum(text.count(mark) for mark in (b"[", b"{", b","))
    if count > MOST_VALUES:
        raise ValueError(f"JSON may hold at most {MOST_VALUES} values; got up to {count}.")
    return json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)


def parse_archive(content: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of an archive that `numpy.savez` wrote, strictly, in no more memory than it has.

    Nothing is decompressed and nothing unpickled, and no array is made that the archive does not hold.

    Args:
        content: The archive.

    Returns:
        The arrays by name.

    Raises:
        Exception: Of any kind, if it is anything else.
    """
    if content.count(b"PK\x01\x02") > _MOST_MEMBERS:  # each becomes an object when it is opened
        raise ValueError(f"an archive may have at most {_MOST_MEMBERS} members")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("members are not compressed")
        # Members that lie in one another would add up to more than there is.
        if sum(member.file_size for member in members) > len(content):
            raise ValueError("an archive is as large as its members")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("an archive has one member of a name")
        return {
            member.filename.removesuffix(".npy"): _parse_array(archive.read(member))
            for member in members
        }


def _parse_array(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("arrays are of the first version of NumPy's format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or size != len(content) - file.tell():
        raise ValueError("an array holds numbers, as many as its shape says")
    flat = np.frombuffer(content, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON holds no {name}.")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such pipes
