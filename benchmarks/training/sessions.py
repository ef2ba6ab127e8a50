"""Workers that wait for their turn: one process per implementation, all on one CPU, one at a time."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.training.worker import FIRST_STEPS


class Session:
    """A worker process, and what its start cost.

    Attributes:
        start: The worker's first answer.
    """

    def __init__(self, implementation: str, objective: str, cpu: int) -> None:
        command = [sys.executable, "-m", "benchmarks.training.worker", implementation, objective]
        command += ["--cpu", str(cpu)]
        self._name = f"{implementation} on {objective}"
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.start = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()  # the end of its input ends the worker

    def run(self, num_steps: int) -> dict[str, Any]:
        """Train for some steps; the answer says what they took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"num_steps": num_steps}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker of {self._name} stopped.")
        return json.loads(line)


def measure(
    implementations: Sequence[str], objective: str, *, cpu: int, repetitions: int, seconds: float
) -> dict[str, Any]:
    """Measure one objective with every implementation, turn by turn.

    Turns of about the same length follow one another in an order that rotates, so whatever slows the
    machine down for a while slows all of them, and the ratios within one repetition are paired.

    Args:
        implementations: Names of modules in this package.
        objective: The objective.
        cpu: CPU that all workers share.
        repetitions: Number of turns of each implementation.
        seconds: CPU seconds of a turn.

    Returns:
        By implementation: what the start cost, the steps per CPU second of each turn, the loss.
    """
    with contextlib.ExitStack() as stack:
        sessions = {
            name: stack.enter_context(Session(name, objective, cpu)) for name in implementations
        }
        sizes = {name: _steps_in(session, seconds) for name, session in sessions.items()}
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in sessions}
        for name in _rotated(list(sessions), repetitions):
            turns[name].append(sessions[name].run(sizes[name]))
    return {name: _summary(session.start, turns[name]) for name, session in sessions.items()}


def _steps_in(session: Session, seconds: float) -> int:
    warm = session.run(FIRST_STEPS)
    return max(1, round(seconds / warm["cpu_seconds"])) * FIRST_STEPS


def _rotated(names: Sequence[str], repetitions: int) -> Iterator[str]:
    for repetition in range(repetitions):
        shift = repetition % len(names)
        yield from (*names[shift:], *names[:shift])


def _summary(start: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The turns, and the time to the first step: that of the first call less all its steps but one."""
    rates = [turn["num_steps"] / turn["cpu_seconds"] for turn in turns]
    fastest = max(rates)
    first = {
        clock: start["first_call"][clock] - (FIRST_STEPS - 1) / fastest
        for clock in ("cpu_seconds", "wall_seconds")
    }
    return {
        "versions": start["versions"],
        "import": start["import"],
        "setup": start["setup"],
        "first_step": first,
        "steps_per_cpu_second": rates,
        "steps_per_turn": turns[0]["num_steps"],
        "loss": turns[-1]["loss"],
    }
