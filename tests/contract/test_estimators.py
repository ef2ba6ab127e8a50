"""Estimators of log Z keep their claims, and the check of these claims catches estimators that do not."""

import inspect

import jax
import numpy as np
import pytest

from ebm_ppl import partition
from ebm_ppl.partition import LogPartitionEstimate
from ebm_ppl.validation import cases, controls
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.checks.partition import honest_error, spread_p_value
from ebm_ppl.validation.estimator_jobs import judge_estimator_control
from ebm_ppl.validation.jobs import key_for

CASES = cases.discover_estimators()
CONTROLS = controls.discover_estimators()
ERROR = 0.01


def synthetic(offset=0.0, claimed=ERROR, factor=1.0):
    """An estimator whose errors are normal: offset and claimed error can be wrong, intervals too short."""

    def estimate(key):
        log_z = 3.0 + offset + ERROR * float(jax.random.normal(key))
        half_width = factor * 1.96 * claimed
        ends = (log_z - half_width, log_z + half_width)
        return LogPartitionEstimate(log_z, claimed, ends, 100.0, {"level": 0.95})

    return EstimatorCase("synthetic", estimate, lambda: 3.0, "log Z")


def test_an_honest_estimator_passes():
    result = honest_error(synthetic(), jax.random.key(0))
    assert result.passed
    assert result.false_alarm_rate == 1e-7


@pytest.mark.parametrize(
    ("case", "test"),
    [
        (synthetic(offset=ERROR), "mean of log Z"),
        (synthetic(offset=ERROR), "mean of standardised errors"),
        (synthetic(factor=0.5), "coverage"),
        (synthetic(claimed=0.4 * ERROR), "coverage"),
        (synthetic(claimed=10 * ERROR), "spread of standardised errors"),
        (synthetic(claimed=3 * ERROR), "spread of standardised errors"),
        (synthetic(claimed=3 * ERROR), "width of intervals"),
        (synthetic(factor=2 / (1.96 * ERROR)), "width of intervals"),
        (synthetic(factor=0.7), "width of intervals"),
    ],
    ids=[
        "one error off",
        "one error off, standardised",
        "short intervals",
        "small errors",
        "errors of one draw",
        "errors three times too large",
        "intervals three times too wide",
        "half-width of 2",
        "intervals 30% too short",
    ],
)
def test_a_dishonest_one_is_caught(case, test):
    """Each is rejected with a probability above 0.98; the test that has to see it, sees it."""
    result = honest_error(case, jax.random.key(0))
    assert not result.passed
    assert result.components[test] < 1e-7 / 10


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_a_few_percent_off_pass(factor):
    assert honest_error(synthetic(claimed=factor * ERROR), jax.random.key(0)).passed


@pytest.mark.parametrize("freedom", [5, 15, 1_000])
def test_the_law_of_the_spread_is_that_of_students_errors(freedom):
    """At the slack's end one p-value in ten is below 0.2; of 2,000 more than 14% are in 1e-8 of runs."""
    rng = np.random.default_rng(0)
    p_values = [
        spread_p_value(1.05 * rng.standard_t(freedom, 100), np.full(100, float(freedom)))
        for _ in range(2_000)
    ]
    assert np.mean(np.array(p_values) < 0.2) < 0.14
    assert min(p_values) > 1e-7


def test_the_spread_of_errors_beyond_all_floats_is_no_number_that_passes():
    assert spread_p_value(np.array([1e300] * 10), np.full(10, 1e4)) < 1e-100


def test_runs_without_an_interval_do_not_cover():
    def estimate(key):
        return LogPartitionEstimate(3.0 + float(jax.random.normal(key)), 1.0, None, 1.0, {})

    result = honest_error(EstimatorCase("none", estimate, lambda: 3.0, "log Z"), jax.random.key(0))
    assert result.components["coverage"] < 1e-50
    assert not result.passed


def test_every_public_estimator_has_a_case():
    public = {
        name
        for name, member in vars(partition).items()
        if inspect.isfunction(member) and "rng_key" in inspect.signature(member).parameters
    } - {"adaptive_schedule", "fit_base"} | {
        "exchange_estimate"
    }  # which has its randomness from a run
    assert {name.split(",")[0] for name in CASES} == public


def test_a_log_z_is_the_sum_over_all_states():
    case = CASES["sequential_monte_carlo"]
    machine = validation_machine()
    assert case.truth() == pytest.approx(partition.EnumerationNormalizer().exact(machine))
    assert np.isfinite(case.truth())


def validation_machine():
    from ebm_ppl.validation.partition_problems import machine

    return machine()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_claims_hold(name):
    """False alarms: 1e-7 each."""
    result = honest_error(CASES[name], key_for(1, "estimator", name))
    assert result.passed, result.detail


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_planted_bugs_are_caught(name):
    result = judge_estimator_control(CONTROLS[name], 1)
    assert result.passed, result.detail
