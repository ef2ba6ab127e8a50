"""Fresh processes in copies of the checkout, with a limit of processor time."""

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

_COPIED = (
    *("ebm_ppl", "validation", "tests", "examples", "benchmarks"),
    *("conftest.py", "pyproject.toml", "README.md"),
)
_WALL_CLOCK = 10
"""How many times its processor time a process may take by the clock, beside other work."""
_LIMITED = 'ulimit -t "$1"; shift; exec "$@"'


class Stopped(Exception):  # noqa: N818 (nothing went wrong)
    """The run was interrupted."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: Exit status; negative for a signal.
        output: What it printed.
        cpu_seconds: Processor time that it took, with its children.
        out_of_time: Whether it was ended for taking longer than it may.
    """

    status: int
    output: str
    cpu_seconds: float
    out_of_time: bool


class Tree:
    """A copy of the checkout in which a file may be changed; the checkout itself is left alone."""

    def __init__(self, root: pathlib.Path, cache: pathlib.Path, stop: threading.Event) -> None:
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mutant-"))
        self._cache, self._stop = cache, stop
        ignored = shutil.ignore_patterns("__pycache__")
        for name in _COPIED:
            source = root / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=ignored)
            elif source.exists():
                shutil.copy2(source, self.root / name)
        self._now = time.time()

    def close(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self.root, ignore_errors=True)

    def write(self, file: str, source: bytes) -> None:
        """Put another text into a file, with a time of its own, lest Python take its old bytecode."""
        self._now += 10
        (self.root / file).write_bytes(source)
        os.utime(self.root / file, (self._now, self._now))

    def run(self, *arguments: str, limit: float) -> Ended:
        """Run Python in the copy.

        Args:
            arguments: Arguments of the interpreter.
            limit: Seconds of processor time that it may take.

        Raises:
            Stopped: If the run was interrupted meanwhile.
        """
        command = ["/bin/sh", "-c", _LIMITED, "sh", str(round(limit)), sys.executable, *arguments]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status, cpu_seconds, late = self._wait(process, _WALL_CLOCK * limit)
            output.seek(0)
            text = output.read().decode(errors="replace")
        return Ended(status, text, cpu_seconds, late or (status < 0 and cpu_seconds > limit - 2))

    def _wait(self, process: subprocess.Popen, wall_clock: float) -> tuple[int, float, bool]:
        deadline, late = time.monotonic() + wall_clock, False
        try:
            while True:
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    process.returncode = os.waitstatus_to_exitcode(status)
                    return process.returncode, usage.ru_utime + usage.ru_stime, late
                if self._stop.wait(0.05):
                    raise Stopped
                if time.monotonic() > deadline and not late:
                    late = True
                    os.killpg(process.pid, signal.SIGKILL)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _environment(self) -> dict[str, str]:
        """One thread a process, and one cache of compiled programs for all: only what changed is compiled."""
        return os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(self._cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=2",
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        }
