"""Jobs in this process and in others beside it: tracing a program needs an interpreter to itself."""

import collections
import contextlib
import gc
import multiprocessing
import queue
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, cast

import jax

from ebm_ppl.validation.results import Question, Row, Trace
from ebm_ppl.validation.suite.job import Job, broken

NAME = "ebm-ppl validation"
"""Name of the threads."""

MakePlan = Callable[[], Sequence[Job]]


class Workers:
    """Runs jobs, and keeps what they gave in the order in which they were planned.

    Jobs with the same `Job.programs` run in one process, which compiles these programs once.

    Args:
        plan: The jobs.
        on_row: Called with every row as it falls, by one thread at a time.
        on_progress: Called with the number of jobs done, their total and the label of the next.
        helpers: Number of other processes.
        make_plan: Makes the plan anew in another process, to which it is pickled.
    """

    def __init__(
        self,
        plan: Sequence[Job],
        on_row: Callable[[Row], None] | None = None,
        on_progress: Callable[[int, int, str], None] | None = None,
        *,
        helpers: int = 0,
        make_plan: MakePlan | None = None,
    ) -> None:
        self._plan = plan
        self._on_row = on_row
        self._on_progress = on_progress
        self._make_plan = make_plan
        self._rows: list[list[Row]] = [[] for _ in plan]
        self._traces: list[list[Trace]] = [[] for _ in plan]
        self._units = _units(plan)
        self._num_helpers = max(0, min(helpers, len(self._units) - 1))
        self._done = 0
        self._stopped = False
        self._lock = threading.RLock()
        self._here = threading.Lock()
        self._endings: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that have fallen."""
        with self._lock:
            return tuple(row for rows in self._rows for row in rows)

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The traces of the jobs that have ended."""
        with self._lock:
            return tuple(trace for traces in self._traces for trace in traces)

    def run(self) -> None:
        """Run all jobs. Another process that dies is an ERROR of its job, and a warning if it cannot begin.

        Raises:
            KeyboardInterrupt: If it comes; a job that is under way in this process goes on unheard, those of
                others end, and no other begins.
            Exception: What a callback raised.
        """
        with _helpers(self._num_helpers, self._make_plan) as helpers:
            tasks: list[Callable[[], None]] = [self._work]
            tasks += [lambda helper=helper: self._relay(helper) for helper in helpers]
            # They are daemons so that an interrupted program need not wait for a job under way.
            threads = [
                threading.Thread(target=self._report_end, args=(task,), name=NAME, daemon=True)
                for task in tasks
            ]
            for thread in threads:
                thread.start()
            try:
                for _ in threads:
                    error = self._endings.get()
                    if error is not None:
                        raise error
                for thread in threads:
                    thread.join()
            finally:
                with self._lock:
                    self._stopped = True
        self._report_progress("")

    def _report_end(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            self._endings.put(error)
        else:
            self._endings.put(None)

    def _work(self) -> None:
        """Run jobs in this process, one at a time."""
        unit: list[int] = []
        while (number := self._next(unit)) is not None:
            with self._here:
                traces = self._plan[number].run(lambda row, number=number: self._emit(number, row))
            self._finish(number, traces)

    def _relay(self, helper: "_Helper") -> None:
        """Have jobs run by another process; if it dies, that is a row, and this one goes on in its place."""
        if not helper.is_ready():
            if not self._stopped:
                warnings.warn(
                    f"Another process could not begin (exit status {helper.exit_status()}); what it wrote "
                    "to standard error says why. The others do its work.",
                    RuntimeWarning,
                    stacklevel=2,
                )
            return self._work()
        unit: list[int] = []
        while (number := self._next(unit)) is not None:
            try:
                for message in helper.answers(number):
                    if isinstance(message, Row):
                        self._emit(number, message)
                    elif isinstance(message, list):
                        self._finish(number, message)
                    else:
                        warnings.warn_explicit(*message)
            except _HelperDiedError as error:
                job = self._plan[number]
                result = broken("all checks", Question.CORRECTNESS, error)
                self._emit(number, Row(job.energy, job.kernel, result))
                self._finish(number, ())
                with self._lock:
                    self._units.appendleft(unit)
                return self._work()
        return None

    def _next(self, unit: list[int]) -> int | None:
        """The next job for a process, which goes on with the unit that it has begun."""
        with self._lock:
            if self._stopped:
                return None
            while self._units and not unit:
                unit.extend(self._units.popleft())
            if not unit:
                return None
            self._report_progress(self._plan[unit[0]].label)
            return unit.pop(0)

    def _emit(self, number: int, row: Row) -> None:
        with self._lock:
            if self._stopped:
                return
            self._rows[number].append(row)
            if self._on_row is not None:
                self._on_row(row)

    def _finish(self, number: int, traces: Sequence[Trace]) -> None:
        with self._lock:
            if not self._stopped:
                self._traces[number].extend(traces)
                self._done += 1

    def _report_progress(self, label: str) -> None:
        if self._on_progress is not None:
            self._on_progress(self._done, len(self._plan), label)


def are_running() -> bool:
    """Whether a thread still works at a job, as one does for a while after an interrupt."""
    return any(thread.name == NAME for thread in threading.enumerate())


def _units(plan: Sequence[Job]) -> collections.deque[list[int]]:
    """Numbers of the jobs that share programs, in the order of the first of each."""
    units: dict[str, list[int]] = {}
    for number, job in enumerate(plan):
        units.setdefault(job.programs, []).append(number)
    return collections.deque(units.values())


class _HelperDiedError(Exception):
    """A process ended before its job did."""


class _Helper(NamedTuple):
    """Another process, and the way to it."""

    process: SpawnProcess
    connection: Connection

    def is_ready(self) -> bool:
        """Whether it has made its plan, for which this waits, and has not died of it."""
        try:
            self.connection.recv()
        except (EOFError, OSError):
            return False
        return True

    def answers(self, number: int) -> Iterator[Any]:
        """What a job sends: rows and warnings, and a list of traces at the end."""
        message = None
        while not isinstance(message, list):
            try:
                if message is None:
                    self.connection.send(number)
                message = self.connection.recv()
            except (EOFError, OSError) as error:
                raise _HelperDiedError(
                    f"the process that ran them ended with exit status {self.exit_status()}"
                ) from error
            yield message

    def exit_status(self) -> int | None:
        """How it ended, for which this waits."""
        self.process.join()
        return self.process.exitcode


@contextlib.contextmanager
def _helpers(number: int, make_plan: MakePlan | None) -> Iterator[list[_Helper]]:
    """Processes that wait for numbers of jobs; they have ended when this ends."""
    # To fork a process that has threads, as JAX makes them, may lock the new one up.
    context = multiprocessing.get_context("spawn")
    helpers: list[_Helper] = []
    try:
        with _interrupts_ignored():
            for _ in range(number):
                ours, theirs = cast(tuple[Connection, Connection], context.Pipe())
                arguments = (theirs, make_plan, _Settings.of_this_process())
                process = context.Process(target=_serve, args=arguments, name=NAME, daemon=True)
                process.start()
                theirs.close()
                helpers.append(_Helper(process, ours))
        yield helpers
    finally:
        for helper in helpers:
            helper.process.kill()
        for helper in helpers:
            helper.process.join()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes begin that do not hear Ctrl-C: it goes to all, and it is for this one to answer."""
    if threading.current_thread() is not threading.main_thread():  # which alone may set it
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Settings(NamedTuple):
    """What another process has to share for its numbers and its times to be those of this one."""

    of_jax: dict[str, Any]
    of_collection: tuple[int, int, int]

    @classmethod
    def of_this_process(cls) -> "_Settings":
        plain = (bool, int, float, str, type(None))
        values = {n: v for n, v in jax.config.values.items() if isinstance(v, plain)}
        return cls(values, gc.get_threshold())

    def adopt(self) -> None:
        own = jax.config.values
        for name, value in self.of_jax.items():
            if own[name] != value:
                jax.config.update(name, value)
        gc.set_threshold(*self.of_collection)


def _serve(connection: Connection, make_plan: MakePlan, settings: _Settings) -> None:
    """Run the jobs whose numbers come, and send what `_Helper` reads."""
    settings.adopt()
    warnings.showwarning = lambda message, category, filename, lineno, *_: connection.send(
        (str(message), category, filename, lineno)
    )
    plan = make_plan()
    connection.send("ready")
    with contextlib.suppress(EOFError, BrokenPipeError):  # nobody is there any more
        while True:
            connection.send(list(plan[connection.recv()].run(connection.send)))
