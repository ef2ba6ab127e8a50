"""Scores of anomalies and ratios of densities, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints

from ebm_ppl import NonFiniteEnergyError
from ebm_ppl.energies import (
    ConditionalGaussian,
    Gamma,
    Gaussian,
    Ising,
    NeuralNoiseConditionalEnergy,
    from_callable,
)
from ebm_ppl.quadrature import QuadratureNormalizer, normalize
from ebm_ppl.tasks import _inputs, anomaly_score, log_density_ratio

NORMAL = Gaussian([1.0, -1.0], [[2.0, 0.5], [0.5, 1.0]])
X = np.random.default_rng(0).normal(size=(7, 2))
PRECISION = np.linalg.inv([[2.0, 0.5], [0.5, 1.0]])
DEVIATION = X - [1.0, -1.0]
ENERGY = 0.5 * np.sum(DEVIATION @ PRECISION * DEVIATION, axis=1)
NORM = np.linalg.norm(DEVIATION @ PRECISION, axis=1)
LOG_Z = np.log(2 * np.pi) + 0.5 * np.log(1.75)

LINE = ConditionalGaussian([[2.0]], [0.0], [[4.0]])  # x given y is N(2 y, 4)


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        ("energy", {}, ENERGY),
        ("score_norm", {}, NORM),
        ("energy_and_score", {}, ENERGY + NORM),
        ("energy_and_score", {"radius": 0.1}, ENERGY + 0.1 * NORM),
        ("log_density", {"log_z": LOG_Z}, ENERGY + LOG_Z),
        ("log_density", {"log_z": normalize(NORMAL)}, ENERGY + LOG_Z),
        ("log_density", {"log_z": lambda energy: jnp.asarray(LOG_Z)}, ENERGY + LOG_Z),
    ],
)
def test_scores_of_a_normal_law(method, settings, expected):
    scores = anomaly_score(NORMAL, X, method=method, **settings)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_the_energy_and_the_score_are_the_highest_energy_near_by_to_first_order():
    radius = 1e-2
    angles = np.linspace(0.0, 2 * np.pi, 721)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    near = (X[:, None] + circle - [1.0, -1.0]).reshape(-1, 2)
    highest = (0.5 * np.sum(near @ PRECISION * near, axis=1)).reshape(7, -1).max(axis=1)
    scores = anomaly_score(NORMAL, X, method="energy_and_score", radius=radius)
    np.testing.assert_allclose(scores, highest, atol=2 * radius**2)


def test_each_point_is_scored_under_its_own_condition():
    x, y = np.array([[0.0], [4.0], [4.0]]), np.array([[0.0], [2.0], [1.0]])
    np.testing.assert_allclose(anomaly_score(LINE, x, y=y), [0.0, 0.0, 0.5])
    np.testing.assert_allclose(anomaly_score(LINE, x, y=[2.0]), [2.0, 0.0, 0.0])
    norms = anomaly_score(LINE, x, y=y, method="score_norm")
    np.testing.assert_allclose(norms, [0.0, 0.0, 0.5])


@pytest.mark.parametrize(
    "log_z",
    [
        [1.0, 2.0, 3.0],
        QuadratureNormalizer((-20.0, 20.0), num_intervals=64),
    ],
)
def test_log_densities_under_conditions(log_z):
    x, y = np.array([[0.0], [4.0], [4.0]]), np.array([[0.0], [2.0], [1.0]])
    scores = anomaly_score(LINE, x, y=y, method="log_density", log_z=log_z)
    known = log_z if isinstance(log_z, list) else np.full(3, 0.5 * np.log(2 * np.pi * 4.0))
    np.testing.assert_allclose(scores, np.array([0.0, 0.0, 0.5]) + known, rtol=1e-4)


def test_levels_of_noise_are_one_for_all_points_or_one_for_each():
    energy = NeuralNoiseConditionalEnergy((2,), rng_key=jax.random.key(0))
    sigma = np.array([0.1, 1.0])
    scores = anomaly_score(energy, X[:2], sigma=sigma)
    one_by_one = [float(energy(x, sigma=s)) for x, s in zip(X, sigma, strict=False)]
    np.testing.assert_allclose(scores, one_by_one, rtol=1e-5)
    assert float(anomaly_score(energy, X[:2], sigma=0.1)[0]) == pytest.approx(
        one_by_one[0], rel=1e-5
    )


def test_points_outside_the_support_are_infinitely_anomalous():
    energy = Gamma(3.0, 1.0)
    for method in ("energy", "score_norm", "energy_and_score"):
        scores = anomaly_score(energy, [-1.0, 2.0], method=method)
        assert np.isinf(scores[0])
        assert np.isfinite(scores[1])


def test_many_points_are_scored_in_chunks_of_one_program(monkeypatch):
    monkeypatch.setattr(_inputs, "CHUNK", 3)
    np.testing.assert_allclose(anomaly_score(NORMAL, X), ENERGY, rtol=1e-5)
    x, y = np.arange(7.0)[:, None], 0.5 * np.arange(7.0)[:, None]
    np.testing.assert_allclose(anomaly_score(LINE, x, y=y), np.zeros(7))


@pytest.mark.parametrize(
    ("energy", "x", "settings", "message"),
    [
        (NORMAL, X[0], {}, r"shape \(num, 2\) with num >= 1; got \(2,\). One point"),
        (NORMAL, X[:0], {}, r"num >= 1; got \(0, 2\)"),
        (NORMAL, X[:, :1], {}, r"shape \(num, 2\)"),
        (NORMAL, X * np.nan, {}, "`x` must be finite everywhere"),
        (NORMAL, X * 1e300, {}, "`x` must be finite everywhere"),
        (NORMAL, X, {"method": "mass"}, "`method` must be one of"),
        (NORMAL, X, {"method": "log_density"}, "`log_z` must be given"),
        (NORMAL, X, {"log_z": 1.0}, "`log_z` must be None"),
        (NORMAL, X, {"radius": 1.0}, "`radius` must be None"),
        (NORMAL, X, {"method": "energy_and_score", "radius": -1.0}, "`radius` must be a finite"),
        (NORMAL, X, {"method": "log_density", "log_z": np.inf}, "`log_z` must be finite"),
        (NORMAL, X, {"method": "log_density", "log_z": np.ones(7)}, r"`log_z` of shape \(\)"),
        (NORMAL, X, {"y": [1.0]}, "`y` must be None for Gaussian"),
        (NORMAL, X, {"sigma": 1.0}, "`sigma` must be None for Gaussian"),
        (LINE, X[:, :1], {}, "`y` must be of shape"),
        (LINE, X[:, :1], {"y": [[1.0], [2.0]]}, r"`y` of shape \(1,\), or \(7, 1\)"),
        (LINE, X[:, :1], {"y": [np.nan]}, "`y` must be finite"),
        (LINE, X[:, :1], {"y": [1.0], "sigma": 1.0}, "`sigma` must be None"),
    ],
)
def test_what_cannot_be_scored_is_refused(energy, x, settings, message):
    with pytest.raises(ValueError, match=message):
        anomaly_score(energy, x, **settings)


def test_what_is_no_energy_is_refused():
    with pytest.raises(TypeError):
        anomaly_score(lambda x: x, X)


def test_a_discrete_energy_has_no_score_to_take_the_norm_of():
    energy = Ising((3, 3), coupling=0.3)
    states = np.ones((1, *energy.event_shape))
    assert np.isfinite(anomaly_score(energy, states)).all()
    with pytest.raises(ValueError, match="for a discrete energy"):
        anomaly_score(energy, states, method="energy_and_score")


def test_an_energy_that_is_no_number_is_refused_by_the_point():
    energy = from_callable(lambda x: jnp.sum(jnp.sqrt(x)), (2,), constraints.real_vector)
    with pytest.raises(NonFiniteEnergyError, match=r"NaN at 1 of 2 points, first at `x\[1\]`"):
        anomaly_score(energy, [[1.0, 1.0], [1.0, -1.0]])


def test_ratios_of_densities():
    ratios = log_density_ratio(NORMAL, X[:-1], X[1:])
    np.testing.assert_allclose(ratios, ENERGY[1:] - ENERGY[:-1], rtol=1e-6)
    with_one = log_density_ratio(NORMAL, X, X[:1])
    np.testing.assert_allclose(with_one, ENERGY[0] - ENERGY, rtol=1e-6, atol=1e-6)
    under = log_density_ratio(LINE, [[0.0], [4.0]], [[4.0]], y=[[0.0], [1.0]])
    np.testing.assert_allclose(under, [2.0, 0.0])


def test_a_large_constant_costs_no_digits_of_a_ratio():
    energy = from_callable(lambda x: 1e6 + 0.5 * jnp.sum(x**2), (2,), constraints.real_vector)
    ratios = log_density_ratio(energy, [[1e-2, 0.0]], [[0.0, 0.0]])
    np.testing.assert_allclose(ratios, [-0.5e-4], rtol=1e-5)
    scores = anomaly_score(energy, [[1e-2, 0.0], [0.0, 0.0]])
    assert float(scores[1] - scores[0]) == 0.0  # what single precision makes of it


def test_ratios_across_the_edge_of_the_support():
    energy = Gamma(3.0, 1.0)
    assert log_density_ratio(energy, [1.0, -1.0], [-1.0, 1.0]).tolist() == [np.inf, -np.inf]
    with pytest.raises(ValueError, match="both of pair 1"):
        log_density_ratio(energy, [1.0, -1.0], [1.0, -2.0])


def test_pairs_must_match():
    with pytest.raises(
        ValueError, match="as many points, or one of them a single one; got 7 and 3"
    ):
        log_density_ratio(NORMAL, X, X[:3])
    with pytest.raises(ValueError, match="`x2` must be finite"):
        log_density_ratio(NORMAL, X, X * np.inf)
