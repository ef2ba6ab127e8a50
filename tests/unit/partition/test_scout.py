"""Scouts name mass that no chain has reached, and hold their tongue where all of it was reached."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from ebm_ppl.energies import Funnel, Gaussian, GaussianMixture, Ising, Ring, from_callable
from ebm_ppl.partition import (
    MissedModeWarning,
    _scout,
    estimate_from_log_weights,
    importance_sampling,
    sequential_monte_carlo,
)
from ebm_ppl.partition._scout import at_scouts


def mixture(loc, scale, share=0.5):
    """A standard normal law in the plane and another one, with log Z = log 2 pi."""
    covariances = np.stack([np.eye(2), scale**2 * np.eye(2)])
    return GaussianMixture([1 - share, share], [[0.0, 0.0], loc], covariances)


def judged(energy, points, log_z, **options):
    """What scouts make of an estimate, whose points are given."""
    estimate = estimate_from_log_weights(log_z + 0.01 * np.random.default_rng(0).normal(size=100))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = at_scouts(estimate, energy, jnp.asarray(points), **options)
    missed = [one for one in said if issubclass(one.category, MissedModeWarning)]
    assert bool(missed) == (result.interval is None)
    return result, missed


NORMAL = np.random.default_rng(5).normal(size=(1000, 2))


@pytest.mark.parametrize(
    ("loc", "scale", "share"),
    [
        ([30.0, 5.0], 0.3, 0.5),
        ([-200.0, 100.0], 1.0, 0.1),
        ([34.0, -5.0], 7.0, 0.2),
        ([0.0, 900.0], 3.0, 0.9),
        ([5.0, 3.0], 0.2, 0.5),
    ],
)
def test_a_mode_that_no_point_is_near_is_named(loc, scale, share):
    log_z = np.log(2 * np.pi * (1 - share))
    result, missed = judged(mixture(loc, scale, share), NORMAL, log_z)
    assert len(missed) == 1
    np.testing.assert_allclose(result.diagnostics["missed_mode"], loc, atol=0.3 * scale)
    there = float(str(missed[0].message).split()[1])
    assert there == pytest.approx(share / (1 - share), rel=0.05)


def test_a_mode_with_a_kink_is_named():
    """Half of the mass is that of a law of Laplace's, 60 away."""

    def energy(x):
        return -jnp.logaddexp(
            -jnp.sum(jnp.abs(x)), -jnp.sum(jnp.abs(x - 60.0)) / 0.5 + jnp.log(4.0)
        )

    points = np.random.default_rng(7).laplace(size=(1000, 2))
    result, missed = judged(from_callable(energy, (2,)), points, np.log(4.0))
    assert len(missed) == 1
    np.testing.assert_allclose(result.diagnostics["missed_mode"], 60.0, atol=0.1)


def test_one_mode_of_forty_is_missed():
    rng = np.random.default_rng(11)
    locs = rng.uniform(-40, 40, (40, 2))
    energy = GaussianMixture(np.full(40, 1 / 40), locs, np.broadcast_to(np.eye(2), (40, 2, 2)))
    points = locs[np.arange(2000) % 39] + rng.normal(size=(2000, 2))
    alone = np.linalg.norm(locs[39] - locs[:39], axis=1).min()
    assert alone > 4
    result, missed = judged(energy, points, np.log(2 * np.pi * 39 / 40))
    assert len(missed) == 1
    np.testing.assert_allclose(result.diagnostics["missed_mode"], locs[39], atol=0.3)


def test_without_second_derivatives_there_is_no_look():
    def energy(x):
        value = jax.ShapeDtypeStruct((), x.dtype)
        return jax.pure_callback(lambda x: 0.5 * np.sum(x**2), value, x, vmap_method="sequential")

    proposal = dist.Normal(0.0, 1.5).expand((2,)).to_event(1)
    estimate = importance_sampling(
        from_callable(energy, (2,)), proposal, jax.random.key(0), num_draws=500
    )
    assert estimate.interval is not None


def test_no_mode_is_missed_where_points_are():
    energy = mixture([30.0, 5.0], 0.3)
    points = np.where(np.arange(1000)[:, None] % 2, NORMAL, [30.0, 5.0] + 0.3 * NORMAL)
    assert judged(energy, points, np.log(2 * np.pi))[1] == []
    weights = np.where(np.arange(1000) % 2, 0.0, -30.0)  # its points hardly count
    assert judged(energy, points, np.log(np.pi), log_weights=weights)[1] != []


def test_the_reference_of_a_centred_energy_is_put_back():
    energy = mixture([30.0, 5.0], 0.3, share=0.001)
    assert judged(energy, NORMAL, np.log(2 * np.pi))[1] == []
    # An estimate of a hundredth, with the energy as it is, makes a hundred thousandth of it weigh more.
    assert judged(energy, NORMAL, np.log(2 * np.pi) - 5.0)[1] != []
    assert judged(energy, NORMAL, np.log(2 * np.pi) - 5.0, reference=5.0)[1] == []


def _ring_points():
    rng = np.random.default_rng(3)
    angle, radius = rng.uniform(0, 2 * np.pi, 1000), 2.0 + 0.5 * rng.normal(size=1000)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def _funnel_points():
    rng = np.random.default_rng(4)
    v = 3.0 * rng.normal(size=(1000, 1))
    return np.concatenate([v, np.exp(v / 2) * rng.normal(size=(1000, 9))], 1)


def _heavy(x):
    return 1.5 * jnp.log1p(jnp.sum(x**2))


@pytest.mark.parametrize(
    ("energy", "points", "log_z"),
    [
        (Ring(2.0, 0.5), _ring_points(), 2.5),
        (Funnel(10, 3.0), _funnel_points(), 5 * np.log(2 * np.pi) + np.log(3.0)),
        (
            from_callable(_heavy, (2,)),
            NORMAL / np.random.default_rng(6).gamma(0.5, 2, (1000, 1)),
            1.8,
        ),
        (from_callable(lambda x: jnp.sum(jnp.abs(x)), (2,)), NORMAL, np.log(4.0)),
    ],
)
def test_odd_shapes_are_no_missed_modes(energy, points, log_z):
    assert judged(energy, points, log_z)[1] == []


def test_states_and_many_coordinates_are_not_looked_at():
    assert judged(Ising((3, 3), 0.2), np.ones((20, 3, 3)), 7.0)[1] == []
    many = Gaussian(np.zeros(65), np.eye(65))
    assert judged(many, 50.0 + np.zeros((20, 65)), 0.0)[1] == []


def test_estimators_ask_them(monkeypatch):
    energy = mixture([200.0, 50.0], 2.0)
    proposal = dist.Normal(0.0, 2.0).expand((2,)).to_event(1)
    for estimate in (
        lambda: sequential_monte_carlo(energy, jax.random.key(0), num_particles=100, num_runs=10),
        lambda: importance_sampling(energy, proposal, jax.random.key(0), num_draws=1000),
    ):
        with pytest.warns(MissedModeWarning, match=r"lies near x = \(200, 50\)"):
            assert estimate().interval is None
    monkeypatch.setattr(_scout, "_SHARE", 1e9)  # the planted bug: nobody looks
    blind = sequential_monte_carlo(energy, jax.random.key(0), num_particles=100, num_runs=10)
    assert blind.interval is not None
    assert blind.interval[1] < np.log(2 * np.pi)
