"""Tables of numbers from CSV files, read strictly: what is missing or no number is refused by name."""

import csv
import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from ebm_ppl.cli.fitting.names import unquoted

MIN_ROWS = 10
"""Fewer examples than this are no data set."""


class TableError(ValueError):
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
    """Read columns of a comma-separated file whose first line names them.

    Args:
        path: The file, UTF-8.
        columns: Names of the columns to read, in this order; all of them if `None`.

    Returns:
        The table.

    Raises:
        TableError: If there is no such file or column, a value is missing, no number or not finite, a line
            has another number of fields than the first, a column is constant, or there are too few rows.
    """
    try:
        with pathlib.Path(path).open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"is no CSV file: {error}.") from error
    if not lines:
        raise TableError("is empty.")
    header = [unquoted(name.strip()) for name in lines[0]]
    if all(_is_number(name) for name in header):
        raise TableError(f"must begin with the names of its columns; got the numbers {lines[0]!r}.")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise TableError(f"must name each column once; {repeated[0]!r} comes again.")
    names = tuple(header if columns is None else columns)
    for name in names:
        if name not in header:
            raise TableError(f"has no column {name!r}; it has {', '.join(map(repr, header))}.")
        if names.count(name) > 1:
            raise TableError(f"must be read one column once; {name!r} is asked for again.")
    if len(lines) - 1 < MIN_ROWS:
        raise TableError(f"must have at least {MIN_ROWS} rows of numbers; got {len(lines) - 1}.")
    indices = [header.index(name) for name in names]
    values = np.array([_numbers(line, n, header, indices) for n, line in enumerate(lines[1:], 2)])
    for name, column in zip(names, values.T, strict=True):
        if np.ptp(column) == 0:
            raise TableError(
                f"has nothing to learn in column {name!r}: every value is {column[0]:g}."
            )
    return Table(names, values)


def _numbers(
    line: Sequence[str], number: int, header: Sequence[str], indices: Sequence[int]
) -> list[float]:
    if len(line) != len(header):
        raise TableError(
            f"must have {len(header)} fields in each line; line {number} has {len(line)}."
        )
    row = []
    for index in indices:
        text = line[index].strip()
        where = f"in column {header[index]!r}, line {number}"
        if not text:
            raise TableError(f"must have a number everywhere; got nothing {where}.")
        if not _is_number(text):
            raise TableError(f"must hold numbers; got {text!r} {where}.")
        value = float(text)
        if not math.isfinite(value):
            raise TableError(f"must hold finite numbers; got {text!r} {where}.")
        row.append(value)
    return row


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
