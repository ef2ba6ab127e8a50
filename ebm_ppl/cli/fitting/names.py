"""Names of columns as files of draws can hold them: changed where they must be, and never two alike."""

import re
import unicodedata
from collections.abc import Sequence

_INDICES = ("chain", "draw")
"""Columns, or coordinates, of a file of draws that are not draws."""

_LONGEST = 200
"""Characters of a name; NetCDF allows 256."""

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def storable(names: Sequence[str]) -> tuple[str, ...]:
    """Names for the columns of a file of draws, NetCDF or CSV.

    Those that both can hold stay. In others a `/`, which NetCDF reads as a group, and characters that cannot
    be seen become `_`; the names of the indices `chain` and `draw`, and any that another column has, get a
    number.

    Args:
        names: The names of the columns.

    Returns:
        As many names, no two alike.

    Examples:
        >>> storable(["length", "km/h", "chain", "x", "x", "."])
        ('length', 'km_h', 'chain_2', 'x', 'x_2', '_')
    """
    plain = [_plain(name) for name in names]
    # Who can keep a name does, wherever it stands: `x_2` is not taken from the column that is called so.
    taken = {*_INDICES, *(new for name, new in zip(names, plain, strict=True) if name == new)}
    seen: set[str] = set()
    stored = []
    for name, new in zip(names, plain, strict=True):
        keeps = name == new and new not in seen and new not in _INDICES
        stored.append(new if keeps else _free(new, taken))
        seen.add(stored[-1])
        taken.add(stored[-1])
    return tuple(stored)


def quoted(name: str) -> str:
    """A name as the header of a CSV file, which a spreadsheet must not take for a formula.

    Args:
        name: The name.

    Returns:
        The name, after an apostrophe if it begins with `=`, `+`, `-`, `@`, a tab or a carriage return, or
        with apostrophes before one of these; so `unquoted` knows which apostrophe is ours.

    Examples:
        >>> quoted("=1+1"), quoted("'=1"), quoted("length")
        ("'=1+1", "''=1", 'length')
    """
    return f"'{name}" if _FORMULA.match(name) else name


def unquoted(header: str) -> str:
    """The name that `quoted` made a header of.

    Args:
        header: The header.

    Examples:
        >>> unquoted("'=1+1"), unquoted("''=1"), unquoted("'tis")
        ('=1+1', "'=1", "'tis")
    """
    return header[1:] if header.startswith("'") and _FORMULA.match(header) else header


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFC", name)[:_LONGEST]  # as NetCDF does
    text = "".join("_" if c == "/" or not c.isprintable() else c for c in text)
    return text if text.strip(".") else "_"


def _free(name: str, taken: set[str]) -> str:
    """The name, or that with the first number that makes it free."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
