"""Whether an estimator of log Z keeps its claims: no bias, and an error bar that is one."""

import math
import time
import warnings

import jax
import numpy as np
from scipy import stats

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.checks.error_rates import POWER, SINGLE_LEVEL, bonferroni, two_sided_p_value
from ebm_ppl.validation.results import CheckResult, Question, Verdict

NUM_RUNS = 100
LEAST_COVERAGE = 0.92
"""A nominal 95% interval is allowed to be approximate, but not to cover less."""
MEAN_SLACK = 0.15
"""Mean standardised error, in standard errors, that skewness may leave in an unbiased estimate."""


def honest_error(
    case: EstimatorCase, rng_key: PRNGKey, *, question: Question = Question.ESTIMATION
) -> CheckResult:
    r"""Hold independent runs of an estimator against the exact $\log Z$.

    Three tests share the false-alarm rate. The mean of $\hat Z / Z$ is 1 (or that of $Z / \hat Z$, or the
    mean of $\log \hat Z - \log Z$ is 0, as the estimator claims), by a $t$ test. Standardised errors
    have a mean of at most `MEAN_SLACK`. Intervals hold the truth in at least `LEAST_COVERAGE` of the runs, a
    run without an interval being one that does not.

    Coverage alone would not do: a base law whose normaliser is off by two standard errors costs a 95%
    interval half of its coverage, one that is off by half a standard error costs it nothing that 100 runs
    can tell, and is five standard errors away from the mean.

    Args:
        case: The estimator and its claims.
        rng_key: Random key.
        question: Under which heading the result is reported.

    Returns:
        The verdict, with the three p-values among its components.
    """
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of heavy tails: a run that warns has no interval, and counts
        runs = [case.estimate(key) for key in jax.random.split(rng_key, NUM_RUNS)]
    truth = case.truth()
    error = np.array([run.log_z for run in runs]) - truth
    standardised = error / np.array([run.std_error for run in runs])
    held = sum(
        run.interval is not None and run.interval[0] <= truth <= run.interval[1] for run in runs
    )
    sign = {"Z": 1, "1/Z": -1, "log Z": 0}[case.unbiased_for]
    excess = np.expm1(sign * error) if sign else error
    spread = float(excess.std(ddof=1)) / math.sqrt(NUM_RUNS)
    t = float(excess.mean()) / spread
    beyond = max(abs(float(standardised.mean())) - MEAN_SLACK, 0.0)
    shift = beyond / float(standardised.std(ddof=1)) * math.sqrt(NUM_RUNS)
    tests = {
        f"mean of {case.unbiased_for}": float(2 * stats.t.sf(abs(t), NUM_RUNS - 1)),
        "mean of standardised errors": two_sided_p_value(shift),
        "coverage": float(stats.binom.cdf(held, NUM_RUNS, LEAST_COVERAGE)),
    }
    p_value = bonferroni(tests)
    critical = float(stats.t.isf(SINGLE_LEVEL / (2 * len(tests)), NUM_RUNS - 1))
    return CheckResult(
        check="honest error",
        question=question,
        verdict=Verdict.PASS if p_value >= SINGLE_LEVEL else Verdict.FAIL,
        statistic=abs(t),
        statistic_name=f"|t| of the mean of {case.unbiased_for}",
        sample_size=NUM_RUNS,
        detectable=f"{case.unbiased_for} off by {(critical + stats.norm.isf(1 - POWER)) * spread:.2g}",
        false_alarm_rate=SINGLE_LEVEL,
        bound=critical,
        p_value=p_value,
        detail=(
            f"mean error of log Z {error.mean():+.4f}, in standard errors {standardised.mean():+.2f}; "
            f"{held} of {NUM_RUNS} intervals hold the truth"
        ),
        seconds=time.perf_counter() - began,
        components=tests,
    )
