"""A second base law refutes estimates that lack mass, and lets the others stand."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl.energies import Funnel, Gaussian, Ising
from ebm_ppl.partition import SlowMixingWarning, estimate_from_log_weights
from ebm_ppl.partition._second_base import _cut_mean, at_second_base

FUNNEL, LOG_Z = Funnel(5, 2.0), 2.5 * np.log(2 * np.pi) + np.log(2.0)


def examined(energy, points, log_z, error=0.02):
    weights = log_z + error * np.sqrt(200) * np.random.default_rng(0).normal(size=200)
    estimate = estimate_from_log_weights(weights)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = at_second_base(estimate, energy, jnp.asarray(points), jax.random.key(1))
    assert any(one.category is SlowMixingWarning for one in said) == (result.interval is None)
    return result


def points(longest):
    """Draws of the funnel whose axis is within some standard deviations."""
    rng = np.random.default_rng(4)
    v = 2.0 * rng.normal(size=(20_000, 1))
    x = np.concatenate([v, np.exp(v / 2) * rng.normal(size=(20_000, 4))], axis=1)
    return x[np.abs(x[:, 0]) < longest][:2_000]


def test_an_estimate_without_the_neck_is_refuted():
    assert examined(FUNNEL, points(1.5), LOG_Z - 0.6).interval is None


def test_a_right_estimate_stands():
    result = examined(FUNNEL, points(50.0), LOG_Z)
    assert result.interval is not None
    assert result.diagnostics["second_log_z"] == pytest.approx(LOG_Z, abs=0.15)


def test_a_poor_second_law_refutes_nobody():
    """It lacks mass itself: an estimate that is far above it is not asked."""
    result = examined(FUNNEL, points(1.5), LOG_Z + 2.0)
    assert result.diagnostics["second_log_z"] < LOG_Z + 1.0
    assert result.interval is not None


def test_states_have_no_second_law():
    """Nor have three points. Estimates this low would be refuted by any."""
    spins = 2.0 * np.random.default_rng(5).integers(2, size=(50, 3, 3)) - 1.0
    assert examined(Ising((3, 3), 0.2), spins, -50.0).interval is not None
    few = np.random.default_rng(5).normal(size=(3, 2))
    assert examined(Gaussian(np.zeros(2), np.eye(2)), few, -50.0).interval is not None


def test_one_large_weight_is_cut():
    log_z, error = _cut_mean(np.concatenate([np.zeros(9_999), [20.0]]))
    whole = np.log((9_999 + np.exp(20.0)) / 10_000)
    assert log_z < whole - 2
    assert error > 0.5
