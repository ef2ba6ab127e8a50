"""Points that stand for the target stay at rest; others drift, and then there is no interval."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from ebm_ppl.annealing import GeometricPath, as_path
from ebm_ppl.energies import Funnel, Gaussian
from ebm_ppl.partition import (
    AnnealingSchedule,
    SlowMixingWarning,
    annealed_importance_sampling,
    reverse_annealed_importance_sampling,
    sequential_monte_carlo,
)
from ebm_ppl.partition._moves import moves_along
from ebm_ppl.partition._rest import FALSE_ALARM_RATE, drift_p_value

KEY = jax.random.key(0)
SCHEDULE = AnnealingSchedule(jnp.asarray([0.0, 1.0]), jnp.asarray([0.3]))
PATH = as_path(Gaussian(np.zeros(2), np.eye(2)), None)
MOVES = moves_along(None, 1, PATH)


def p_value(points, log_weights=None, seed=0):
    """Of points of shape `(groups, size, 2)`."""
    weights = np.zeros(len(points)) if log_weights is None else log_weights
    return drift_p_value(PATH, MOVES, SCHEDULE, points, weights, jax.random.key(seed))


def normal(scale, groups=40, size=10, seed=0):
    return scale * jax.random.normal(jax.random.key(seed), (groups, size, 2))


def test_draws_of_a_law_on_the_way_are_at_rest_there_alone():
    """Below 1e-8 by chance in at most as many tests; at the end the spread is off by a quarter."""
    path = GeometricPath(
        Gaussian(np.zeros(2), 0.25 * np.eye(2)), dist.Normal(0.0, 1.0).expand((2,))
    )
    points, weights = normal(2.5**-0.5, groups=100), np.zeros(100)  # the precision halfway is 2.5
    there, at_the_end = (
        drift_p_value(path, MOVES, SCHEDULE, points, weights, KEY, place) for place in (0.5, 1.0)
    )
    assert there > 1e-8
    assert at_the_end < FALSE_ALARM_RATE


def test_exact_draws_are_at_rest():
    """Of 100 p-values one is below 1e-4 in less than 1% of such tests; below 1e-8 in 1e-6."""
    p_values = [p_value(normal(1.0, seed=seed), seed=100 + seed) for seed in range(100)]
    assert min(p_values) > 1e-8
    assert np.mean(np.array(p_values) > 0.05) > 0.8


@pytest.mark.parametrize("scale", [0.7, 1.4])
def test_draws_of_a_narrower_or_wider_law_drift(scale):
    """Each is more than ten standard errors away."""
    assert p_value(normal(scale)) < FALSE_ALARM_RATE


def test_draws_that_share_a_group_count_once():
    """Twenty copies of one draw are one: taken for twenty they would drift by chance."""
    few = jnp.repeat(normal(1.0, groups=30, size=1), 20, axis=1)
    assert p_value(few) > 1e-3


def test_weights_are_heeded():
    points = normal(1.3, groups=1_000, size=1)
    log_weights = np.asarray(-0.5 * jnp.sum(points[:, 0] ** 2, -1) * (1 - 1 / 1.3**2), float)
    assert p_value(points, log_weights) > 1e-3
    assert p_value(points) < FALSE_ALARM_RATE


def test_few_weights_say_nothing():
    assert p_value(normal(0.1, groups=20), np.array([0.0] + 19 * [-50.0])) == 1


def test_draws_of_another_law_give_no_reverse_interval():
    draws = 0.6 * jax.random.normal(KEY, (500, 2))
    schedule = AnnealingSchedule(jnp.linspace(0.0, 1.0, 4), jnp.full(3, 0.3))
    with pytest.warns(SlowMixingWarning, match=r"are not at rest.*`num_steps`"):
        estimate = reverse_annealed_importance_sampling(
            PATH.energy, draws, KEY, schedule=schedule, num_steps=1
        )
    assert estimate.interval is None
    assert estimate.diagnostics["rest_p_value"] < FALSE_ALARM_RATE


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_funnel_is_not_reached_at_defaults_and_the_estimate_says_so(seed):
    """The estimate is 0.25 to 0.8 too low, with standard errors that do not tell."""
    with pytest.warns(SlowMixingWarning):
        estimate = sequential_monte_carlo(Funnel(dim=10, scale=3.0), jax.random.key(seed))
    assert estimate.interval is None


@pytest.mark.slow
def test_healthy_runs_have_intervals():
    energy = Gaussian([1.0, -1.0], [[0.5, 0.2], [0.2, 1.0]])
    for run in (sequential_monte_carlo, annealed_importance_sampling):
        assert run(energy, KEY).interval is not None
