import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ebm_ppl._precision import float64
from ebm_ppl.energies import Gaussian

LOC = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]])


def test_it_differs_from_minus_the_log_density_by_log_z():
    points = np.random.default_rng(0).normal(size=(5, 3))
    log_z = 1.5 * np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(COVARIANCE)[1]
    with float64():
        energy = Gaussian(LOC, COVARIANCE)
        values = [float(energy(x)) for x in points]
    expected = -stats.multivariate_normal(LOC, COVARIANCE).logpdf(points)
    np.testing.assert_allclose(np.array(values) + log_z, expected, rtol=1e-13)


def test_traced_covariances_give_the_same_energy():
    x = jnp.array([0.3, 0.1, -0.4])
    traced = jax.jit(lambda covariance: Gaussian(LOC, covariance)(x))(jnp.asarray(COVARIANCE))
    np.testing.assert_allclose(traced, Gaussian(LOC, COVARIANCE)(x), rtol=1e-5)


def test_a_batch_of_energies_comes_from_vmap():
    scales = jnp.array([1.0, 4.0])
    energies = jax.vmap(lambda scale: Gaussian(jnp.zeros(2), scale * jnp.eye(2)))(scales)
    values = jax.vmap(lambda energy: energy(jnp.array([2.0, 0.0])))(energies)
    np.testing.assert_allclose(values, [2.0, 0.5], rtol=1e-6)


def test_entries_above_the_diagonal_are_ignored():
    energy = Gaussian([0.0, 0.0], np.eye(2))
    upper = jnp.array([[0.0, 5.0], [0.0, 0.0]])
    disturbed = eqx.tree_at(lambda model: model.whitening, energy, energy.whitening + upper)
    assert disturbed([1.0, 2.0]) == energy([1.0, 2.0])


@pytest.mark.parametrize(
    ("loc", "covariance", "message"),
    [
        (0.0, [[1.0]], r"Expected `loc` of shape \(dim,\) with dim >= 1; got \(\)"),
        ([], np.zeros((0, 0)), r"got \(0,\)"),
        ([0.0], np.eye(2), r"Expected `covariance_matrix` of shape \(1, 1\); got \(2, 2\)"),
        ([np.nan, 0.0], np.eye(2), "`loc` must be finite everywhere"),
        ([0.0, 0.0], [[1.0, np.inf], [np.inf, 1.0]], "`covariance_matrix` must be finite"),
        ([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], "`covariance_matrix` must be symmetric"),
        ([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], "`covariance_matrix` must be positive definite"),
        ([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]], "`covariance_matrix` must be positive definite"),
    ],
)
def test_bad_parameters_are_refused(loc, covariance, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(loc, covariance)


@pytest.mark.parametrize("size", [20_000, 32_768, 36_000, 40_000])
def test_large_batches_in_space_are_right_in_every_row(size):
    """XLA of JAX 0.10.2 loses rows of some large batches of a matrix of 3 x 3 times a vector."""
    energy = Gaussian(LOC, COVARIANCE)
    x = np.random.default_rng(1).normal(size=(size, 3)).astype(np.float32)
    expected = 0.5 * np.sum((x - LOC) @ np.linalg.inv(COVARIANCE) * (x - LOC), axis=1)
    np.testing.assert_allclose(jax.jit(jax.vmap(energy))(x), expected, rtol=1e-3, atol=1e-3)
