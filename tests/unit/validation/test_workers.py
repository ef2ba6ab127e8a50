"""Jobs in several processes: nothing is lost, the order is the plan's, an interrupt keeps what has fallen."""

import dataclasses
import gc
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import jax
import pytest

from ebm_ppl import validation
from ebm_ppl.energies import from_callable
from ebm_ppl.validation import faults
from ebm_ppl.validation.results import Question, Row, Trace, Verdict
from ebm_ppl.validation.suite.job import Emit, Job, guarded
from ebm_ppl.validation.workers import Workers
from tests.unit.validation import fakes


def job(label: str, then: Callable[[], None] = lambda: None) -> Job:
    def run(emit: Emit) -> Sequence[Trace]:
        emit(Row(label, "-", fakes.check()))
        then()
        return [fakes.trace(label, "-", seed=0, num_samples=4)]

    return Job(label, label, "-", run)


def many(then: Callable[[], None] = lambda: None) -> list[Job]:
    """A plan of as many kernels as jobs, each of which says where it ran."""
    return [job(f"kernel {n}", then) for n in range(6)]


def test_rows_and_traces_stand_in_the_order_of_the_plan() -> None:
    fallen: list[str] = []
    progress: list[tuple[int, int, str]] = []
    workers = Workers(many(), lambda row: fallen.append(row.energy), lambda *p: progress.append(p))
    workers.run()
    in_order = [f"kernel {n}" for n in range(6)]
    assert fallen == in_order
    assert [row.energy for row in workers.rows] == in_order
    assert [trace.energy for trace in workers.traces] == in_order
    assert progress[0] == (0, 6, "kernel 0")
    assert progress[-1] == (6, 6, "")


def test_jobs_of_one_kernel_come_one_after_the_other() -> None:
    """They share programs; an energy's own job shares none."""
    ran: list[str] = []

    def of(kernel: str, label: str) -> Job:
        return Job(label, label, kernel, lambda _: ran.append(label) or ())

    Workers([of("-", "e"), of("a", "a1"), of("b", "b1"), of("-", "f"), of("a", "a2")]).run()
    assert ran == ["e", "a1", "a2", "b1", "f"]


def tells_where_it_runs(then: Callable[[], None] = lambda: None) -> list[Job]:
    """A plan whose rows hold the process and its settings; made in every process anew."""

    def run(emit: Emit) -> Sequence[Trace]:
        warnings.warn("of a job", UserWarning, stacklevel=1)
        settings = f"{jax.config.values['jax_numpy_rank_promotion']} {gc.get_threshold()}"
        emit(Row(settings, str(os.getpid()), fakes.check()))
        then()
        return [fakes.trace(settings, "-", seed=0, num_samples=4)]

    return [Job(f"{n}", "-", f"{n}", run) for n in range(20)]


class InTwoProcesses:
    """A plan that this process does not end before the other has begun, however slowly that starts."""

    def __init__(self, callback: Callable[[Row], None] = lambda _: None) -> None:
        self.workers = Workers(
            tells_where_it_runs(self._wait), callback, helpers=1, make_plan=tells_where_it_runs
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + 60.0
        while len(self.processes) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)

    @property
    def processes(self) -> set[str]:
        return {row.kernel for row in self.workers.rows}


@pytest.fixture
def unusual_settings() -> Iterator[None]:
    of_collection = gc.get_threshold()
    gc.set_threshold(12_345, 6, 7)
    of_jax = jax.config.values["jax_numpy_rank_promotion"]
    jax.config.update("jax_numpy_rank_promotion", "warn")
    yield
    jax.config.update("jax_numpy_rank_promotion", of_jax)
    gc.set_threshold(*of_collection)


@pytest.mark.usefixtures("unusual_settings")
def test_another_process_takes_jobs_and_shares_settings_and_warnings() -> None:
    plan = InTwoProcesses()
    workers = plan.workers
    with pytest.warns(UserWarning, match="of a job"):
        workers.run()
    assert len(plan.processes) == 2
    assert f"{os.getpid()}" in plan.processes
    assert {row.energy for row in workers.rows} == {"warn (12345, 6, 7)"}
    assert len(workers.traces) == 20
    assert multiprocessing.active_children() == []


def cannot_begin() -> list[Job]:
    """What no other process can make a plan of."""
    os._exit(3)


def dies() -> list[Job]:
    """A plan whose first jobs end the process, unless it is the first."""

    def run(emit: Emit) -> Sequence[Trace]:
        os._exit(7)

    return [Job(f"{n}", f"{n}", "kernel", run) for n in range(6)]


def test_without_a_process_that_cannot_begin_the_others_go_on() -> None:
    workers = Workers(many(), helpers=1, make_plan=cannot_begin)
    with pytest.warns(RuntimeWarning, match=r"could not begin \(exit status 3\)"):
        workers.run()
    assert len(workers.rows) == 6


def test_a_process_that_dies_is_an_error_of_its_job_and_the_others_are_still_run() -> None:
    def wait() -> None:
        deadline = time.monotonic() + 20.0
        while len(workers.rows) < 2 and time.monotonic() < deadline:  # until the other has died
            time.sleep(0.05)

    plan = [
        dataclasses.replace(job("first", wait), kernel="mine"),
        *(dataclasses.replace(job(f"{n}"), kernel="theirs") for n in range(1, 6)),
    ]
    workers = Workers(plan, helpers=1, make_plan=dies)
    workers.run()
    assert [row.energy for row in workers.rows] == ["first", "1", "2", "3", "4", "5"]
    (lost,) = [row for row in workers.rows if row.result.verdict is Verdict.ERROR]
    assert lost.energy == "1"
    assert "exit status 7" in lost.result.detail
    assert len(workers.traces) == 5


@pytest.mark.filterwarnings("ignore:of a job")
def test_what_a_callback_raises_is_not_taken_for_a_dead_process() -> None:
    def broken(row: Row) -> None:
        if row.kernel != f"{os.getpid()}":
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        InTwoProcesses(broken).workers.run()


def test_an_interrupt_ends_the_other_processes() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    workers = Workers(many(interrupt), helpers=2, make_plan=many)
    with pytest.raises(KeyboardInterrupt):
        workers.run()
    assert multiprocessing.active_children() == []


def test_energies_of_ones_own_stay_in_one_process() -> None:
    energy = from_callable(lambda x: x**2, ())
    with pytest.raises(ValueError, match=r"`processes` must be 1 .* got 2"):
        validation.run(energy, kernels=["mala"], processes=2)
    with pytest.raises(ValueError, match="`processes` must be an integer of at least 1; got 0"):
        validation.run(energies=["gamma"], kernels=["mala"], processes=0)


@pytest.mark.slow
def test_a_report_does_not_depend_on_the_number_of_processes() -> None:
    def rows(processes: int) -> list[tuple[str, str, float, float | None]]:
        report = validation.run(
            energies=["gamma"],
            kernels=["mala", "random-walk-metropolis"],
            objectives=["score_matching"],
            processes=processes,
        )
        return [
            (row.energy, row.kernel, row.result.statistic, row.result.p_value)
            for row in report.rows
        ]

    assert rows(1) == rows(2)


def test_an_empty_plan_ends_at_once() -> None:
    workers = Workers([])
    workers.run()
    assert workers.rows == ()


def test_what_a_callback_raises_ends_the_run() -> None:
    def broken(_: Row) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Workers([job("only")], broken).run()


def test_an_interrupt_keeps_what_has_fallen_and_starts_nothing_more() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    started: list[str] = []
    plan = [job("first", interrupt), *(job(f"later {n}") for n in range(50))]
    workers = Workers(plan, on_progress=lambda *p: started.append(p[2]))
    with pytest.raises(KeyboardInterrupt):
        workers.run()
    kept = [row.energy for row in workers.rows]
    assert kept[0] == "first"
    assert len(kept) < len(plan)


def test_an_error_names_the_file_and_line_of_the_users_own_code() -> None:
    def energy() -> float:
        return min([])  # the line that the report names

    result = guarded("energy", Question.CORRECTNESS, energy)
    line = energy.__code__.co_firstlineno + 1
    assert result.place == f"{__file__}:{line}"
    assert "the line that the report names" in result.traceback
    assert result.traceback.splitlines()[-1].startswith("ValueError")


def test_an_error_without_a_traceback_has_no_place() -> None:
    fault = faults.fault_of(ValueError("of nowhere"))
    assert fault == ("", "ValueError: of nowhere")
