"""What an estimator of log Z makes of its evaluations, against the best of its kind."""

import math

import numpy as np
from jaxtyping import Float
from scipy import stats

from ebm_ppl.validation.cases import Work
from ebm_ppl.validation.checks.error_rates import POWER, SINGLE_LEVEL
from ebm_ppl.validation.results import CheckResult, Question, Verdict

MOST_WASTE = 4.0
"""Variance, at the same number of evaluations, in units of that of the best of its kind, that is allowed."""


def efficiency(
    work: Work, error: Float[np.ndarray, " runs"], *, question: Question = Question.ESTIMATION
) -> CheckResult:
    r"""Hold the variance of an estimator's $\log \hat Z$ against that of the best of its kind.

    An interval may be honest and far wider than it had to be: that of an estimator which throws nine tenths
    of its draws away, say. With the variance $v$ of $\log \hat Z$ and $n$ evaluations in a run, $v n$ tells
    what one evaluation is worth, whatever their number. It is known of the best of the kind, and an estimator
    is rejected that has more than `MOST_WASTE` times as much, by the $\chi^2$ law of the variance among runs.

    Args:
        work: What a run of the estimator costs, and what the best of its kind makes of that.
        error: Errors of $\log \hat Z$ in independent runs.
        question: Under which heading the result is reported.

    Returns:
        The verdict.
    """
    count, level = len(error), SINGLE_LEVEL / 2
    p_value = waste_p_value(work, error)
    critical = MOST_WASTE * float(stats.chi2.isf(level, count - 1)) / (count - 1)
    seen = critical * (count - 1) / float(stats.chi2.isf(POWER, count - 1))
    best = math.sqrt(work.kind.best / work.evaluations)
    return CheckResult(
        check="efficiency",
        question=question,
        verdict=Verdict.PASS if p_value >= level else Verdict.FAIL,
        statistic=_waste(work, error),
        statistic_name="variance of log Z times evaluations, in units of the best of its kind",
        sample_size=count,
        detectable=f"{seen:.2g} times the variance of the best of its kind",
        false_alarm_rate=SINGLE_LEVEL,
        bound=critical,
        p_value=p_value,
        detail=(
            f"log Z has a standard deviation of {error.std(ddof=1):.2g} after {work.evaluations:,} "
            f"evaluations, and of {best:.2g} with the best that is known of {work.kind.name}"
        ),
        seconds=0.0,
    )


def waste_p_value(work: Work, error: Float[np.ndarray, " runs"]) -> float:
    """How likely a variance as large as this is if no more than `MOST_WASTE` allows is wasted."""
    freedom = len(error) - 1
    return float(stats.chi2.sf(_waste(work, error) / MOST_WASTE * freedom, freedom))


def _waste(work: Work, error: Float[np.ndarray, " runs"]) -> float:
    return float(error.var(ddof=1)) * work.evaluations / work.kind.best
