"""Tables of numbers from CSV files, read strictly: what is missing or no number is refused by name."""

import collections
import csv
import dataclasses
import io
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, TextIO

import numpy as np

from ebm_ppl._errors import UnreadableFileError
from ebm_ppl._foreign import open_regular
from ebm_ppl.cli.fitting.names import unquoted

MIN_ROWS = 10
"""Fewer examples than this are no data set."""

MOST_COLUMNS = 2**16
"""More columns than this are no table, but rows and columns exchanged, or a file of another kind."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ZERO = re.compile(r"[+-]?[0.]+(?:[eE].*)?")
_BLANKS = " \t"
_SURROGATE = re.compile("[\ud800-\udfff]")  # what stands for a byte that is no UTF-8

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_TOO_LARGE = _LARGEST * (1 + 2**-25)
"""Rounds to infinity."""

_BLOCK = 2**20
"""Characters that are read at a time."""

_NOT_PLAIN = '"\v\f\x1c\x1d\x1e\x1f'
"""Quotes, within which NumPy takes line breaks, and white space that it takes for blanks."""
# Where a zero may be a number below the smallest of double precision.
_MAY_VANISH = re.compile(r"[eE]|0{300}")

_MOST_NAMED, _MOST_SHOWN = 10, 60


class TableError(UnreadableFileError):
    """A file that holds no table of numbers; the message is for the person at the command line."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Named columns of finite numbers.

    Attributes:
        names: Names of the columns.
        values: The numbers, shape `(num_rows, num_columns)`.
    """

    names: tuple[str, ...]
    values: np.ndarray


def read_csv(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> Table:
    r"""Read columns of a comma-separated file whose first line names them.

    The file is in UTF-8, and its lines end in `\n`, `\r\n` or `\r`; a field may be quoted as RFC 4180 has it,
    and an empty line is none. A number is decimal, `[+-]digits[.digits][e[+-]digits]` with a digit before or
    behind the point, in ASCII, blanks or tabs around it; it is 0 or between the smallest normal and the
    largest number of single precision. The time is linear in the size of the file; the memory is 8 bytes a
    number, at most four times the file, and some 100 MB more for a file of the widest lines.

    Args:
        path: The file.
        columns: Names of the columns to read, in this order; all of them if `None`. The others may hold
            anything.

    Returns:
        The table.

    Raises:
        TableError: If there is no such file or column, a value is missing, no number or beyond single
            precision, a record has another number of fields than the first, a column is constant, or there
            are too few rows. It names line, column and value.
    """
    try:
        with _opened(path) as file:
            most = 1 + sum(map(_num_ends, iter(lambda: file.read(_BLOCK), b"")))
        with (
            _opened(path) as file,
            io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as lines,
        ):
            reader = _Reader(lines, columns)
            values = reader.rows(most)
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror or error}.") from error
    if len(values) < MIN_ROWS:
        raise TableError(f"must have at least {MIN_ROWS} rows of numbers; got {len(values)}.")
    constant = np.flatnonzero(values.min(axis=0) == values.max(axis=0))
    if constant.size:
        name, value = reader.names[constant[0]], values[0, constant[0]]
        raise TableError(
            f"has nothing to learn in column {_shown(name)}: every value is {value:g}."
        )
    return Table(reader.names, values)


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open_regular(path, "a table")
    except UnreadableFileError as error:
        raise TableError("must be a regular file.") from error


def _num_ends(block: bytes) -> int:
    """Number of ends of lines; one more if the block begins within the two characters of one."""
    return block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")


class _Reader:
    """Reads a table in blocks of lines: plain ones by NumPy, others and those with a fault field by field."""

    def __init__(self, lines: TextIO, columns: Sequence[str] | None) -> None:
        self.lines = lines
        self.line = 0
        self.header = self._header()
        self.names = tuple(self.header if columns is None else columns)
        places = {name: index for index, name in enumerate(self.header)}
        for name in self.names:
            if name not in places:
                raise TableError(f"has no column {_shown(name)}; it has {_listed(self.header)}.")
        again = _repeated(self.names)
        if again is not None:
            raise TableError(f"must be read one column once; {_shown(again)} is asked for again.")
        self.indices = [places[name] for name in self.names]

    def rows(self, most: int) -> np.ndarray:
        """All rows behind the header, of which there are at most `most`."""
        values = np.empty((most, len(self.names)))
        count = 0
        while block := self.lines.readlines(_BLOCK):
            rows = self._plain(block)
            if rows is None:
                rows = np.array([*self._exact(block)]).reshape(-1, len(self.names))
            else:
                self.line += len(block)
            if count + len(rows) > most:
                raise TableError("grew while it was read.")
            values[count : count + len(rows)] = rows
            count += len(rows)
        return values[:count]

    def _header(self) -> list[str]:
        found = next((fields for _, fields in self._records([]) if fields), None)
        if found is None:
            raise TableError("is empty.")
        header = [unquoted(name.strip()) for name in found]
        if any(_SURROGATE.search(name) for name in header):
            raise TableError(f"must be text in UTF-8; line {self.line} is not.")
        if all(_NUMBER.fullmatch(name) for name in header):
            raise TableError(
                f"must begin with the names of its columns; got the numbers {_listed(header)}."
            )
        again = _repeated(header)
        if again is not None:
            raise TableError(f"must name each column once; {_shown(again)} comes again.")
        return header

    def _plain(self, block: list[str]) -> np.ndarray | None:
        """The numbers of lines without quotes; `None` where something is to be looked at more closely."""
        text = "".join(block)
        is_plain = text.isascii() and not any(mark in text for mark in _NOT_PLAIN)
        if not is_plain or not text.strip("\r\n"):
            return None
        commas, usecols = len(self.header) - 1, None
        if self.indices != [*range(commas + 1)]:  # NumPy then counts no others
            usecols = self.indices
            if any(line.count(",") != commas for line in block if line.strip("\r\n")):
                return None
        try:
            rows = np.loadtxt(block, delimiter=",", comments=None, usecols=usecols, ndmin=2)
        except ValueError:
            return None
        if rows.shape[1] != len(self.names):
            return None
        size = np.abs(rows)
        is_held = (size < _TOO_LARGE) & ((size >= _SMALLEST) | (rows == 0))
        if not is_held.all() or (not rows.all() and _MAY_VANISH.search(text)):
            return None
        return rows

    def _exact(self, block: list[str]) -> Iterator[list[float]]:
        for line, fields in self._records(block):
            if not fields:
                continue
            if len(fields) != len(self.header):
                raise TableError(
                    f"must have {len(self.header)} fields in each line; line {line} has {len(fields)}."
                )
            yield [
                _number(fields[index], f"in column {_shown(self.header[index])}, line {line}")
                for index in self.indices
            ]

    def _records(self, block: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """Records, each with the line that it begins in, until all lines of the block are read.

        The last one may end behind the block: a quoted field may hold line breaks.
        """
        begin = self.line
        reader = csv.reader(map(self._counted, itertools.chain(block, self.lines)), strict=True)
        while not block or self.line < begin + len(block):
            line = self.line + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise TableError(f"is no CSV file: {error}, in line {line}.") from error
            yield line, fields

    def _counted(self, line: str) -> str:
        self.line += 1
        if line.count(",") > MOST_COLUMNS:
            raise TableError(
                f"must have at most {MOST_COLUMNS} columns; line {self.line} has more."
            )
        return line


def _number(text: str, where: str) -> float:
    text = text.strip(_BLANKS)
    if not text:
        raise TableError(f"must have a number everywhere; got nothing {where}.")
    if not _NUMBER.fullmatch(text):
        raise TableError(f"must hold numbers; got {_shown(text)} {where}.")
    value = float(text)
    if abs(value) >= _TOO_LARGE:
        raise TableError(
            f"must hold numbers that single precision does, at most {_LARGEST:.3g} in size; got "
            f"{_shown(text)} {where}."
        )
    if abs(value) < _SMALLEST and not _ZERO.fullmatch(text):
        raise TableError(
            f"must hold numbers that single precision does, 0 or at least {_SMALLEST:.3g} in size; got "
            f"{_shown(text)} {where}."
        )
    return value


def _repeated(names: Sequence[str]) -> str | None:
    """The first name that comes again."""
    counts = collections.Counter(names)
    return next((name for name in names if counts[name] > 1), None)


def _listed(names: Sequence[str]) -> str:
    """The first of some names, one line of them."""
    return ", ".join(map(_shown, names[:_MOST_NAMED])) + (", ..." if names[_MOST_NAMED:] else "")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "...")
