"""What was counted, as data and as a table."""

import dataclasses
import json
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator

from scipy import stats

from validation.silent_failures.answers import Answer

_LEVEL = 0.95


@dataclasses.dataclass
class Row:
    """Answers of one function on one family.

    Attributes:
        function: Name of the function.
        family: Name of the family.
        answers: How many answers were of each kind.
        wrong: Where the silently wrong ones were, for whoever looks into them.
    """

    function: str
    family: str
    answers: Counter[Answer] = dataclasses.field(default_factory=Counter)
    wrong: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def note(self, answer: Answer, dim: int, parameters: dict[str, float]) -> None:
        """Count an answer."""
        self.answers[answer] += 1
        if answer is Answer.WRONG:
            self.wrong.append({"dim": dim, **parameters})

    def as_json(self) -> dict[str, object]:
        """The row as plain data."""
        counts = {answer.name.lower(): self.answers[answer] for answer in Answer}
        return {"function": self.function, "family": self.family, **counts, "where": self.wrong}


def sentence(rows: Iterable[Row]) -> str:
    """How often some functions were silently wrong, with an interval by Clopper and Pearson."""
    answers = sum((row.answers for row in rows), Counter[Answer]())
    return _share(answers)


def _share(answers: Counter[Answer]) -> str:
    wrong, asked = answers[Answer.WRONG], answers.total()
    interval = stats.binomtest(wrong, asked).proportion_ci(_LEVEL, method="exact")
    return f"{wrong} of {asked} ({interval.low:.1%} to {interval.high:.1%})"


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The rows as a Markdown table."""
    yield f"| function | family | right | {Answer.SAID_SO.value} | silently wrong ({_LEVEL:.0%}) |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows:
        right, said = row.answers[Answer.RIGHT], row.answers[Answer.SAID_SO]
        family = row.family.replace("_", " ")
        yield f"| `{row.function}` | {family} | {right} | {said} | {_share(row.answers)} |"


def write(path: pathlib.Path, seed: int, rows: Iterable[Row]) -> None:
    """Keep the counts as data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"seed": seed, "rows": [row.as_json() for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n")
