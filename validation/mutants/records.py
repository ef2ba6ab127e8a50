"""What was found, as data, as lines and as a page."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
from collections import Counter
from collections.abc import Iterable, Sequence

from scipy import stats

from validation.mutants.trial import Outcome, Trial

HERE = pathlib.Path(__file__).parent
EQUIVALENT = HERE / "equivalent.json"
_LEVEL = 0.95
_WIDTH = 120


def equivalents(path: pathlib.Path = EQUIVALENT) -> dict[tuple[str, str, str], str]:
    """Changes that change nothing that matters, each with the reason."""
    entries = json.loads(path.read_text())
    return {(one["file"], one["function"], one["change"]): one["reason"] for one in entries}


@dataclasses.dataclass(frozen=True)
class Score:
    """How many changes were noticed.

    Attributes:
        counts: How many had each outcome.
        interval: Of the share of those noticed, of all that are not equivalent, by Clopper and Pearson.
    """

    counts: dict[Outcome, int]
    interval: tuple[float, float]

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> "Score":
        """The score of some trials."""
        counts = Counter(trial.outcome for trial in trials)
        score = cls({outcome: counts[outcome] for outcome in Outcome}, (0.0, 1.0))
        if not score.asked:
            return score
        law = stats.binomtest(score.killed, score.asked)
        interval = law.proportion_ci(_LEVEL, method="exact")
        return cls(score.counts, (float(interval.low), float(interval.high)))

    @property
    def asked(self) -> int:
        """How many were asked that are not equivalent."""
        return sum(self.counts.values()) - self.counts[Outcome.EQUIVALENT]

    @property
    def killed(self) -> int:
        """How many of them were noticed."""
        return self.asked - self.counts[Outcome.SURVIVED]

    def sentence(self) -> str:
        """The score in words."""
        low, high = self.interval
        share = self.killed / self.asked if self.asked else float("nan")
        return (
            f"{self.killed} of {self.asked} noticed: {share:.1%}, "
            f"{_LEVEL:.0%} interval {low:.1%} to {high:.1%}"
        )


class Results:
    """Results of one seed, in a file that holds each as soon as it is known.

    Args:
        path: The file.
        seed: Seed of the draw.
        fingerprint: Of the sources from which changes are drawn.
    """

    def __init__(self, path: pathlib.Path, seed: int, fingerprint: str) -> None:
        self._path, self._seed, self._fingerprint = path, seed, fingerprint
        self._trials: dict[tuple[str, str, str], Trial] = {}

    def load(self) -> bool:
        """Read what is known; says whether it was found on the same sources."""
        if not self._path.exists():
            return True
        stored = json.loads(self._path.read_text())
        for entry in stored["trials"]:
            trial = Trial(**entry | {"outcome": Outcome(entry["outcome"])})
            self._trials[trial.key] = trial
        return stored["sources"] == self._fingerprint

    def forget(self, *outcomes: Outcome) -> None:
        """Forget the trials with some outcomes, or all of them if none is named."""
        kept = {
            key: trial
            for key, trial in self._trials.items()
            if outcomes and trial.outcome not in outcomes
        }
        self._trials = kept

    def get(self, key: tuple[str, str, str]) -> Trial | None:
        """What is known of a change."""
        return self._trials.get(key)

    def add(self, trial: Trial) -> None:
        """Note a trial, and write all to the file at once."""
        self._trials[trial.key] = trial
        stored = {
            "seed": self._seed,
            "sources": self._fingerprint,
            "python": platform.python_version(),
            "jax": importlib.metadata.version("jax"),
            "trials": [dataclasses.asdict(one) for one in self._trials.values()],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
        os.replace(draft, self._path)


def line(trial: Trial) -> str:
    """One line on the terminal."""
    change = _shortened(trial.change, _WIDTH)
    by = f" [{_shortened(trial.by, _WIDTH)}]" if trial.by else ""
    return (
        f"{trial.outcome}: {trial.file}:{trial.line} {trial.function}: {trial.kind}: {change}{by} "
        f"({trial.cpu_seconds:.0f} CPU s)"
    )


def totals(trials: Sequence[Trial]) -> list[str]:
    """The closing lines on the terminal."""
    score = Score.of(trials)
    asked = [trial for trial in trials if trial.outcome is not Outcome.EQUIVALENT]
    seconds = sum(trial.cpu_seconds for trial in asked)
    lines = [f"{count:4d} {outcome}" for outcome, count in score.counts.items()]
    return [
        *lines,
        score.sentence(),
        f"{seconds:.0f} CPU s, {seconds / max(len(asked), 1):.0f} a change",
    ]


def page(trials: Sequence[Trial], seed: int) -> str:
    """The page of the documentation, in Markdown."""
    score = Score.of(trials)
    seconds = sum(trial.cpu_seconds for trial in trials) / max(score.asked, 1)
    parts = [
        "# The mutation score",
        "",
        "How many wrong lines of mathematics are noticed: single changes to the package's mathematics,",
        "a sign, an operator, a dropped term, a swapped argument, a constant, an off-by-one or an axis,",
        "drawn at random over its areas. Each is held against the rows of the report that concern the file,",
        "and if these pass, against the tests of its folder, the quick ones, then the slow ones and the",
        "examples in the file's docstrings.",
        "",
        f"**{score.sentence()}** (Clopper–Pearson), of {len(trials)} drawn; {seconds:.0f} CPU s a change.",
        "",
        f"Written by `python -m validation.mutants --sample {len(trials)} --seed {seed} --write`.",
        "",
        *_table_by_area(trials),
        "",
        "## Survivors",
        "",
        *_bullets(trials, Outcome.SURVIVED),
        "",
        "## Judged equivalent",
        "",
        "These change nothing that matters, and are left out of the score.",
        "",
        *_bullets(trials, Outcome.EQUIVALENT),
    ]
    return "\n".join(parts) + "\n"


def _table_by_area(trials: Sequence[Trial]) -> list[str]:
    lines = [
        "| area | " + " | ".join(Outcome) + " |",
        "| --- |" + " ---: |" * len(Outcome),
    ]
    for area in [*dict.fromkeys(sorted(trial.area for trial in trials)), ""]:
        counts = Score.of(trial for trial in trials if area in ("", trial.area)).counts
        figures = " | ".join(str(counts[outcome]) for outcome in Outcome)
        lines.append(f"| {area or '**all**'} | {figures} |")
    return lines


def _bullets(trials: Sequence[Trial], outcome: Outcome) -> list[str]:
    lines = [
        f"- `{trial.file}`, `{trial.function}`, {trial.kind}: `{_shortened(trial.change, 2 * _WIDTH)}`"
        + (f". {trial.by}" if trial.by else "")
        for trial in trials
        if trial.outcome is outcome
    ]
    return lines or ["None."]


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width // 2]} … {text[-width // 2 :]}"
