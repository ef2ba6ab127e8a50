"""Whether an estimator of log Z keeps its claims: no bias, and an error bar that is one."""

import dataclasses
import math
import time
import warnings
from collections.abc import Sequence

import jax
import numpy as np
from scipy import stats

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.checks.efficiency import waste_p_value
from ebm_ppl.validation.checks.error_rates import POWER, SINGLE_LEVEL, bonferroni, two_sided_p_value
from ebm_ppl.validation.results import CheckResult, Question, Verdict

NUM_RUNS = 100
NUM_CONFIRMING = 500
"""Fresh runs that decide where the first ones leave a doubt."""
SUSPECT = 0.2
"""Below this joint p-value there is a doubt: an interval 30% too short escapes in one of 80 first looks."""
LEAST_COVERAGE = 0.92
"""A nominal 95% interval is allowed to be approximate, but not to cover less."""
MEAN_SLACK = 0.15
"""Mean standardised error, in standard errors, that skewness may leave in an unbiased estimate."""
SPREAD_SLACK = 1.05
"""Factor by which a stated error may be off from that which estimates have, to either side."""


@dataclasses.dataclass(frozen=True)
class Runs:
    """Independent runs of an estimator, held against the exact value.

    Attributes:
        estimates: What they returned.
        truth: The exact log Z.
        seconds: Wall-clock time that they took.
    """

    estimates: Sequence[LogPartitionEstimate]
    truth: float
    seconds: float

    @property
    def error(self) -> np.ndarray:
        """Error of each estimate of log Z."""
        return np.array([run.log_z for run in self.estimates]) - self.truth


def decisive_runs(case: EstimatorCase, rng_key: PRNGKey) -> Runs:
    """Runs of an estimator that decide on its claims.

    A hundred are made. If they leave a doubt, and no certainty, five hundred fresh ones stand in for them.
    Either number may reject a claim at half of its false-alarm rate.

    Args:
        case: The estimator and its claims.
        rng_key: Random key.

    Returns:
        The runs.
    """
    began = time.perf_counter()
    truth = case.truth()
    runs = Runs(_estimates(case, rng_key, NUM_RUNS), truth, 0.0)
    p_value = bonferroni(_tests(case, runs))
    if case.work is not None:
        p_value = min(p_value, waste_p_value(case.work, runs.error))
    if SINGLE_LEVEL / 2 <= p_value < SUSPECT:
        fresh = jax.random.fold_in(rng_key, 1)
        runs = Runs(_estimates(case, fresh, NUM_CONFIRMING), truth, 0.0)
    return dataclasses.replace(runs, seconds=time.perf_counter() - began)


def honest_error(
    case: EstimatorCase, runs: Runs, *, question: Question = Question.ESTIMATION
) -> CheckResult:
    r"""Hold independent runs of an estimator against the exact $\log Z$.

    Five tests share the false-alarm rate. The mean of $\hat Z / Z$ is 1 (or that of $Z / \hat Z$, or the
    mean of $\log \hat Z - \log Z$ is 0, as the estimator claims), by a $t$ test. Standardised errors
    have a mean of at most `MEAN_SLACK`. Intervals hold the truth in at least `LEAST_COVERAGE` of the runs, a
    run without an interval being one that does not. Standardised errors spread as they should, and so do
    errors in units of the intervals' ends: both are asked from both sides.

    Coverage alone would not do: a base law whose normaliser is off by two standard errors costs a 95%
    interval half of its coverage, one that is off by half a standard error costs it nothing that 100 runs
    can tell, and is five standard errors away from the mean. Nor can coverage tell an interval that is too
    wide: 100 of 100 runs covered is what a nominal 98.5% gives in one of five reports.

    For the spread, an error $e$ of a run with $n$ effective samples and a standard error $s$ is taken for $s$
    times a number of Student's law with $n - 1$ degrees of freedom, and $w = \Phi^{-1}(T_{n-1}(e / s))$ for
    normal, so that $\sum w^2 \sim \chi^2$ over the runs. For intervals, $s$ is the distance from the estimate
    to the end on the truth's side over $T_{n-1}^{-1}$ of the interval's level.

    Args:
        case: The estimator and its claims.
        runs: Its runs, as `decisive_runs` makes them.
        question: Under which heading the result is reported.

    Returns:
        The verdict, with the five p-values among its components.
    """
    tests, error, count = _tests(case, runs), runs.error, len(runs.estimates)
    standardised = error / np.array([run.std_error for run in runs.estimates])
    t, spread = _mean_of_claim(case, runs)
    p_value, level = bonferroni(tests), SINGLE_LEVEL / 2
    critical = float(stats.t.isf(level / (2 * len(tests)), count - 1))
    return CheckResult(
        check="honest error",
        question=question,
        verdict=Verdict.PASS if p_value >= level else Verdict.FAIL,
        statistic=abs(t),
        statistic_name=f"|t| of the mean of {case.unbiased_for}",
        sample_size=count,
        detectable=f"{case.unbiased_for} off by {(critical + stats.norm.isf(1 - POWER)) * spread:.2g}",
        false_alarm_rate=SINGLE_LEVEL,
        bound=critical,
        p_value=p_value,
        detail=(
            f"mean error of log Z {error.mean():+.4f}, in standard errors {standardised.mean():+.2f} with "
            f"a spread of {np.sqrt(np.mean(standardised**2)):.2f}; {_held(runs)} of {count} "
            "intervals hold the truth"
        ),
        seconds=runs.seconds,
        components=tests,
    )


def _estimates(case: EstimatorCase, rng_key: PRNGKey, count: int) -> list[LogPartitionEstimate]:
    with warnings.catch_warnings():
        # Of heavy tails, say: a run that warns has no interval, and counts.
        warnings.simplefilter("ignore")
        return [case.estimate(key) for key in jax.random.split(rng_key, count)]


def _tests(case: EstimatorCase, runs: Runs) -> dict[str, float]:
    """The p-value of each test."""
    estimates, count = runs.estimates, len(runs.estimates)
    standardised = runs.error / np.array([run.std_error for run in estimates])
    t, _ = _mean_of_claim(case, runs)
    beyond = max(abs(float(standardised.mean())) - MEAN_SLACK, 0.0)
    shift = beyond / float(standardised.std(ddof=1)) * math.sqrt(count)
    freedom = np.array([max(run.ess - 1, 1.0) for run in estimates])
    return {
        f"mean of {case.unbiased_for}": float(2 * stats.t.sf(abs(t), count - 1)),
        "mean of standardised errors": two_sided_p_value(shift),
        "coverage": float(stats.binom.cdf(_held(runs), count, LEAST_COVERAGE)),
        "spread of standardised errors": spread_p_value(standardised, freedom),
        "width of intervals": _width_p_value(runs),
    }


def spread_p_value(standardised: np.ndarray, freedom: np.ndarray) -> float:
    r"""Two-sided p-value of $\sum w^2$ for errors that follow Student's law, but for `SPREAD_SLACK`."""
    tails = stats.t.logsf(np.abs(standardised), freedom)
    total, count = float(np.sum(stats.norm.isf(np.exp(np.maximum(tails, -700.0))) ** 2)), len(tails)
    above = stats.chi2.sf(total / SPREAD_SLACK**2, count)
    below = stats.chi2.cdf(total * SPREAD_SLACK**2, count)
    return float(min(1.0, 2 * min(above, below)))


def _width_p_value(runs: Runs) -> float:
    """Of errors in units of the intervals' ends, over the runs that have an interval."""
    scaled, freedom = [], []
    for run in runs.estimates:
        if run.interval is None:
            continue
        error, degrees = run.log_z - runs.truth, max(run.ess - 1, 1.0)
        width = run.log_z - run.interval[0] if error > 0 else run.interval[1] - run.log_z
        level = run.diagnostics["level"]
        scaled.append(error / width * stats.t.ppf((1 + level) / 2, degrees))
        freedom.append(degrees)
    return spread_p_value(np.array(scaled), np.array(freedom)) if scaled else 1.0


def _held(runs: Runs) -> int:
    """How many intervals hold the truth."""
    return sum(
        run.interval is not None and run.interval[0] <= runs.truth <= run.interval[1]
        for run in runs.estimates
    )


def _mean_of_claim(case: EstimatorCase, runs: Runs) -> tuple[float, float]:
    """Student's t of the mean of what is claimed to be unbiased, and the standard error of that mean."""
    error = runs.error
    sign = {"Z": 1, "1/Z": -1, "log Z": 0}[case.unbiased_for]
    excess = np.expm1(sign * error) if sign else error
    spread = float(excess.std(ddof=1)) / math.sqrt(len(error))
    return float(excess.mean()) / spread, spread
