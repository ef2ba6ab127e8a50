"""The promises of the error budget: levels, powers, and how p-values are joined."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ebm_ppl.validation.checks import error_rates

NUM_REPLICATIONS = 20_000
CRITICAL = 5.6
"""Standard errors: a false alarm in 2.2e-8 of runs; a power that is 0.5 points off is seen with 97%."""


def test_a_check_and_a_report_keep_within_the_budget():
    assert error_rates.SEQUENTIAL_LEVEL <= 2.1e-7
    # a full report: 13 energies x 5 exact kernels in two calibrated checks each, and 6 variants
    spent = 13 * 5 * (error_rates.SEQUENTIAL_LEVEL + error_rates.SINGLE_LEVEL)
    assert spent + 6 * error_rates.SEQUENTIAL_LEVEL <= error_rates.REPORT_BUDGET


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=10))
def test_bonferroni_is_the_smallest_p_value_times_their_number(p_values):
    joined = error_rates.bonferroni({str(i): p for i, p in enumerate(p_values)})
    assert joined == pytest.approx(min(1.0, len(p_values) * min(p_values)))


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_test_that_broke_does_not_pass(broken):
    assert error_rates.bonferroni({"fine": 0.7, "broken": broken}) == 0.0
    assert error_rates.two_sided_p_value(broken) == 0.0


def test_no_tests_at_all_do_not_pass():
    assert error_rates.bonferroni({}) == 0.0


def test_the_detectable_component_has_the_stated_power():
    num_draws, num_tests, num_components, level = 1000, 24, 6, 1e-3
    shift = error_rates.detectable_component(num_draws, level, num_tests, num_components)
    means = np.random.default_rng(0).normal(size=(NUM_REPLICATIONS, num_components))
    means[:, 0] += shift * math.sqrt(num_draws)
    p_values = stats.chi2.sf(np.sum(means**2, axis=1), num_components)
    power = np.mean(p_values < level / num_tests)
    assert abs(power - 0.99) < CRITICAL * math.sqrt(0.99 * 0.01 / NUM_REPLICATIONS)


def test_the_detectable_distance_has_at_least_the_stated_power():
    num_draws, level = 2000, 1e-3
    distance = error_rates.detectable_ks(num_draws, level, 1)
    rng = np.random.default_rng(1)
    rejections = 0
    for _ in range(500):
        # a uniform law with `distance` of its mass moved from the right end to a point
        u = rng.uniform(size=num_draws)
        u = np.where(rng.uniform(size=num_draws) < distance, 0.0, u)
        rejections += stats.kstest(u, "uniform").pvalue < level
    assert rejections / 500 >= 0.99 - CRITICAL * math.sqrt(0.99 * 0.01 / 500)


def test_more_draws_see_less():
    shifts = [error_rates.detectable_component(n, 1e-3, 24, 6) for n in (10**3, 10**4, 10**5)]
    np.testing.assert_allclose(np.diff(np.log10(shifts)), -0.5, atol=1e-6)
