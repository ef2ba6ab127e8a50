"""Two processes with a device each do what one process with two devices does, to the last bit."""

import os
import pathlib
import re
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = pathlib.Path(__file__).with_name("distributed_program.py")
PATIENCE = 600.0
"""Seconds, many times what the programs take."""


def outcomes(work: str, count: int, folder: pathlib.Path) -> list[tuple[int, str, str]]:
    """Status and output of so many processes at one work of `distributed_program`."""
    folder.mkdir()
    port = free_port()
    return ended(
        [[PROGRAM, work, str(index), str(count), port, folder] for index in range(count)], folder
    )


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def ended(commands: list[list[Any]], folder: pathlib.Path) -> list[tuple[int, str, str]]:
    """Status and output of programs in Python that share two devices; none outlives this call."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={2 // len(commands)}",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )
        for command in commands
    ]
    try:
        said = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def found(folder: pathlib.Path, index: int) -> list[np.ndarray]:
    with np.load(folder / f"found{index}.npz") as arrays:
        return list(arrays.values())


@pytest.mark.parametrize("work", ["kernels", "streams", "fits"])
def test_two_processes_do_what_one_does(work: str, tmp_path: pathlib.Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    [alone] = outcomes(work, 1, one)
    assert alone[0] == 0, alone
    joined = outcomes(work, 2, two)
    assert [status for status, _, _ in joined] == [0, 0], joined
    expected = found(one, 0)
    assert expected
    for index in (0, 1):
        for mine, others in zip(expected, found(two, index), strict=True):
            np.testing.assert_array_equal(mine, others)
    files = [path for path in one.rglob("*") if path.suffix in (".npy", ".ckpt", ".ebm")]
    assert len(files) == {"kernels": 0, "streams": 1, "fits": 2}[work]
    for file in files:
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()
    # Process 0 alone shows progress.
    shows = [bool(re.search(r"\d+/\d+", errors)) for _, _, errors in joined]
    assert shows == [work != "kernels", False]


REASONS = {
    "breaks_in_a_reduction": (
        "ProcessFailedError: Process 1 has ended `stream` on all: MemoryError: no room",
        "MemoryError: no room",
    ),
    "breaks_for_want_of_a_folder": (
        "ValueError: `path` must be a new folder in one that exists",
        "ProcessFailedError: Process 0 has ended `stream` on all: ValueError: `path` must be a new folder",
    ),
    "breaks_for_want_of_a_place": (
        "FileNotFoundError: [Errno 2] No such folder",
        "ProcessFailedError: Process 0 has ended `fit` on all: FileNotFoundError: [Errno 2] No such folder",
    ),
    "breaks_amid_a_program": (
        "ProcessFailedError: Process 1 has ended `program` on all: MemoryError: no room",
        "MemoryError: no room",
    ),
    "differs_in_keys": ("ValueError: `rng_key` must have the same numbers in all processes",) * 2,
    "differs_in_settings": ("ValueError: `progress_bar` must be the same in all processes",) * 2,
    "differs_in_calls": (
        "RuntimeError: `save_energy` must be called by every process, in the same order; process 1 is at",
        "RuntimeError: `stream` must be called by every process, in the same order; process 0 is at",
    ),
    "asks_for_units": ("ValueError: `standardise` must be False for data that lie on",) * 2,
    "has_a_bad_row": ("ValueError: `data` must be finite everywhere; got [nan, nan] in row 5.",)
    * 2,
    "starts_outside": ("ValueError: `init_params` must lie in",) * 2,
}


@pytest.mark.parametrize("work", REASONS)
def test_a_failure_ends_the_run_on_all(work: str, tmp_path: pathlib.Path) -> None:
    joined = outcomes(work, 2, tmp_path / "two")
    for (status, output, errors), reason in zip(joined, REASONS[work], strict=True):
        assert status == 1, (output, errors)
        assert reason in output + errors


def test_the_program_of_the_documentation_runs(tmp_path: pathlib.Path) -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    [program] = re.findall(r'^```py title="sample.py"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    (tmp_path / "sample.py").write_text(program, encoding="utf-8")
    start = ["sample.py", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    first, second = ended([[*start, "--process", str(index)] for index in range(2)], tmp_path)
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert "r_hat" in first[1]
    assert "r_hat" not in second[1]
    assert {"draws", "fit.ckpt", "model.ebm"} <= {path.name for path in tmp_path.iterdir()}
