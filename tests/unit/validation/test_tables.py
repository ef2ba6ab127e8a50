"""CSV files: any table of finite numbers comes back bit for bit, and all else is refused where it stands."""

import csv
import io
import math
import os
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ebm_ppl import UnreadableFileError
from ebm_ppl.cli.fitting import TableError, read_csv, table

# That all examples write to one folder is no harm: each replaces the file of the one before.
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
TABLES = hnp.arrays(np.float64, st.tuples(st.just(10), st.integers(1, 3)), elements=SINGLE).filter(
    lambda values: bool(np.all(np.ptp(values, axis=0) > 0))
)
WORDINGS = (
    repr,
    "{:.17g}".format,
    "{:+.16e}".format,
    "{:.16E}".format,
    " {!r}\t".format,
    '"{!r}"'.format,
    lambda value: re.sub(r"^(-?)0\.", r"\1.", repr(value)),
    lambda value: re.sub(r"\.0$", ".", repr(value)),
    lambda value: "000" + repr(value) if math.copysign(1, value) > 0 else repr(value),
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def names(num_columns):
    return [f"c{k}" for k in range(num_columns)]


@in_one_folder
@given(TABLES, st.data(), ENDS, st.booleans(), st.sampled_from([table._BLOCK, 7, 40]))
def test_any_table_of_finite_numbers_comes_back(tmp_path, values, data, end, has_mark, block):
    """However the numbers are written, and wherever a block of lines ends."""
    wording = st.sampled_from(WORDINGS)
    rows = [[data.draw(wording)(value) for value in row] for row in values.tolist()]
    blank = data.draw(st.sampled_from([0, 3, len(rows)]))
    rows.insert(blank, [])
    lines = [",".join(row) for row in [names(values.shape[1]), *rows]]
    text = ("\ufeff" if has_mark else "") + end.join(lines) + data.draw(st.sampled_from([end, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_BLOCK", block)
        found = read_csv(write(tmp_path / "data.csv", text))
    assert found.values.tobytes() == values.tobytes()
    assert found.names == tuple(names(values.shape[1]))


@in_one_folder
@given(TABLES)
def test_what_a_spreadsheet_writes_comes_back(tmp_path, values):
    """Through Python's own writer, with text columns of any kind beside the numbers."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["who, when", *names(values.shape[1]), 'said\n"so"'])
    for k, row in enumerate(values.tolist()):
        writer.writerow([f"a, {k}\n\né" if k % 3 else "b", *row, 'he said: "1,\r\n2"'])
    found = read_csv(write(tmp_path / "data.csv", buffer.getvalue()), names(values.shape[1]))
    assert found.values.tobytes() == values.tobytes()


NO_NUMBERS = [
    "1_000", "١٢", "１", "nan", "-inf", "Infinity", "0x10", "0x1p3", "1d5", "1e", "e1", ".", "-", "+-1",
    "1 2", "1.2.3", "true", "1j", "½", "1,5", "\x0b1", "\x1f1", "\xa01", "\u20071", "1\x00", "=1+1", "1L",
    "1e5.0", "(1)", "$1", "1%", "\x1b[31m1", "1\n", "2026-11-30", "\u22121", "\udcff",
]  # fmt: skip
BEYOND = [
    "1e300",
    "-1e39",
    "3.40282357e38",
    "1e-320",
    "-1e-39",
    "1e-400",
    "0." + "0" * 400 + "1",
    "1e400",
]


def spoiled(text, row, column, num_rows=12, num_columns=3):
    """A file of which one field holds `text`."""
    rows = [[str(k * num_columns + j) for j in range(num_columns)] for k in range(num_rows)]
    rows[row][column] = text
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([names(num_columns), *rows])
    return buffer.getvalue().encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("text", [*NO_NUMBERS, *BEYOND])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (11, 2)])
def test_what_is_no_number_is_refused_where_it_stands(tmp_path, text, row, column):
    path = write(tmp_path / "data.csv", spoiled(text, row, column))
    with pytest.raises(TableError) as error:
        read_csv(path)
    message = str(error.value)
    shown = re.escape(repr(text.strip(" \t"))[:50].rstrip("'"))
    assert re.search(rf"got {shown}.* in column 'c{column}', line {row + 2}\.", message), message
    assert ("single precision" in message) == (text in BEYOND)
    assert len(message.splitlines()) == 1
    # Of a column that is not read nothing is asked.
    others = [name for k, name in enumerate(names(3)) if k != column]
    assert read_csv(path, others).values.shape == (12, 2)


@settings(in_one_folder, max_examples=150)
@given(st.text(min_size=1, max_size=8).filter(lambda text: "\r" not in text and text.strip(" \t")))
def test_any_other_text_is_refused_too(tmp_path, text):
    """One definition of a number: what Python's own reading of floats adds to it is refused."""
    is_number = re.fullmatch(
        r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?[ \t]*", text, re.ASCII
    )
    path = write(tmp_path / "data.csv", spoiled(text, 5, 1))
    if is_number and (float(text) == 0 or 1e-37 < abs(float(text)) < 1e38):
        assert read_csv(path).values[5, 1] == float(text)
    else:
        with pytest.raises(TableError, match=r"in column 'c1', line 7\.$"):
            read_csv(path)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    """Empty lines, and those within quotes, are lines."""
    head = 'note,"a\nb"\n\n'  # lines 1 to 3
    rows = "".join(f'"x\ny\n\nz",{k}\n\n' for k in range(10))  # five lines each
    path = write(tmp_path / "data.csv", head + rows + "w,red\n")
    with pytest.raises(TableError, match=r"got 'red' in column 'a\\nb', line 54\.$"):
        read_csv(path, ["a\nb"])
    path = write(tmp_path / "data.csv", head + rows + 'w,1\n"open,2\n3\n')
    with pytest.raises(TableError, match=r"is no CSV file: .*, in line 55\.$"):
        read_csv(path, ["a\nb"])
    path = write(tmp_path / "data.csv", head + rows + "\nw,1,2\n")
    with pytest.raises(TableError, match=r"must have 2 fields in each line; line 55 has 3\.$"):
        read_csv(path, ["a\nb"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n\r\n\r", "is empty"),
        ("a,b\n1,2\n".encode("utf-16"), "must be text in UTF-8; line 1 is not"),
        (b"a,\xe9\n1,2\n", "must be text in UTF-8; line 1 is not"),
        (b"a" * 200_000 + b"\n1\n", r"is no CSV file: field larger .*, in line 1"),
        (b"a\n" + b"1\n" * 20 + b"2" * 100_000 + b"\n", r"got '2{60}\.\.\.' in column 'a', line 22"),
        (b"," * 70_000, "must have at most 65536 columns; line 1 has more"),
        (b"a,b\n" + b"," * 70_000, "must have at most 65536 columns; line 2 has more"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused_in_one_short_line(tmp_path, content, reason):
    with pytest.raises(TableError, match=reason) as error:
        read_csv(write(tmp_path / "data.csv", content))
    assert len(str(error.value)) < 500
    assert len(str(error.value).splitlines()) == 1


def test_nobody_is_waited_for(tmp_path):
    """A named pipe without a writer would keep a reader for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(TableError, match=r"^must be a regular file\.$"):
            read_csv(path)
    with pytest.raises(TableError, match=r"^cannot be read: Is a directory\.$"):
        read_csv(tmp_path)
    assert issubclass(TableError, UnreadableFileError)
