"""Planted bugs in stated errors: too large, too small, or not of the estimate at all."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.cases.estimators.importance_sampling import WORK, estimate
from ebm_ppl.validation.controls._estimator import EstimatorControl, restated
from ebm_ppl.validation.partition_problems import normal_log_z


def _of_one_weight(rng_key: PRNGKey) -> LogPartitionEstimate:
    """The deviation of the weights stands for that of their mean."""
    correct = estimate(rng_key)
    root = len(correct.diagnostics["log_weights"]) ** 0.5
    return restated(correct, error=root * correct.std_error, widening=root)


def _three_times(rng_key: PRNGKey) -> LogPartitionEstimate:
    """Error and interval are three times too large."""
    correct = estimate(rng_key)
    return restated(correct, error=3 * correct.std_error, widening=3)


def _fixed_width(rng_key: PRNGKey) -> LogPartitionEstimate:
    """The interval reaches 2 to either side, whatever the error."""
    correct = estimate(rng_key)
    ends = (correct.log_z - 2, correct.log_z + 2)
    return LogPartitionEstimate(
        correct.log_z, correct.std_error, ends, correct.ess, correct.diagnostics
    )


def _short(rng_key: PRNGKey) -> LogPartitionEstimate:
    """The interval is 30% too short, the standard error right."""
    correct = estimate(rng_key)
    return restated(correct, widening=0.7)


def _nearly_right(rng_key: PRNGKey) -> LogPartitionEstimate:
    """Error and interval two percent too large."""
    correct = estimate(rng_key)
    return restated(correct, error=1.02 * correct.std_error, widening=1.02)


CONTROLS = (
    EstimatorControl(
        "standard error without the root of n",
        "the deviation of weights is taken for that of their mean",
        EstimatorCase("control", _of_one_weight, normal_log_z, "Z"),
    ),
    EstimatorControl(
        "standard error three times too large",
        "errors are a third of what is stated, so nobody learns what a run was worth",
        EstimatorCase("control", _three_times, normal_log_z, "Z"),
    ),
    EstimatorControl(
        "half-width of 2",
        "the interval always reaches 2 to either side",
        EstimatorCase("control", _fixed_width, normal_log_z, "Z"),
    ),
    EstimatorControl(
        "interval 30% too short",
        "the interval covers 83% where it says 95%",
        EstimatorCase("control", _short, normal_log_z, "Z"),
    ),
    EstimatorControl(
        "errors stated two percent too large",
        "an error that is itself an estimate may be off by a few percent",
        EstimatorCase("control", _nearly_right, normal_log_z, "Z", WORK),
        equivalent=True,
    ),
)
