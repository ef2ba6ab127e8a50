"""A report: what a run found, which writes itself in each format."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ebm_ppl.validation.results import Row, Trace, Verdict


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that a validation run found.

    Attributes:
        title: Heading of the report.
        mode: `"quick"`, `"thorough"` or `"full"`.
        rows: One per energy, kernel and check, in the order in which they ran.
        traces: One per energy and kernel that was sampled.
        seed: The seed that all random keys come from.
        false_alarm_budget: Upper bound of the probability that it rejects anything correct.
        false_alarm_spent: Sum of the false-alarm rates of its checks.
        versions: Package name to version, Python and platform included.
        started: ISO 8601 time, UTC.
        seconds: Wall-clock time of the run.
        options: What was asked, and what was left out, with the reason.
        interrupted: Whether the run was stopped before all was asked.
    """

    title: str
    mode: str
    rows: tuple[Row, ...]
    traces: tuple[Trace, ...]
    seed: int
    false_alarm_budget: float
    false_alarm_spent: float
    versions: Mapping[str, str]
    started: str
    seconds: float
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    interrupted: bool = False

    @property
    def passed(self) -> bool:
        """Whether everything was asked and every row passed."""
        asked = bool(self.rows) and not self.interrupted
        return asked and all(row.result.passed for row in self.rows)

    def counts(self) -> dict[Verdict, int]:
        """Number of rows with each verdict."""
        return {
            verdict: sum(row.result.verdict is verdict for row in self.rows) for verdict in Verdict
        }

    # Matplotlib and Jinja2 take as long to load as a short run: only what is written loads them.
    def to_html(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report as one HTML page that needs no network; returns its path."""
        from ebm_ppl.validation.report.html import to_html

        return to_html(self, path)

    def to_json(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report as JSON, which `ebm_ppl.validation.load_json` reads back; returns its path."""
        from ebm_ppl.validation.report.json_report import to_json

        return to_json(self, path)

    def to_markdown(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report as Markdown; returns its path."""
        from ebm_ppl.validation.report.markdown import to_markdown

        return to_markdown(self, path)
