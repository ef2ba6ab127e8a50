"""What a run asks of whom: names and modes turned into a plan of jobs."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ebm_ppl._checks import check_choice, check_count
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.validation.subjects import Subject, built_in, is_built_in
from ebm_ppl.validation.suite import KINDS
from ebm_ppl.validation.suite.job import Job
from ebm_ppl.validation.suite.kind import Kind, Scope, refuse_text

MODES = ("quick", "thorough", "full")

QUICK_ENERGIES = ("tilted_double_well_1d", "gamma", "boltzmann_machine")
THOROUGH_ENERGIES = (
    *QUICK_ENERGIES,
    *("gaussian", "quartic", "beta", "banana", "gaussian_mixture_2d"),
    *("restricted_boltzmann_machine", "ising_3x3", "potts_chain"),
)


@dataclasses.dataclass(frozen=True)
class Questions:
    """What a run asks.

    Attributes:
        scope: The energies, the mode and the seed.
        cases: The cases of each kind, by its plural.
        named: Plurals of the kinds whose cases were named, so that one left out is told in any case.
        with_controls: Whether planted bugs are asked, too.
    """

    scope: Scope
    cases: Mapping[str, Sequence[Any]]
    named: Collection[str]
    with_controls: bool

    @classmethod
    def chosen(
        cls,
        energy: AbstractEnergy | Mapping[str, AbstractEnergy] | None,
        *,
        energies: Sequence[str] | None,
        mode: str,
        seed: int,
        **given: Sequence[Any] | None,
    ) -> "Questions":
        """The questions that `ebm_ppl.validation.run` asks, with its arguments and its errors.

        Args:
            energy: Somebody's own energies.
            energies: Names of built-in ones.
            mode: One of `MODES`.
            seed: Seed of all random keys.
            **given: What was given of each kind, by its plural.
        """
        check_choice("mode", mode, MODES)
        check_count("seed", seed, 0)
        named = {plural for plural, cases in given.items() if cases is not None}
        names_energies = energy is not None or energies is not None
        cases = {
            kind.plural: _resolve(kind, given[kind.plural], named, names_energies, mode)
            for kind in KINDS
        }
        samples = names_energies or any(kind.samples and kind.plural in named for kind in KINDS)
        if named and not samples:
            energies = ()
        return cls(
            Scope(_resolve_subjects(energy, energies, mode), mode, seed),
            cases,
            named,
            with_controls=energy is None,
        )

    @property
    def are_known(self) -> bool:
        """Whether every energy and case is the suite's own, so that `names` say it all."""
        return all(map(is_built_in, self.scope.subjects)) and all(
            kind.knows(case) for kind in KINDS for case in self.cases[kind.plural]
        )

    @property
    def names(self) -> dict[str, list[str]]:
        """What is asked, by name."""
        energies = {"energies": [subject.name for subject in self.scope.subjects]}
        return energies | {
            plural: [case.name for case in cases] for plural, cases in self.cases.items()
        }

    def plan(self) -> list[Job]:
        """The jobs, in the order in which the report has their rows."""
        return [job for kind in KINDS for job in self._plan_of(kind)]

    def _plan_of(self, kind: Kind[Any, Any]) -> list[Job]:
        cases = self.cases[kind.plural]
        plan = [*kind.jobs(cases, self.scope)]
        if cases and self.with_controls:
            plan += kind.control_jobs(cases, self.scope)
        return plan

    def left_out(self, subjects: Iterable[Subject]) -> list[str]:
        """What is not asked about which of some energies, and why."""
        subjects = list(subjects)
        return [
            line
            for kind in KINDS
            for line in kind.left_out(self.cases[kind.plural], subjects, kind.plural in self.named)
        ]


def plan_of(**names: Any) -> list[Job]:
    """The plan of questions about what the suite knows, from `Questions.names`, the mode and the seed."""
    return Questions.chosen(None, **names).plan()


def _resolve(
    kind: Kind[Any, Any],
    given: Sequence[Any] | None,
    named: Collection[str],
    names_energies: bool,
    mode: str,
) -> list[Any]:
    """What was given of a kind; by default all of it, or none beside anything else that was chosen."""
    by_default = kind.samples if names_energies else not named
    if given is None and not by_default:
        return []
    return kind.resolve(given, is_quick=mode == "quick")


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
    refuse_text("energies", names)
    for name in names:
        check_choice("energies", name, tuple(known))
    return subjects + [known[name] for name in names]
