import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ebm_ppl._precision import float64
from ebm_ppl.energies import GaussianMixture

WEIGHTS = np.array([1.0, 3.0])
LOCS = np.array([[-1.0, 0.5], [2.0, 0.0]])
COVARIANCES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.5, -0.2], [-0.2, 2.0]]])


def test_it_differs_from_minus_the_log_density_by_log_two_pi():
    points = np.random.default_rng(0).normal(size=(5, 2))
    with float64():
        energy = GaussianMixture(WEIGHTS, LOCS, COVARIANCES)
        values = np.array([float(energy(x)) for x in points])
    logs = [
        np.log(weight) + stats.multivariate_normal(loc, covariance).logpdf(points)
        for weight, loc, covariance in zip(WEIGHTS / 4, LOCS, COVARIANCES, strict=True)
    ]
    np.testing.assert_allclose(
        values + np.log(2 * np.pi), -special.logsumexp(logs, axis=0), rtol=1e-13
    )


def test_a_common_shift_of_the_logits_changes_nothing():
    energy = GaussianMixture(WEIGHTS, LOCS, COVARIANCES)
    shifted = eqx.tree_at(lambda model: model.logits, energy, energy.logits + 5.0)
    x = jnp.array([0.1, 0.2])
    np.testing.assert_allclose(shifted(x), energy(x), rtol=1e-5)
    np.testing.assert_allclose(energy.weights, [0.25, 0.75], rtol=1e-6)


def test_far_components_underflow_without_nan():
    energy = GaussianMixture(WEIGHTS, LOCS, COVARIANCES)
    assert np.isfinite(energy([1e4, -1e4]))
    assert np.all(np.isfinite(energy.score([1e4, -1e4])))


def test_traced_parameters_give_the_same_energy():
    x = jnp.array([0.3, -0.4])
    traced = jax.jit(lambda w, m, s: GaussianMixture(w, m, s)(x))(
        jnp.asarray(WEIGHTS), jnp.asarray(LOCS), jnp.asarray(COVARIANCES)
    )
    np.testing.assert_allclose(traced, GaussianMixture(WEIGHTS, LOCS, COVARIANCES)(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": 1.0}, r"Expected `weights` of shape \(k,\) with k >= 1; got \(\)"),
        ({"weights": [1.0, 0.0]}, "`weights` must be positive everywhere"),
        ({"weights": [1.0, np.nan]}, "`weights` must be finite everywhere"),
        ({"locs": np.zeros((3, 2))}, r"Expected `locs` of shape \(2, dim\) .*got \(3, 2\)"),
        ({"covariance_matrices": np.eye(2)}, r"of shape \(2, 2, 2\); got \(2, 2\)"),
        ({"covariance_matrices": -COVARIANCES}, "must be positive definite"),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    arguments = {"weights": WEIGHTS, "locs": LOCS, "covariance_matrices": COVARIANCES} | changes
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**arguments)
