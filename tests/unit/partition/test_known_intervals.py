"""Intervals and weights that a pocket calculator gives: no chain, no draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ebm_ppl.partition._kronrod import kronrod
from ebm_ppl.partition._resampling import systematic_resample
from ebm_ppl.partition._thermodynamic import estimate_from_ladders

ENSEMBLES = np.array([-1.0, 0.5, 2.0, 2.5])


@pytest.mark.parametrize("scale", [0.01, 1.0])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_of_ladders_is_that_of_students_law(scale, level):
    """An integrand that is constant in the temperature is its own integral, without quadrature's error."""
    means = np.broadcast_to(scale * ENSEMBLES, (15, 4))
    estimate = estimate_from_ladders(means, (1, 1.0), 0.25, level, {})
    error = stats.sem(scale * ENSEMBLES)
    expected = stats.t.interval(level, 3, loc=scale + 0.25, scale=error)
    assert estimate.log_z == pytest.approx(scale + 0.25)
    assert estimate.std_error == pytest.approx(error)
    assert estimate.interval == pytest.approx(expected)
    assert estimate.ess == 4.0


def test_the_interval_of_ladders_grows_by_what_the_rules_disagree():
    """A jump, on which both rules are wrong: with equal ensembles there is no other error."""
    nodes, fine, coarse = kronrod(1, 1.0)
    jump = (nodes > 0.3).astype(float)
    estimate = estimate_from_ladders(np.stack([jump, jump], axis=1), (1, 1.0), 0.0, 0.95, {})
    gap = abs((fine - coarse) @ jump)
    assert gap > 1e-3
    assert estimate.interval == pytest.approx((fine @ jump - gap, fine @ jump + gap))


@pytest.mark.parametrize("constant", [-1e4, 1e4])
def test_resampling_knows_log_weights_up_to_a_constant(constant):
    log_weights = jnp.array([0.0, 1.0, -0.5, 2.0, 0.25])
    chosen = systematic_resample(jax.random.key(0), log_weights)
    assert len(set(chosen.tolist())) > 1
    shifted = systematic_resample(jax.random.key(0), log_weights + constant)
    assert shifted.tolist() == chosen.tolist()
