"""What a run asks of whom: names and modes turned into a plan of jobs."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ebm_ppl._checks import check_choice, check_count
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.validation import cases, controls, estimator_jobs, jobs, training_jobs
from ebm_ppl.validation.cases import EstimatorCase, KernelCase, ObjectiveCase
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS
from ebm_ppl.validation.family import Member, in_families
from ebm_ppl.validation.subjects import Subject, built_in

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


@dataclasses.dataclass(frozen=True)
class Questions:
    """What a run asks.

    Attributes:
        subjects: The energies.
        kernels: The kernels, asked about each energy that suits them.
        objectives: The training objectives.
        estimators: The estimators of log Z.
        mode: One of `MODES`.
        seed: Seed of all random keys.
        chooses_kernels: Whether the kernels were chosen, so that one left out is named in any case.
        with_controls: Whether planted bugs are asked, too.
    """

    subjects: Sequence[Subject]
    kernels: Sequence[KernelCase]
    objectives: Sequence[ObjectiveCase]
    estimators: Sequence[EstimatorCase]
    mode: str
    seed: int
    chooses_kernels: bool
    with_controls: bool

    @classmethod
    def chosen(
        cls,
        energy: AbstractEnergy | Mapping[str, AbstractEnergy] | None,
        kernels: Sequence[str | KernelCase] | None,
        *,
        energies: Sequence[str] | None,
        objectives: Sequence[str] | None,
        estimators: Sequence[str] | None,
        mode: str,
        seed: int,
    ) -> "Questions":
        """The questions that `ebm_ppl.validation.run` asks, with its arguments and its errors."""
        check_choice("mode", mode, MODES)
        check_count("seed", seed, 0)
        chooses_samplers = energy is not None or kernels is not None or energies is not None
        chooses = objectives is not None or estimators is not None
        if chooses and not chooses_samplers:
            kernels, energies = (), ()
        chosen_kernels = _resolve_kernels(kernels)
        subjects = _resolve_subjects(energy, energies, mode)
        by_default = not (chooses_samplers or chooses)
        is_quick = mode == "quick"
        return cls(
            subjects=subjects,
            kernels=chosen_kernels,
            objectives=_resolve(
                "objectives",
                objectives,
                cases.discover_objectives,
                QUICK_OBJECTIVES if is_quick else None,
                by_default=by_default,
            ),
            estimators=_resolve(
                "estimators",
                estimators,
                cases.discover_estimators,
                QUICK_ESTIMATORS if is_quick else None,
                by_default=by_default,
            ),
            mode=mode,
            seed=seed,
            chooses_kernels=kernels is not None,
            with_controls=energy is None,
        )

    @property
    def are_known(self) -> bool:
        """Whether every energy and kernel is the suite's own, so that `names` say it all."""
        return all(map(_is_built_in, self.subjects)) and all(map(_is_known, self.kernels))

    @property
    def names(self) -> dict[str, list[str]]:
        """What is asked, by name."""
        return {
            "energies": [subject.name for subject in self.subjects],
            "kernels": [case.name for case in self.kernels],
            "objectives": [case.name for case in self.objectives],
            "estimators": [case.name for case in self.estimators],
        }

    def plan(self) -> list[jobs.Job]:
        """The jobs, in the order in which the report has their rows."""
        return [*self._sampling(), *self._training(), *self._estimation()]

    def left_out(self, subjects: Iterable[Subject]) -> list[str]:
        """Which kernels are not asked about which of some energies, and why."""
        return [
            f"{case.name} on {subject.name}: {reason}"
            for subject in subjects
            for case in self.kernels
            if (reason := _unasked(subject, case))
            and (self.chooses_kernels or case.moves_on(subject.energy))
        ]

    def _sampling(self) -> list[jobs.Job]:
        plan: list[jobs.Job] = []
        num_chains = QUICK_CHAINS if self.mode == "quick" else SCREEN_CHAINS
        members = _members(self.subjects)
        for subject in self.subjects:
            plan.append(jobs.energy_job(subject))
            plan += [
                jobs.kernel_job(subject, case, self.seed, num_chains, members.get(subject.name))
                for case in self.kernels
                if not _unsuited(subject, case)
            ]
        plan += [
            jobs.claims_job(case, self.seed, self._where_claimed(case))
            for case in self.kernels
            if not case.discrete and any(case.moves_on(s.energy) for s in self.subjects)
        ]
        if self.with_controls and self.kernels:
            plan += [
                jobs.control_job(control, self.seed)
                for control in controls.discover().values()
                if control.quick or self.mode != "quick"
            ]
        return plan

    def _where_claimed(self, case: KernelCase) -> Subject | None:
        """Where the claims of a kernel are questioned; `None` for the reference target.

        Somebody's own kernel may be made for the energy beside it, and for no other. An order of bias is
        measured on a line.
        """
        if _is_known(case) or any(map(_is_built_in, self.subjects)):
            return None
        own = [one for one in self.subjects if one.refusal is None and not _unsuited(one, case)]
        if case.bias_order is not None:
            own = [one for one in own if one.density is not None and one.density.dim == 1]
        return own[0] if own else None

    def _training(self) -> list[jobs.Job]:
        if not self.objectives:
            return []
        plan = [training_jobs.loop_job()]
        plan += [
            training_jobs.objective_job(case, self.seed, thorough=self.mode == "full")
            for case in self.objectives
        ]
        if self.with_controls:
            names = {case.name for case in self.objectives}
            plan += [
                training_jobs.objective_control_job(control, self.seed)
                for control in controls.discover_objectives().values()
                if control.like in names and (control.quick or self.mode != "quick")
            ]
        return plan

    def _estimation(self) -> list[jobs.Job]:
        plan = [estimator_jobs.estimator_job(case, self.seed) for case in self.estimators]
        if self.estimators and self.with_controls:
            plan += [
                estimator_jobs.estimator_control_job(control, self.seed)
                for control in controls.discover_estimators().values()
                if control.quick or self.mode != "quick"
            ]
        return plan


def plan_of(**names: Any) -> list[jobs.Job]:
    """The plan of questions about what the suite knows, from `Questions.names`, the mode and the seed."""
    return Questions.chosen(None, **names).plan()


def _unsuited(subject: Subject, case: KernelCase) -> str:
    """Why a kernel cannot sample an energy by its nature, or an empty string."""
    known = case.unsuited_for.get(subject.name, "") if _is_built_in(subject) else ""
    return known or case.refusal(subject.energy)


def _unasked(subject: Subject, case: KernelCase) -> str:
    """Why a kernel was not asked whether it is correct on an energy, or an empty string."""
    reason = _unsuited(subject, case)
    if not reason and case.exact and subject.refusal is None and not subject.has_truth:
        return "no ground truth, so nothing was asked of its law"
    return reason


def _is_built_in(subject: Subject) -> bool:
    return subject.name in built_in() and built_in()[subject.name] is subject


def _is_known(case: KernelCase) -> bool:
    return cases.discover().get(case.name) is case


def _members(subjects: Iterable[Subject]) -> dict[str, Member]:
    """The built-in energies in families; an energy of anybody's own has its programs to itself.

    It may break while a kernel is traced, and would break the others of its family with it.
    """
    shared = [subject for subject in subjects if _is_built_in(subject)]
    members = in_families(subject.potential for subject in shared)
    return {subject.name: member for subject, member in zip(shared, members, strict=True)}


def _resolve(
    argument: str,
    names: Sequence[str] | None,
    known: Callable[[], Mapping[str, Chosen]],
    of_mode: Sequence[str] | None,
    *,
    by_default: bool,
) -> list[Chosen]:
    """What was named, or by default what the mode names, and all that is known if it names none."""
    if names is None and not by_default:
        return []
    if names is None:
        names = of_mode
    return _named(argument, tuple(known()) if names is None else names, known())


def _resolve_kernels(kernels: Sequence[str | KernelCase] | None) -> list[KernelCase]:
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
