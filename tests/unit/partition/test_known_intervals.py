"""Intervals and weights that a pocket calculator gives: no chain, no draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ebm_ppl.annealing import as_path
from ebm_ppl.energies import Quartic
from ebm_ppl.partition import AnnealingSchedule, _anneal
from ebm_ppl.partition._exchange_estimate import _bridges
from ebm_ppl.partition._kronrod import kronrod
from ebm_ppl.partition._moves import CompensatedSum, moves_along
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


def test_ladders_that_were_learned_alone_are_chains_of_their_own():
    rng = np.random.default_rng(0)
    guesses, up, down = rng.uniform(0.2, 0.8, (3, 4, 2))
    own = guesses + np.log(up / down)
    steps, deviations = _bridges(guesses, up, down)
    np.testing.assert_allclose(steps, own.mean(axis=0))
    np.testing.assert_allclose(deviations, own.sum(axis=1) - own.sum() / 4)
    # Ladders that share their guesses are joined before the logarithm; a chain's part is linear.
    steps, deviations = _bridges(guesses[0], up, down)
    np.testing.assert_allclose(steps, guesses[0] + np.log(up.mean(axis=0) / down.mean(axis=0)))
    moved = up + 1e-6 * np.eye(4)[:, :1]
    slope = (_bridges(guesses[0], moved, down)[0] - steps).sum() / 1e-6
    np.testing.assert_allclose(slope, (0.25 / up.mean(axis=0)).sum(), rtol=1e-4)
    np.testing.assert_allclose(deviations.sum(), 0.0, atol=1e-12)


def test_the_way_back_takes_the_steps_of_the_way_there_in_turn(monkeypatch):
    """Moves stand at all temperatures but the first; those at the last one come before it on the way back."""
    seen = []
    nothing = jnp.zeros(3)

    def spy(_path, _moves, ladder, sizes, *_):
        seen.append((ladder, sizes))
        return CompensatedSum(nothing, nothing), nothing, nothing

    monkeypatch.setattr(_anneal, "_anneal", spy)
    path = as_path(Quartic(), None)
    ladder, sizes = jnp.linspace(0.0, 1.0, 5), jnp.array([0.1, 0.2, 0.3, 0.4])
    schedule = AnnealingSchedule(ladder, sizes)
    moves = moves_along(None, 1, path)
    with jax.disable_jit():
        _anneal.reverse_log_weights(path, moves, schedule, jax.random.key(0), jnp.zeros(3))
    ((backwards, sizes_back),) = seen
    np.testing.assert_allclose(backwards, ladder[::-1])
    np.testing.assert_allclose(sizes_back, [0.3, 0.2, 0.1, 0.1])
