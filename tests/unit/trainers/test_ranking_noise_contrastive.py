"""Ranking noise contrast: a softmax among candidates, in which log Z(y) cancels."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats
from scipy.special import logsumexp

import ebm_ppl as ebm
from ebm_ppl.energies import ConditionalGaussian, Quartic, from_conditional_callable
from ebm_ppl.trainers import Model, as_batch, newton

KEY = jax.random.key(0)
SIGMAS = 5.5  # a two-sided normal test at 3.8e-8


def test_the_loss_is_that_of_a_softmax():
    energy = Quartic(a=-1.0, b=0.3, gamma=0.0)
    data = as_batch(energy, jnp.array([0.2, -1.0]))
    points = jnp.array([[1.0, -2.0, 0.0], [0.5, 2.5, 2.0]])
    objective = ebm.RankingNoiseContrastive(dist.Normal(0.5, 1.5), num_noise=3)
    losses = objective.losses(Model(energy), data, objective.source.contrast(data, points))
    x = np.concatenate([np.asarray(data.x)[:, None], points], axis=1)
    weights = x**2 - 0.3 * x - x**4 - stats.norm.logpdf(x, 0.5, 1.5)
    np.testing.assert_allclose(losses, logsumexp(weights, axis=1) - weights[:, 0], rtol=1e-5)


def test_whatever_depends_on_the_condition_alone_cancels():
    y = jnp.linspace(-1.0, 1.0, 8)
    plain = from_conditional_callable(lambda x, y: (x - y) ** 2, (), ())
    shifted = from_conditional_callable(lambda x, y: (x - y) ** 2 + 7.0 * jnp.sin(y), (), ())
    data = as_batch(plain, y + 0.5, y)
    objective = ebm.RankingNoiseContrastive(dist.Normal(0.0, 2.0), num_noise=4)
    learned, carried = objective.init(plain, data, KEY)
    assert learned is None
    sample = objective.prepare(Model(plain), data, carried, jnp.asarray(0), KEY).sample
    losses = [objective.losses(Model(energy), data, sample) for energy in (plain, shifted)]
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_recovers_a_regression_within_its_standard_errors():
    rng = np.random.default_rng(0)
    coefficients, intercept = np.array([[1.0, -0.5]]), np.array([0.3])
    y = rng.normal(size=(2000, 2))
    x = y @ coefficients.T + intercept + 0.8 * rng.normal(size=(2000, 1))
    objective = ebm.RankingNoiseContrastive(
        lambda y: dist.Normal(0.5 * y[:1], 1.5), num_noise=5, fresh_noise=False
    )
    result = ebm.fit(
        ConditionalGaussian([[0.0, 0.0]], [0.0], [[1.0]]),
        x,
        objective,
        newton(),
        condition=y,
        num_steps=15,
        batch_size=len(x),
        rng_key=KEY,
        progress_bar=False,
    )
    errors = result.standard_errors().energy
    z_scores = np.concatenate(
        [
            np.ravel((result.energy.coefficients - coefficients) / errors.coefficients),
            (result.energy.intercept - intercept) / errors.intercept,
            np.ravel((result.energy.whitening - 1 / 0.8) / errors.whitening),
        ]
    )
    assert np.abs(z_scores).max() < SIGMAS
    # the errors are small: half of any coefficient would be seen
    assert max(errors.coefficients.max(), errors.intercept[0]) < 0.04
