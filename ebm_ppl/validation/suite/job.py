"""A unit of work of a report, its random keys, and what becomes of a check that breaks."""

import dataclasses
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar

import jax

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.faults import fault_of
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace, Verdict

NO_KERNEL = "-"

Emit: TypeAlias = Callable[[Row], None]
Check: TypeAlias = tuple[str, Callable[[], CheckResult]]
"""The name of a check, and what carries it out."""

Checks: TypeAlias = Iterator[Check]
Checked = TypeVar("Checked", CheckResult, CheckResult | None)


@dataclasses.dataclass(frozen=True)
class Job:
    """One unit of work: runs some checks, emits their rows and returns the traces it made."""

    label: str
    energy: str
    kernel: str
    run: Callable[[Emit], Sequence[Trace]]

    @property
    def programs(self) -> str:
        """What its programs belong to: jobs of one kernel share them."""
        return self.label if self.kernel == NO_KERNEL else self.kernel


def key_for(seed: int, *labels: str) -> PRNGKey:
    """A key that depends on the seed and on what it is for, not on what else runs."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32("/".join(labels).encode()))


def guarded(check: str, question: Question, run: Callable[[], Checked]) -> Checked | CheckResult:
    """Run a check; one that breaks becomes an ERROR with its message, and never vanishes."""
    began = time.perf_counter()
    try:
        return run()
    except Exception as error:
        return broken(check, question, error, time.perf_counter() - began)


def broken(check: str, question: Question, error: Exception, seconds: float = 0.0) -> CheckResult:
    """The result of a check that could not be carried out."""
    message = str(error).strip().splitlines()
    place, traceback = fault_of(error)
    return CheckResult(
        check=check,
        question=question,
        verdict=Verdict.ERROR,
        statistic=float("nan"),
        statistic_name="",
        sample_size=0,
        detectable="",
        false_alarm_rate=0.0,
        detail=f"{type(error).__name__}: {message[0] if message else 'no message'}",
        seconds=seconds,
        place=place,
        traceback=traceback,
    )
