"""What a control of an estimator is."""

import dataclasses

from ebm_ppl.partition import LogPartitionEstimate
from ebm_ppl.validation.cases import EstimatorCase


@dataclasses.dataclass(frozen=True)
class EstimatorControl:
    """An estimator of log Z with one planted bug, or a variant that only looks like one.

    Attributes:
        name: Name in the report.
        wrong_because: What is wrong, in one sentence; for an equivalent variant, why nothing is.
        case: The estimator, with the claims that it (wrongly) makes.
        equivalent: Whether it is correct after all and must pass.
        quick: Whether the quick report runs it.
    """

    name: str
    wrong_because: str
    case: EstimatorCase
    equivalent: bool = False
    quick: bool = False


def restated(
    correct: LogPartitionEstimate,
    *,
    shift: float = 0.0,
    error: float | None = None,
    widening: float = 1.0,
) -> LogPartitionEstimate:
    """An estimate that says something else; one without an interval stays without.

    Args:
        correct: The estimate.
        shift: What is added to log Z and the ends of the interval.
        error: Its standard error; by default the correct one.
        widening: How many times as wide the interval is.

    Returns:
        The estimate that a control returns.
    """

    def moved(end: float) -> float:
        return correct.log_z + widening * (end - correct.log_z) + shift

    interval = correct.interval
    return dataclasses.replace(
        correct,
        log_z=correct.log_z + shift,
        std_error=correct.std_error if error is None else error,
        interval=None if interval is None else (moved(interval[0]), moved(interval[1])),
    )
