"""Jobs in several threads: XLA lets go of the interpreter's lock while it compiles and runs."""

import os
import queue
import threading
from collections.abc import Callable, Sequence

from ebm_ppl.validation.jobs import Job
from ebm_ppl.validation.results import Row, Trace

MAXIMUM_THREADS = 4
"""More would wait for each other: the interpreter traces in one thread at a time."""

NAME = "ebm-ppl validation"
"""Name of the threads."""


class Workers:
    """Runs jobs, and keeps what they gave in the order in which they were planned.

    Args:
        plan: The jobs.
        on_row: Called with every row as it falls, by one thread at a time.
        on_progress: Called with the number of jobs done, their total and the label of the next.
        num_threads: Number of threads; by default one a processor, up to `MAXIMUM_THREADS`.
    """

    def __init__(
        self,
        plan: Sequence[Job],
        on_row: Callable[[Row], None] | None = None,
        on_progress: Callable[[int, int, str], None] | None = None,
        num_threads: int | None = None,
    ) -> None:
        self._plan = plan
        self._on_row = on_row
        self._on_progress = on_progress
        self._num_threads = num_threads or min(_num_processors(), MAXIMUM_THREADS)
        self._rows: list[list[Row]] = [[] for _ in plan]
        self._traces: list[list[Trace]] = [[] for _ in plan]
        self._pending = iter(range(len(plan)))
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
            KeyboardInterrupt: If it comes; jobs that are under way go on unheard, and no other begins.
            Exception: What a callback raised.
        """
        # They are daemons so that an interrupted program need not wait for a program under way.
        threads = [
            threading.Thread(target=self._work, name=NAME, daemon=True)
            for _ in range(min(self._num_threads, len(self._plan)))
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
            self._stopped = True
        self._report_progress("")

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                traces = self._plan[number].run(lambda row, number=number: self._emit(number, row))
                with self._lock:
                    if not self._stopped:
                        self._traces[number].extend(traces)
                        self._done += 1
        except BaseException as error:
            self._endings.put(error)
        else:
            self._endings.put(None)

    def _next(self) -> int | None:
        with self._lock:
            number = None if self._stopped else next(self._pending, None)
            if number is not None:
                self._report_progress(self._plan[number].label)
            return number

    def _emit(self, number: int, row: Row) -> None:
        with self._lock:
            if self._stopped:
                return
            self._rows[number].append(row)
            if self._on_row is not None:
                self._on_row(row)

    def _report_progress(self, label: str) -> None:
        if self._on_progress is not None:
            self._on_progress(self._done, len(self._plan), label)


def are_running() -> bool:
    """Whether a thread still works at a job, as one does for a while after an interrupt."""
    return any(thread.name == NAME for thread in threading.enumerate())


def _num_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
