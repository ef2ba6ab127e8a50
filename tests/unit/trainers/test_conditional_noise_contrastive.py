"""Conditional noise contrast: symmetric noise about the data, and its limit of score matching."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import ebm_ppl as ebm
from ebm_ppl._precision import float64
from ebm_ppl.energies import Gamma, Gaussian, Quartic
from ebm_ppl.trainers import Model, as_batch, newton

KEY = jax.random.key(0)
STEP = jnp.asarray(0)
SIGMAS = 5.5  # a two-sided normal test at 3.8e-8


def test_the_loss_is_twice_that_of_telling_a_point_from_its_copies():
    energy = Quartic(a=-1.0, b=0.3, gamma=0.0)
    data = as_batch(energy, jnp.array([0.2, -1.0]))
    points = jnp.array([[1.0, -2.0], [0.5, 2.5]])
    objective = ebm.ConditionalNoiseContrastive(0.3, num_noise=2)
    losses = eqx.filter_jit(objective.losses)(Model(energy), data, points)

    def e(x):
        return -np.square(x) + 0.3 * x + np.power(x, 4)

    rises = e(np.asarray(points)) - e(np.asarray(data.x)[:, None])
    np.testing.assert_allclose(losses, -2 * np.log(expit(rises)).mean(axis=1), rtol=1e-5)


def test_the_noise_has_its_scale_in_each_coordinate():
    energy = Gaussian(np.zeros(2), np.eye(2))
    data = as_batch(energy, jnp.array([[10.0, -10.0]]))
    objective = ebm.ConditionalNoiseContrastive(jnp.array([0.1, 2.0]), num_noise=4000)
    assert objective.init(energy, data, KEY) == (None, None)
    points = objective.prepare(Model(energy), data, None, STEP, KEY).sample[0]
    # errors of a standard deviation: 0.011 of it, and of a mean: 0.016 of it
    np.testing.assert_allclose(np.std(points, axis=0), [0.1, 2.0], rtol=5.5 * 0.012)
    np.testing.assert_allclose(np.mean(points, axis=0), [10.0, -10.0], atol=5.5 * 0.032)


def test_a_copy_outside_the_support_costs_nothing():
    energy = Gamma(2.0, 1.0)
    data = as_batch(energy, jnp.array([1.0]))
    objective = ebm.ConditionalNoiseContrastive(1.0)
    value, gradient = eqx.filter_value_and_grad(
        lambda energy: objective.losses(Model(energy), data, jnp.array([[-1.0]])).sum()
    )(energy)
    assert float(value) == 0.0
    assert all(float(leaf) == 0.0 for leaf in jax.tree.leaves(gradient))


def test_small_noise_gives_score_matching_with_an_error_of_second_order():
    """The expectation over the noise by Gauss-Hermite quadrature: exact to rounding."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()
    with float64():
        energy = Quartic(a=-1.0, b=0.3, gamma=-1.0)
        data = as_batch(energy, jnp.array([-1.5, -0.3, 0.8, 1.7]))

        @eqx.filter_jit
        def rescaled(energy, scale):
            objective = ebm.ConditionalNoiseContrastive(scale)

            def at(node):
                points = data.x[:, None] + scale * node
                return objective.losses(Model(energy), data, points)

            expected = jnp.tensordot(weights, jax.vmap(at)(jnp.asarray(nodes)), 1)
            return 2 / scale**2 * (expected - 2 * jnp.log(2.0))

        def score_matching(energy):
            return ebm.ScoreMatching().losses(Model(energy), data, None)

        def slopes(fn):
            jacobian = eqx.filter_jacfwd(fn)(energy)
            return np.stack([jacobian.a, jacobian.b, jacobian.gamma])

        scales = (0.01, 0.005)
        errors = [np.asarray(rescaled(energy, h) - score_matching(energy)) for h in scales]
        steeper = [slopes(lambda e, h=h: rescaled(e, h)) - slopes(score_matching) for h in scales]
    for coarse, fine in (errors, steeper):
        assert np.abs(fine).max() < 0.05
        np.testing.assert_allclose(coarse, 4.0 * fine, rtol=0.02, atol=0.02 * np.abs(fine).max())


@pytest.mark.slow
def test_recovers_a_gaussian_precision_within_its_standard_errors():
    rng = np.random.default_rng(3)
    factor = np.array([[1.2, 0.0], [-0.6, 0.8]])
    x = 0.5 + np.linalg.solve(factor, rng.normal(size=(2, 2000))).T
    result = ebm.fit(
        Gaussian(np.zeros(2), np.eye(2)),
        x,
        ebm.ConditionalNoiseContrastive(1.0, num_noise=8),
        newton(),
        num_steps=15,
        batch_size=len(x),
        rng_key=KEY,
        progress_bar=False,
    )
    errors = result.standard_errors().energy
    z_scores = np.concatenate(
        [
            (result.energy.loc - 0.5) / errors.loc,
            ((result.energy.whitening - factor) / errors.whitening)[np.tril_indices(2)],
        ]
    )
    # noise that each Newton step draws anew moves the fit by a part of a standard error more
    assert np.abs(z_scores).max() < 1.25 * SIGMAS
    assert errors.loc.max() < 0.1


@pytest.mark.parametrize("scale", [0.0, -1.0, jnp.inf, jnp.array([1.0, 0.0])])
def test_refuses_a_scale_that_is_not_positive(scale):
    with pytest.raises(ValueError, match="`noise_scale` must be finite and above 0"):
        ebm.ConditionalNoiseContrastive(scale)


def test_refuses_a_scale_of_another_shape():
    energy = Gaussian(np.zeros(2), np.eye(2))
    data = as_batch(energy, jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"Expected `noise_scale` of shape \(2,\); got \(3,\)"):
        ebm.ConditionalNoiseContrastive(jnp.ones(3)).init(energy, data, KEY)
