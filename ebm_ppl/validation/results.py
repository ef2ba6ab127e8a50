"""What a validation run produces: plain data that every report format and every test reads."""

import dataclasses
import enum
from collections.abc import Mapping

import numpy as np


class Verdict(enum.StrEnum):
    """Outcome of one check. A check that broke is an ERROR; it never vanishes."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"


class Question(enum.StrEnum):
    """What a check asks; correctness and mixing are never mixed up."""

    CORRECTNESS = "correctness"
    MIXING = "mixing"
    TRAINING = "training"
    ESTIMATION = "estimation"
    CONTROL = "control"


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The verdict of one check on one subject.

    Attributes:
        check: Name of the check, such as `"exact invariance"`.
        question: What the check asks.
        verdict: The outcome.
        statistic: Value of the statistic that decided; NaN where the check broke.
        statistic_name: What that statistic is, in words.
        bound: Threshold that the statistic was held against (a residual's bound), or `None`.
        p_value: p-value that decided, or `None` for a deterministic check.
        sample_size: Number of independent draws, chains or grid points behind the statistic.
        detectable: Smallest discrepancy seen with 99% power, in words with its number.
        false_alarm_rate: Probability that the check rejects a correct subject; 0 if deterministic.
        detail: One sentence for the reader: what was found, or the error.
        seconds: Wall-clock time.
        components: Further named figures (p-values of the joined tests, R-hat, ESS, ...).
        place: `file:line` where a check broke; empty otherwise.
        traceback: How it came there; empty otherwise.
    """

    check: str
    question: Question
    verdict: Verdict
    statistic: float
    statistic_name: str
    sample_size: int
    detectable: str
    false_alarm_rate: float
    detail: str = ""
    bound: float | None = None
    p_value: float | None = None
    seconds: float = 0.0
    components: Mapping[str, float] = dataclasses.field(default_factory=dict)
    place: str = ""
    traceback: str = ""

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the report: an energy, a kernel or objective (`"-"` where none is involved), a verdict."""

    energy: str
    kernel: str
    result: CheckResult


@dataclasses.dataclass(frozen=True)
class Trace:
    """Draws of one MCMC run with the ground truth beside them, for pictures and tables.

    Attributes:
        energy: Name of the energy.
        kernel: Name of the kernel.
        draws: Draws in the support, shape `(num_chains, num_samples, dim)`.
        energies: Energy of each draw, shape `(num_chains, num_samples)`.
        truth_grid: Per coordinate, the points at which the truth is tabulated, shape
            `(dim, num_points)`; `None` where no ground truth exists.
        truth_density: Marginal density at `truth_grid`, shape `(dim, num_points)`.
        truth_cdf: Marginal CDF at `truth_grid`, shape `(dim, num_points)`.
        truth_energy_draws: Energies of exact draws, shape `(num_draws,)`.
        diagnostics: R-hat, ESS, ESS per second, ESS per gradient, acceptance, step size, ...
    """

    energy: str
    kernel: str
    draws: np.ndarray
    energies: np.ndarray
    truth_grid: np.ndarray | None
    truth_density: np.ndarray | None
    truth_cdf: np.ndarray | None
    truth_energy_draws: np.ndarray | None
    diagnostics: Mapping[str, float]
