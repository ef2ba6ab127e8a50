"""The validation run: energies × kernels × checks, controls beside them, one report."""

import datetime as dt
import functools
import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping, Sequence

from ebm_ppl._checks import check_count
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.checks import error_rates
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.results import Row
from ebm_ppl.validation.subjects import built_in
from ebm_ppl.validation.suite import ESTIMATORS, KERNELS, OBJECTIVES
from ebm_ppl.validation.suite.questions import Questions, plan_of
from ebm_ppl.validation.workers import Workers

PACKAGES = ("ebm-ppl", "jax", "jaxlib", "numpyro", "equinox", "arviz", "numpy", "scipy")


class RunInterrupted(KeyboardInterrupt):
    """A run that was interrupted.

    Attributes:
        report: What was asked so far.
    """

    def __init__(self, report: Report) -> None:
        super().__init__("the run was interrupted; what was asked so far is in `report`")
        self.report = report


def energy_names() -> list[str]:
    """Names of the built-in energies."""
    return list(built_in())


def kernel_names() -> list[str]:
    """Names of the kernels of ebm_ppl and of NumPyro that the suite knows."""
    return list(KERNELS.cases())


def objective_names() -> list[str]:
    """Names of the training objectives that the suite knows."""
    return list(OBJECTIVES.cases())


def estimator_names() -> list[str]:
    """Names of the estimators of log Z that the suite knows."""
    return list(ESTIMATORS.cases())


def run(
    energy: AbstractEnergy | Mapping[str, AbstractEnergy] | None = None,
    kernels: Sequence[str | KernelCase] | None = None,
    *,
    energies: Sequence[str] | None = None,
    objectives: Sequence[str] | None = None,
    estimators: Sequence[str] | None = None,
    mode: str = "quick",
    seed: int = 0,
    processes: int = 1,
    on_row: Callable[[Row], None] | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Ask the suite's questions of energies, kernels, training objectives and estimators of log Z.

    Args:
        energy: Your own energy, or several by name. The built-in ones then stay out, unless `energies`
            names some, and so do the controls.
        kernels: Names (see `kernel_names`), or cases of your own; all known kernels by default.
        energies: Names of built-in energies (see `energy_names`); by default those of the mode.
        objectives: Names of training objectives (see `objective_names`); by default those of the mode, and
            none beside anything of your choice. If they are all that you choose, nothing else is asked.
        estimators: Names of estimators of log Z (see `estimator_names`), likewise.
        mode: `"quick"` (three energies, two objectives, one control for each check), `"thorough"` (eleven
            energies, every objective and control) or `"full"` (every energy, objective and control, and
            whole fits that have to recover parameters).
        seed: Seed of all random keys, a non-negative integer.
        processes: How many processes share the work; the report does not depend on it. Others than this one
            begin by importing the script that runs, as `multiprocessing` has them do: a script that asks for
            them does so under `if __name__ == "__main__":`.
        on_row: Called with every verdict as it falls, from one thread at a time.
        on_progress: Called likewise with the number of jobs done, their total, and the label of the next.

    Returns:
        The report. It passes if every row does.

    Raises:
        ValueError: If a name, the mode, the seed or the number of processes is not known, or if there is more
            than one process for energies or kernels of your own, which stay in this one.
        TypeError: If `energy` holds anything but energies.
        RunInterrupted: A `KeyboardInterrupt` that holds the report of what was asked so far.

    Examples:
        >>> from ebm_ppl import validation
        >>> from ebm_ppl.energies import Quartic
        >>> report = validation.run(Quartic(), kernels=["mala"], mode="quick")
        >>> report.passed
        True
    """
    began = time.perf_counter()
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    questions = Questions.chosen(
        energy,
        energies=energies,
        kernels=kernels,
        objectives=objectives,
        estimators=estimators,
        mode=mode,
        seed=seed,
    )
    check_count("processes", processes, 1)
    if processes > 1 and not questions.are_known:
        raise ValueError(
            f"`processes` must be 1 for energies or kernels of your own; got {processes}."
        )
    workers = Workers(
        questions.plan(),
        on_row,
        on_progress,
        helpers=processes - 1,
        make_plan=functools.partial(plan_of, **questions.names, mode=mode, seed=seed),
    )

    def report(*, interrupted: bool = False) -> Report:
        asked = {row.energy for row in workers.rows}
        known = [s for s in questions.scope.subjects if not interrupted or s.name in asked]
        return Report(
            title="ebm_ppl validation report",
            mode=mode,
            rows=workers.rows,
            traces=workers.traces,
            seed=seed,
            false_alarm_budget=error_rates.REPORT_BUDGET,
            false_alarm_spent=sum(row.result.false_alarm_rate for row in workers.rows),
            versions=_versions(),
            started=started,
            seconds=time.perf_counter() - began,
            options={**questions.names, "left out": questions.left_out(known)},
            interrupted=interrupted,
        )

    try:
        workers.run()
    except KeyboardInterrupt:
        raise RunInterrupted(report(interrupted=True)) from None
    return report()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
