"""Planted bugs in estimates of log Z from replica exchange."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, exchange_estimate
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.cases.estimators.exchange_estimate import run
from ebm_ppl.validation.controls._estimator import EstimatorControl, restated
from ebm_ppl.validation.partition_problems import machine_log_z


def _one_way(rng_key: PRNGKey) -> LogPartitionEstimate:
    """The colder laws' shares are taken for those of the hotter ones."""
    state = run(rng_key)
    record = state.record._replace(down=1 - state.record.up)
    return exchange_estimate(state._replace(record=record))


def _without_base(rng_key: PRNGKey) -> LogPartitionEstimate:
    """The base law is taken for normalised, which coins that are only weighed are not."""
    state = run(rng_key)
    ladder = state.ladder._replace(log_z_base=0.0 * state.ladder.log_z_base)
    return exchange_estimate(state._replace(ladder=ladder))


def _error_of_the_sum(rng_key: PRNGKey) -> LogPartitionEstimate:
    """The spread of chains is divided by their number instead of its root."""
    correct = exchange_estimate(run(rng_key))
    share = correct.ess**-0.5
    return restated(correct, error=share * correct.std_error, widening=share)


CONTROLS = tuple(
    EstimatorControl(
        name, wrong_because, EstimatorCase("control", run_once, machine_log_z, "log Z")
    )
    for name, wrong_because, run_once in (
        (
            "bridge with one foot",
            "the shares of the colder law are taken from draws of the hotter one",
            _one_way,
        ),
        (
            "bridge from nowhere",
            "the base law's own normaliser is left out",
            _without_base,
        ),
        (
            "error of chains divided by their number",
            "the spread of chains is divided by their number instead of its root",
            _error_of_the_sum,
        ),
    )
)
