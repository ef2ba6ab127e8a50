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

from ebm_ppl.validation.jobs import Job
from ebm_ppl.validation.results import Row, Trace

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
        """Run all jobs.

        Raises:
            KeyboardInterrupt: If it comes; a job that is under way in this process goes on unheard, those of
                others end, and no other begins.
            RuntimeError: If another process ended before its jobs did.
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
        """Run jobs in this process."""
        for number in self._numbers():
            traces = self._plan[number].run(lambda row, number=number: self._emit(number, row))
            self._finish(number, traces)

    def _relay(self, helper: "_Helper") -> None:
        """Have jobs run by another process."""
        try:
            for number in self._numbers():
                helper.connection.send(number)
                while not isinstance(message := helper.connection.recv(), list):
                    if isinstance(message, Row):
                        self._emit(number, message)
                    else:
                        warnings.warn_explicit(*message)
                self._finish(number, message)
        except (EOFError, OSError) as error:
            helper.process.join()
            raise RuntimeError(
                f"A process that ran checks ended with exit status {helper.process.exitcode}; what it "
                "wrote to standard error says why. With `processes=1` there are no others."
            ) from error

    def _numbers(self) -> Iterator[int]:
        """Numbers of jobs for one process: a unit after the other."""
        while True:
            with self._lock:
                unit = self._units.popleft() if self._units else ()
            if not unit:
                return
            for number in unit:
                with self._lock:
                    if self._stopped:
                        return
                    self._report_progress(self._plan[number].label)
                yield number

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


class _Helper(NamedTuple):
    process: SpawnProcess
    connection: Connection


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
    """Run the jobs whose numbers come: rows and warnings as they fall, and a list of traces at the end."""
    settings.adopt()
    warnings.showwarning = lambda message, category, filename, lineno, *_: connection.send(
        (str(message), category, filename, lineno)
    )
    plan = make_plan()
    with contextlib.suppress(EOFError, BrokenPipeError):  # nobody is there any more
        while True:
            connection.send(list(plan[connection.recv()].run(connection.send)))
