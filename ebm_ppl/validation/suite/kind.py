"""A kind of thing that a report questions: its cases, its planted bugs, and the checks that both meet."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from ebm_ppl._checks import check_choice
from ebm_ppl.validation.names import Names
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace, Verdict
from ebm_ppl.validation.subjects import Subject
from ebm_ppl.validation.suite.job import Checks, Emit, Job, guarded
from ebm_ppl.validation.suite.judgement import AnyCase, AnyControl, judged

Case = TypeVar("Case", bound=AnyCase)
Control = TypeVar("Control", bound=AnyControl)


@dataclasses.dataclass(frozen=True)
class Scope:
    """Where cases are questioned, and how thoroughly.

    Attributes:
        subjects: The energies.
        mode: `"quick"`, `"thorough"` or `"full"`.
        seed: Seed of all random keys.
    """

    subjects: Sequence[Subject]
    mode: str
    seed: int

    @property
    def is_quick(self) -> bool:
        """Whether the report is to be a quick one."""
        return self.mode == "quick"


def concerns_all(_control: AnyControl, _cases: Sequence[AnyCase]) -> bool:
    """A control of a kind whose controls belong to all cases."""
    return True


def no_figures(_control: AnyControl, _seed: int) -> Mapping[str, float]:
    """The further figures of a control that has none."""
    return {}


def none_left_out(
    _cases: Sequence[AnyCase], _subjects: Iterable[Subject], _named: bool
) -> list[str]:
    """What is left out of a kind that has nothing to do with energies."""
    return []


@dataclasses.dataclass(frozen=True)
class Kind(Generic[Case, Control]):
    """Kernels, training objectives, estimators of log Z: what the suite has to know of each.

    Attributes:
        names: How it is called, and the names that are known.
        cases: All known cases, by name.
        controls: All controls, by name.
        jobs: What answers the claims of some cases.
        control_checks: The checks that a control meets at a seed, as a correct case with its claims would,
            the cheapest first.
        place_of: What stands in a report's column of energies beside a control.
        concerns: Whether a control belongs to some cases; by default to all.
        figures: Further figures of a control at a seed, reported and never judged.
        left_out: Which of some cases are not asked about which energies, and why; whether the cases were
            named decides how much of this is worth saying.
        quick: Names that a quick report asks about by default; `None` for all.
        samples: Whether it is asked about energies, and so by default beside those that are named.
        takes_own: Whether a caller may hand over cases beside names.
    """

    names: Names
    cases: Callable[[], Mapping[str, Case]]
    controls: Callable[[], Mapping[str, Control]]
    jobs: Callable[[Sequence[Case], Scope], Sequence[Job]]
    control_checks: Callable[[Control, int], Checks]
    place_of: Callable[[Control], str]
    concerns: Callable[[Control, Sequence[Case]], bool] = concerns_all
    figures: Callable[[Control, int], Mapping[str, float]] = no_figures
    left_out: Callable[[Sequence[Case], Iterable[Subject], bool], list[str]] = none_left_out
    quick: tuple[str, ...] | None = None
    samples: bool = False
    takes_own: bool = False

    @property
    def plural(self) -> str:
        """Its name, which is that of the argument of `ebm_ppl.validation.run`."""
        return self.names.plural

    def knows(self, case: Case) -> bool:
        """Whether a case is the suite's own."""
        return self.cases().get(case.name) is case

    def resolve(self, given: Sequence[str | Case] | None, *, is_quick: bool) -> list[Case]:
        """The cases that were named; by default those of the mode.

        Raises:
            ValueError: If a name is not known, or one string stands in place of a list.
        """
        known = self.cases()
        if given is None:
            return [known[name] for name in (is_quick and self.quick) or known]
        refuse_text(self.plural, given)
        return [self._resolve_one(one, known) for one in given]

    def _resolve_one(self, given: str | Case, known: Mapping[str, Case]) -> Case:
        if self.takes_own and not isinstance(given, str):
            return given
        check_choice(self.plural, given, tuple(known))
        return known[given]  # pyright: ignore[reportArgumentType]  # a name, since it is a choice

    def control_jobs(self, cases: Sequence[Case], scope: Scope) -> Iterator[Job]:
        """What holds the controls that belong to some cases against their checks."""
        for control in self.controls().values():
            if self.concerns(control, cases) and (control.quick or not scope.is_quick):
                yield self.control_job(control, scope.seed)

    def control_job(self, control: Control, seed: int) -> Job:
        """Run a control until a check rejects it; an equivalent variant has to pass them all."""
        place = self.place_of(control)

        def run(emit: Emit) -> Sequence[Trace]:
            result = self.judge(control, seed)
            components = {**result.components, **self.figures(control, seed)}
            result = dataclasses.replace(result, components=components)
            emit(Row(place, f"control: {control.name}", result))
            return ()

        return Job(f"control: {control.name}", place, control.name, run)

    def judge(self, control: Control, seed: int) -> CheckResult:
        """PASS if a check caught the planted bug, or if an equivalent variant passed all of them.

        Args:
            control: The control.
            seed: Seed of all random keys.

        Returns:
            The verdict on the suite, with the figures of the check that decided it.
        """
        began = time.perf_counter()
        last = self.ask(control, seed)
        return judged(last, control, seconds=time.perf_counter() - began)

    def ask(self, control: Control, seed: int) -> CheckResult:
        """What the first check says that does not pass a control; the last, if all pass it."""
        last: CheckResult | None = None
        for check, compute in self.control_checks(control, seed):
            last = guarded(check, Question.CONTROL, compute)
            if last.verdict is not Verdict.PASS:
                break
        assert last is not None  # every control meets a check
        return last


def refuse_text(argument: str, names: object) -> None:
    """Refuse one string where a list of names is expected, whose letters would be the names."""
    if isinstance(names, str):
        raise ValueError(f"`{argument}` must be a list of names; got {names!r}.")
