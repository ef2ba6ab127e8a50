"""The validation run: energies × kernels × checks, controls beside them, one report."""

import datetime as dt
import importlib.metadata
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from ebm_ppl._checks import check_choice, check_count
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.validation import cases, controls, estimator_jobs, jobs, training_jobs
from ebm_ppl.validation.cases import EstimatorCase, KernelCase, ObjectiveCase
from ebm_ppl.validation.checks import error_rates
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS
from ebm_ppl.validation.family import Member, in_families
from ebm_ppl.validation.results import Report, Row
from ebm_ppl.validation.subjects import Subject, built_in
from ebm_ppl.validation.workers import Workers

Chosen = TypeVar("Chosen")

MODES = ("quick", "thorough", "full")

QUICK_CHAINS = 100_000
"""Chains a step size in the screen of a quick report, which sees discrepancies 1.4 times as large."""

QUICK_ENERGIES = ("tilted_double_well_1d", "gamma", "boltzmann_machine")
THOROUGH_ENERGIES = (
    *QUICK_ENERGIES,
    *("gaussian", "quartic", "beta", "banana", "gaussian_mixture_2d"),
    *("restricted_boltzmann_machine", "ising_3x3", "potts_chain"),
)

QUICK_ESTIMATORS = ("annealed_importance_sampling, Gibbs",)

QUICK_OBJECTIVES = ("noise_contrastive", "score_matching")


class RunInterrupted(KeyboardInterrupt):
    """A run that was interrupted.

    Attributes:
        report: What was asked so far.
    """

    def __init__(self, report: Report) -> None:
        super().__init__("the run was interrupted; what was asked so far is in `report`")
        self.report = report


PACKAGES = ("ebm-ppl", "jax", "jaxlib", "numpyro", "equinox", "arviz", "numpy", "scipy")


def energy_names() -> list[str]:
    """Names of the built-in energies."""
    return list(built_in())


def kernel_names() -> list[str]:
    """Names of the kernels of ebm_ppl and of NumPyro that the suite knows."""
    return list(cases.discover())


def objective_names() -> list[str]:
    """Names of the training objectives that the suite knows."""
    return list(cases.discover_objectives())


def estimator_names() -> list[str]:
    """Names of the estimators of log Z that the suite knows."""
    return list(cases.discover_estimators())


def run(
    energy: AbstractEnergy | Mapping[str, AbstractEnergy] | None = None,
    kernels: Sequence[str | KernelCase] | None = None,
    *,
    energies: Sequence[str] | None = None,
    objectives: Sequence[str] | None = None,
    estimators: Sequence[str] | None = None,
    mode: str = "quick",
    seed: int = 0,
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
        on_row: Called with every verdict as it falls, from one thread at a time.
        on_progress: Called likewise with the number of jobs done, their total, and the label of the next.

    Returns:
        The report. It passes if every row does.

    Raises:
        ValueError: If a name, the mode or the seed is not known.
        TypeError: If `energy` holds anything but energies.
        RunInterrupted: A `KeyboardInterrupt` that holds the report of what was asked so far.

    Examples:
        >>> from ebm_ppl import validation
        >>> from ebm_ppl.energies import Quartic
        >>> report = validation.run(Quartic(), kernels=["mala"], mode="quick")
        >>> report.passed
        True
    """
    check_choice("mode", mode, MODES)
    check_count("seed", seed, 0)
    chooses_samplers = energy is not None or kernels is not None or energies is not None
    chooses = objectives is not None or estimators is not None
    if chooses and not chooses_samplers:
        kernels, energies = (), ()
    chosen_cases = _resolve_cases(kernels)
    subjects = _resolve_subjects(energy, energies, mode)
    began = time.perf_counter()
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    by_default = not (chooses_samplers or chooses)
    chosen_objectives = _resolve_objectives(objectives, mode, by_default=by_default)
    chosen_estimators = _resolve_estimators(estimators, mode, by_default=by_default)
    with_controls = energy is None
    plan = _plan(
        subjects, chosen_cases, mode, seed, with_controls=with_controls and bool(chosen_cases)
    )
    plan += _training_plan(chosen_objectives, mode, seed, with_controls=with_controls)
    plan += _estimation_plan(chosen_estimators, mode, seed, with_controls=with_controls)
    # An energy or a kernel from outside may run a NumPyro model, and NumPyro's effect handlers keep one
    # stack for all threads.
    is_ours = all(map(_is_built_in, subjects)) and all(map(_is_known, chosen_cases))
    workers = Workers(plan, on_row, on_progress, num_threads=None if is_ours else 1)

    def report(*, interrupted: bool = False) -> Report:
        asked = {row.energy for row in workers.rows}
        known = [subject for subject in subjects if not interrupted or subject.name in asked]
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
            options={
                "energies": [subject.name for subject in subjects],
                "kernels": [case.name for case in chosen_cases],
                "objectives": [case.name for case in chosen_objectives],
                "estimators": [case.name for case in chosen_estimators],
                "left out": _left_out(known, chosen_cases, by_name=kernels is not None),
            },
            interrupted=interrupted,
        )

    try:
        with warnings.catch_warnings():
            # Checks that ignore warnings do so in their threads, which share the filters: in the end these
            # are what they were.
            workers.run()
    except KeyboardInterrupt:
        raise RunInterrupted(report(interrupted=True)) from None
    return report()


def _left_out(
    subjects: Sequence[Subject], chosen: Sequence[KernelCase], *, by_name: bool
) -> list[str]:
    """Which kernels were not asked about which energies, and why."""
    return [
        f"{case.name} on {subject.name}: {reason}"
        for subject in subjects
        for case in chosen
        if (reason := _unasked(subject, case)) and (by_name or case.moves_on(subject.energy))
    ]


def _unsuited(subject: Subject, case: KernelCase) -> str:
    """Why a kernel cannot sample an energy by its nature, or an empty string."""
    known = case.unsuited_for.get(subject.name, "") if _is_built_in(subject) else ""
    return known or case.refusal(subject.energy)


def _is_built_in(subject: Subject) -> bool:
    return subject.name in built_in() and built_in()[subject.name] is subject


def _is_known(case: KernelCase) -> bool:
    return cases.discover().get(case.name) is case


def _unasked(subject: Subject, case: KernelCase) -> str:
    """Why a kernel was not asked whether it is correct on an energy, or an empty string."""
    reason = _unsuited(subject, case)
    if not reason and case.exact and subject.refusal is None and not subject.has_truth:
        return "no ground truth, so nothing was asked of its law"
    return reason


def _plan(
    subjects: Sequence[Subject],
    chosen: Sequence[KernelCase],
    mode: str,
    seed: int,
    *,
    with_controls: bool,
) -> list[jobs.Job]:
    plan: list[jobs.Job] = []
    num_chains = QUICK_CHAINS if mode == "quick" else SCREEN_CHAINS
    members = _members(subjects)
    for subject in subjects:
        plan.append(jobs.energy_job(subject))
        plan += [
            jobs.kernel_job(subject, case, seed, num_chains, members.get(subject.name))
            for case in chosen
            if not _unsuited(subject, case)
        ]
    plan += [
        jobs.claims_job(case, seed)
        for case in chosen
        if not case.discrete and any(case.moves_on(subject.energy) for subject in subjects)
    ]
    if with_controls:
        wanted: Iterable[controls.Control] = controls.discover().values()
        plan += [jobs.control_job(c, seed) for c in wanted if c.quick or mode != "quick"]
    return plan


def _members(subjects: Iterable[Subject]) -> dict[str, Member]:
    """The built-in energies in families; an energy of anybody's own has its programs to itself.

    It may break while a kernel is traced, and would break the others of its family with it.
    """
    shared = [subject for subject in subjects if _is_built_in(subject)]
    members = in_families(subject.potential for subject in shared)
    return {subject.name: member for subject, member in zip(shared, members, strict=True)}


def _training_plan(
    chosen: Sequence[ObjectiveCase], mode: str, seed: int, *, with_controls: bool
) -> list[jobs.Job]:
    if not chosen:
        return []
    plan = [training_jobs.loop_job()]
    plan += [training_jobs.objective_job(c, seed, thorough=mode == "full") for c in chosen]
    if with_controls:
        names = {case.name for case in chosen}
        plan += [
            training_jobs.objective_control_job(control, seed)
            for control in controls.discover_objectives().values()
            if control.like in names and (control.quick or mode != "quick")
        ]
    return plan


def _estimation_plan(
    chosen: Sequence[EstimatorCase], mode: str, seed: int, *, with_controls: bool
) -> list[jobs.Job]:
    plan = [estimator_jobs.estimator_job(case, seed) for case in chosen]
    if chosen and with_controls:
        plan += [
            estimator_jobs.estimator_control_job(control, seed)
            for control in controls.discover_estimators().values()
            if control.quick or mode != "quick"
        ]
    return plan


def _resolve_estimators(
    names: Sequence[str] | None, mode: str, *, by_default: bool
) -> list[EstimatorCase]:
    if names is None and not by_default:
        return []
    known = cases.discover_estimators()
    if names is None:
        names = QUICK_ESTIMATORS if mode == "quick" else tuple(known)
    return _named("estimators", names, known)


def _resolve_objectives(
    names: Sequence[str] | None, mode: str, *, by_default: bool
) -> list[ObjectiveCase]:
    if names is None and not by_default:
        return []
    known = cases.discover_objectives()
    if names is None:
        names = QUICK_OBJECTIVES if mode == "quick" else tuple(known)
    return _named("objectives", names, known)


def _resolve_cases(kernels: Sequence[str | KernelCase] | None) -> list[KernelCase]:
    known = cases.discover()
    if kernels is None:
        return list(known.values())
    _refuse_text("kernels", kernels)
    chosen = []
    for kernel in kernels:
        if isinstance(kernel, str):
            check_choice("kernels", kernel, tuple(known))
            kernel = known[kernel]
        chosen.append(kernel)
    return chosen


def _resolve_subjects(
    energy: AbstractEnergy | Mapping[str, AbstractEnergy] | None,
    names: Sequence[str] | None,
    mode: str,
) -> list[Subject]:
    own = {} if energy is None else energy
    if not isinstance(own, Mapping):
        own = {type(own).__name__: own}
    for name, value in own.items():
        if not isinstance(value, AbstractEnergy):
            raise TypeError(
                f"`energy` must be an AbstractEnergy; got {type(value).__name__} for {name!r}. Make one "
                "with ebm_ppl.energies.from_callable, from_logdensity or from_nnx."
            )
    subjects = [Subject(name, value) for name, value in own.items()]
    known = built_in()
    if names is None:
        by_mode = {"quick": QUICK_ENERGIES, "thorough": THOROUGH_ENERGIES, "full": tuple(known)}
        names = by_mode[mode] if not own else ()
    return subjects + _named("energies", names, known)


def _named(argument: str, names: Sequence[str], known: Mapping[str, Chosen]) -> list[Chosen]:
    """What the names stand for; `argument` is where they were given."""
    _refuse_text(argument, names)
    for name in names:
        check_choice(argument, name, tuple(known))
    return [known[name] for name in names]


def _refuse_text(argument: str, names: object) -> None:
    if isinstance(names, str):
        raise ValueError(f"`{argument}` must be a list of names; got {names!r}.")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
