"""Large and wide CSV files: linear time, and at most four times the file in memory."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from ebm_ppl.cli.fitting import TableError, read_csv
from tests.reliability import memory

FIXED = 64
"""Megabytes that reading takes beside the numbers: blocks of lines, and what Python makes of them."""


def write(path: pathlib.Path, num_rows: int, num_columns: int, word: str = "%.6f") -> pathlib.Path:
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join(f"c{k}" for k in range(num_columns)) + "\n")
        for _ in range(num_rows):
            row = rng.standard_normal(num_columns)
            file.write(",".join(word % value for value in row) + "\n")
    return path


def measured(path: str, columns: list[str] | None = None) -> dict[str, float]:
    """Read a table in a process whose memory is measured."""
    memory.forget_peak()
    before = memory.peak()
    began = time.process_time()
    values = read_csv(path, columns).values
    seconds = time.process_time() - began
    return {"seconds": seconds, "grown": memory.peak() - before, "numbers": values.size}


def measure(path: pathlib.Path, columns: list[str] | None = None) -> dict[str, float]:
    program = (
        "import json; from tests.reliability.test_hostile_tables import measured; "
        f"print(json.dumps(measured({str(path)!r}, {columns!r})))"
    )
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not memory.can_be_measured, reason="Linux counts")
@pytest.mark.parametrize("text", ["plain", "beside names"])
def test_memory_is_at_most_four_times_the_file(tmp_path, text):
    """Also where a number takes two bytes, digit and comma, and eight as a number."""
    path, rows = tmp_path / "data.csv", 2_000_000
    if text == "plain":
        path.write_text("a,b\n" + "1,2\n3,4\n" * (rows // 2))
        found = measure(path)
    else:
        path.write_text('a,b,"c"\n' + '1,2,"x"\n3,4,ü\n' * (rows // 2))
        found = measure(path, ["a", "b"])
    assert found["numbers"] == 2 * rows
    assert found["grown"] < 4 * path.stat().st_size / 2**20 + FIXED


def _seconds(path: pathlib.Path) -> float:
    began = time.process_time()
    read_csv(path)
    return time.process_time() - began


@pytest.mark.slow
@pytest.mark.parametrize("by", ["rows", "columns"])
def test_time_is_linear(tmp_path, by):
    """Eight times as much takes at most sixteen times as long; a quadratic reader would take 64 times."""
    sizes = [(20_000, 5), (160_000, 5)] if by == "rows" else [(20, 5_000), (20, 40_000)]
    seconds = []
    for number, (num_rows, num_columns) in enumerate(sizes):
        path = write(tmp_path / f"{number}.csv", num_rows, num_columns)
        seconds.append(min(_seconds(path) for _ in range(3)))
    assert seconds[1] < 16 * seconds[0] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"a\n" + b'"' * 2**24,
        b"a\n" + b'"\n' * 2**22,
        b"a,b\n" + b"," * 2**24,
        b"," * 2**24,
        b'"",' * 2**22,
        b"a\n" + b"9" * 2**24,
        b"\r" * 2**24,
        b"a\n" + b"\xff\x00" * 2**23,
        b"\x00" * 2**24,
    ],
)  # fmt: skip
def test_files_of_one_kind_of_byte_are_refused_in_time(tmp_path, content):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    began = time.process_time()
    with pytest.raises(TableError) as error:
        read_csv(path)
    assert time.process_time() - began < 20
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
