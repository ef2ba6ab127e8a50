"""A report arranged for reading: what every format lays out, before any markup."""

import dataclasses
from collections.abc import Iterable

from ebm_ppl.validation.report._format import number
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.report.sections import SECTIONS, Section
from ebm_ppl.validation.results import Question, Row, Trace, Verdict

NO_KERNEL = "-"
"""Kernel of the rows that ask about an energy alone."""

_OF_ENERGIES = (Question.CORRECTNESS, Question.MIXING)


@dataclasses.dataclass(frozen=True)
class Tally:
    """Several verdicts in one: how many passed, and the worst."""

    passed: int
    total: int
    verdict: Verdict

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Tally | None":
        """Tally of the rows; `None` where there are none."""
        verdicts = [row.result.verdict for row in rows]
        if not verdicts:
            return None
        worst = next(v for v in (Verdict.FAIL, Verdict.ERROR, Verdict.PASS) if v in verdicts)
        return cls(verdicts.count(Verdict.PASS), len(verdicts), worst)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One energy and one kernel: its verdicts, and its draws where it was sampled."""

    anchor: str
    energy: str
    kernel: str
    rows: tuple[Row, ...]
    trace: Trace | None

    def tally(self, question: Question) -> Tally | None:
        """Verdicts of this pair on one question."""
        return Tally.of(row for row in self.rows if row.result.question is question)

    @property
    def name(self) -> str:
        """Kernel's name, or words for the rows about the energy alone."""
        return "the energy itself" if self.kernel == NO_KERNEL else self.kernel

    @property
    def passed(self) -> bool:
        """Whether every verdict of the pair is PASS."""
        return all(row.result.passed for row in self.rows)


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Verdicts on one question: one line an energy, one column a kernel."""

    question: Question
    kernels: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Pair | None, ...]], ...]


def pairs(report: Report) -> tuple[Pair, ...]:
    """Every energy with every kernel that was asked about, in the order in which they ran."""
    names = dict.fromkeys(
        [(row.energy, row.kernel) for row in _asked(report)]
        + [(trace.energy, trace.kernel) for trace in report.traces]
    )
    # An energy's own rows come first, and its kernels stay together.
    energies = list(dict.fromkeys(energy for energy, _ in names))
    ordered = sorted(names, key=lambda name: (energies.index(name[0]), name[1] != NO_KERNEL))
    traces = {(trace.energy, trace.kernel): trace for trace in report.traces}
    rows: dict[tuple[str, str], list[Row]] = {name: [] for name in ordered}
    for row in _asked(report):
        rows[row.energy, row.kernel].append(row)
    return tuple(
        Pair(f"pair-{index}", *name, tuple(rows[name]), traces.get(name))
        for index, name in enumerate(ordered, start=1)
    )


def by_energy(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    """The pairs of each energy, in order."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.energy, []).append(pair)
    return groups


def matrix(pairs: Iterable[Pair], question: Question) -> Matrix:
    """Arrange the pairs that have a verdict on `question`."""
    asked = {(pair.energy, pair.kernel): pair for pair in pairs if pair.tally(question) is not None}
    kernels = tuple(sorted(dict.fromkeys(k for _, k in asked), key=lambda k: k != NO_KERNEL))
    energies = dict.fromkeys(energy for energy, _ in asked)
    lines = tuple((e, tuple(asked.get((e, k)) for k in kernels)) for e in energies)
    return Matrix(question, kernels, lines)


def beside(report: Report, matrix: Matrix) -> str:
    """Why the matrix has energies that nobody asked about, in a sentence; empty if it has none."""
    named = report.options.get("energies", ())
    others = [energy for energy, _ in matrix.lines if energy not in named]
    if not named or not others:
        return ""
    return f"On {', '.join(others)} kernels were asked what they claim wherever they run."


def sections(pairs: Iterable[Pair]) -> list[tuple[Section, list[tuple[Pair, Tally]]]]:
    """The kinds that were questioned by themselves, each with its cases and their verdicts."""
    pairs = list(pairs)
    found = [(section, _tallied(pairs, section.question)) for section in SECTIONS]
    return [(section, tallies) for section, tallies in found if tallies]


def _tallied(pairs: Iterable[Pair], question: Question) -> list[tuple[Pair, Tally]]:
    tallies = ((pair, pair.tally(question)) for pair in pairs)
    return [(pair, tally) for pair, tally in tallies if tally is not None]


def controls(report: Report) -> tuple[Row, ...]:
    """The planted bugs, and the harmless variants beside them."""
    return tuple(row for row in report.rows if row.result.question is Question.CONTROL)


def headline(report: Report) -> str:
    """The verdict of the whole report in one sentence."""
    counts = report.counts()
    total = sum(counts.values())
    short = total - counts[Verdict.PASS]
    if not total:
        verdict = "Nothing was checked"
    elif short:
        verdict = f"{short:,} of {total:,} checks fell short"
    else:
        verdict = f"All {total:,} checks passed" if total > 1 else "The one check passed"
    verdict += _reservations(report) if total else ""
    if not report.interrupted:
        return verdict
    return f"Interrupted, so only a part was asked: {verdict[0].lower()}{verdict[1:]}"


def _reservations(report: Report) -> str:
    """What a count of checks does not say: that some concern other targets, and what was not asked.

    Where planted bugs are asked, too, the report is about the suite, whose targets are its own.
    """
    named = report.options.get("energies", ())
    sampled = [row for row in _asked(report) if row.result.question in _OF_ENERGIES]
    is_own = bool(named) and not controls(report)
    elsewhere = sum(row.energy not in named for row in sampled) if is_own else 0
    judged = {row.energy for row in sampled if _is_of_a_law(row)}
    silent = [name for name in named if name not in judged and _has_kernel(sampled, name)]
    some = f", {elsewhere:,} of them on another target" if elsewhere else ""
    if not silent:
        return some
    which = silent[0] if len(silent) == 1 else f"{len(silent):,} energies"
    return f"{some}; whether draws follow the law of {which} was not asked"


def _is_of_a_law(row: Row) -> bool:
    return row.kernel != NO_KERNEL and row.result.question is Question.CORRECTNESS


def _has_kernel(rows: Iterable[Row], energy: str) -> bool:
    return any(row.energy == energy and row.kernel != NO_KERNEL for row in rows)


def summaries(report: Report) -> list[tuple[Question, Tally, str]]:
    """One sentence for each question that was asked."""
    endings = {
        Question.CORRECTNESS: "correctness checks passed",
        Question.MIXING: "mixing checks passed",
        **{section.question: section.ending for section in SECTIONS},
        Question.CONTROL: "controls came out as expected",
    }
    result = []
    for question, ending in endings.items():
        tally = Tally.of(row for row in report.rows if row.result.question is question)
        if tally is not None:
            result.append((question, tally, f"{tally.passed:,} of {tally.total:,} {ending}"))
    return result


def budget(report: Report) -> str:
    """What the verdicts cost: the probability that a correct subject is rejected."""
    spent, allowed = number(report.false_alarm_spent), number(report.false_alarm_budget)
    relation = "within" if report.false_alarm_spent <= report.false_alarm_budget else "OVER"
    return (
        f"If everything is right, this report rejects something with probability at most {spent}, "
        f"{relation} its budget of {allowed}."
    )


def diagnostic_keys(report: Report) -> tuple[str, ...]:
    """Every diagnostic that any trace has, in order of appearance."""
    return tuple(dict.fromkeys(key for trace in report.traces for key in trace.diagnostics))


def _asked(report: Report) -> Iterable[Row]:
    return (row for row in report.rows if row.result.question is not Question.CONTROL)
