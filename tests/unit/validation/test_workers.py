"""Jobs in threads: nothing is lost, the order is the plan's, and an interrupt keeps what has fallen."""

import threading
import time
from collections.abc import Callable, Sequence

import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import potential_energy

from ebm_ppl import validation
from ebm_ppl.energies import from_callable
from ebm_ppl.validation import faults
from ebm_ppl.validation.jobs import Emit, Job, guarded
from ebm_ppl.validation.results import Question, Row, Trace
from ebm_ppl.validation.workers import Workers
from tests.unit.validation import fakes


def job(label: str, then: Callable[[], None] = lambda: None) -> Job:
    def run(emit: Emit) -> Sequence[Trace]:
        emit(Row(label, "-", fakes.check()))
        then()
        return [fakes.trace(label, "-", seed=0, num_samples=4)]

    return Job(label, label, "-", run)


def test_rows_and_traces_stand_in_the_order_of_the_plan() -> None:
    second_is_done = threading.Event()

    def wait() -> None:
        second_is_done.wait(1.0)  # on one processor the second job comes after the first

    plan = [job("first", wait), job("second", second_is_done.set), job("third")]
    fallen: list[str] = []
    progress: list[tuple[int, int, str]] = []
    workers = Workers(plan, lambda row: fallen.append(row.energy), lambda *p: progress.append(p))
    workers.run()
    assert sorted(fallen) == ["first", "second", "third"]
    assert [row.energy for row in workers.rows] == ["first", "second", "third"]
    assert [trace.energy for trace in workers.traces] == ["first", "second", "third"]
    assert progress[0] == (0, 3, "first")
    assert progress[-1] == (3, 3, "")


def test_jobs_of_one_thread_come_one_after_the_other() -> None:
    running: list[str] = []

    def alone() -> None:
        running.append("")
        assert len(running) == 1
        time.sleep(0.01)
        running.pop()

    workers = Workers([job(str(n), alone) for n in range(8)], num_threads=1)
    workers.run()
    assert len(workers.traces) == 8


def test_an_energy_that_runs_a_numpyro_model_meets_no_other_thread() -> None:
    """NumPyro's effect handlers keep one stack for all threads."""
    threads: set[str] = set()

    def model() -> None:
        threads.add(f"{threading.get_ident()}")
        numpyro.sample("x", dist.Normal(0.0, 1.0))

    energy = from_callable(lambda x: potential_energy(model, (), {}, {"x": x}), ())
    report = validation.run({"one": energy, "other": energy}, kernels=["mala"])
    assert report.passed
    assert len(threads) == 1


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
