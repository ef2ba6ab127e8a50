"""Flow contrast: the flow follows the data, in `prepare` alone, and the energy profits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flowjax.bijections import TriangularAffine
from flowjax.distributions import MultivariateNormal, Normal, StandardNormal, Transformed
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.energies import Gaussian
from ebm_ppl.trainers import Model, as_batch

KEY = jax.random.key(0)
STEP = jnp.asarray(0)
LOC, COVARIANCE = np.array([2.0, -1.0]), np.array([[1.5, -0.6], [-0.6, 0.8]])
DATA = np.random.default_rng(0).multivariate_normal(LOC, COVARIANCE, 4000)
POOR = Transformed(StandardNormal((2,)), TriangularAffine(jnp.array([-1.0, 1.0]), jnp.eye(2)))


def test_a_flow_that_stands_still_is_the_noise_of_noise_contrast():
    energy = Gaussian([0.5], [[1.0]])
    data = as_batch(energy, jnp.linspace(-1.0, 1.0, 6)[:, None])
    flow = Normal(jnp.zeros(1), 1.5)
    objective = ebm.FlowContrastive(flow, optax.set_to_zero())
    learned, carried = objective.init(energy, data, KEY)
    model = Model(energy, learned)
    prepared = eqx.filter_jit(objective.prepare)(model, data, carried, STEP, KEY)
    plain = ebm.NoiseContrastive(flow)
    expected = plain.losses(model, data, plain.source.contrast(data, prepared.sample.points))
    losses = objective.losses(model, data, prepared.sample)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    same = jax.tree.map(np.array_equal, *map(jax.tree.leaves, (prepared.carried.flow, flow)))
    assert all(same)


def test_the_flow_descends_the_value_through_its_draws():
    """Against an energy that is the data's, a normal flow's mean moves towards it.

    For a flow N(m, 1) against N(1, 1), V has its minimum at m = 1, so plain gradient steps converge.
    """
    energy = Gaussian([1.0], [[1.0]])
    x = stats.norm.ppf((np.arange(400) + 0.5) / 400, 1.0)[:, None]
    data = as_batch(energy, x)
    flow = Transformed(
        Normal(jnp.zeros(1), 1.0).base_dist, TriangularAffine(jnp.zeros(1), jnp.eye(1))
    )
    objective = ebm.FlowContrastive(
        flow, optax.adam(0.05), num_flow_steps=100, log_z=0.5 * np.log(2 * np.pi)
    )
    learned, carried = objective.init(energy, data, KEY)
    prepared = eqx.filter_jit(objective.prepare)(Model(energy, learned), data, carried, STEP, KEY)
    trained = prepared.carried.flow
    assert abs(float(trained.bijection.loc[0]) - 1.0) < 0.2
    assert float(prepared.metrics["flow_log_likelihood"]) > -1.46  # from −1.92; the best is −1.42
    assert abs(float(prepared.metrics["value"]) + 2 * np.log(2.0)) < 0.1


def test_nothing_of_the_flow_is_differentiated_with_the_model():
    energy = Gaussian([0.0], [[1.0]])
    data = as_batch(energy, jnp.linspace(-1.0, 1.0, 6)[:, None])
    objective = ebm.FlowContrastive(Normal(jnp.zeros(1), 1.5), optax.adam(0.1))
    learned, _ = objective.init(energy, data, KEY)
    assert set(learned) == {"log_z"}
    assert not objective.is_criterion


@pytest.mark.slow
def test_from_a_poor_flow_it_fits_better_than_noise_that_stays_poor():
    flow_optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 1500))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 1500))

    def divergence(objective):
        """KL(data's normal ‖ fitted normal), and the error of log Z."""
        result = ebm.fit(
            Gaussian(np.zeros(2), np.eye(2)),
            DATA,
            objective,
            optimizer,
            num_steps=1500,
            rng_key=KEY,
            progress_bar=False,
        )
        factor = np.tril(np.asarray(result.energy.whitening, np.float64))
        shift = factor @ (np.asarray(result.energy.loc) - LOC)
        log_z = np.log(2 * np.pi) - np.log(np.abs(np.diag(factor))).sum()
        spread = np.trace(factor @ COVARIANCE @ factor.T) - 2
        log_det = 2 * np.log(np.abs(np.diag(factor))).sum() + np.linalg.slogdet(COVARIANCE)[1]
        error = abs(float(result.learned["log_z"]) - log_z)
        return 0.5 * (spread - log_det + shift @ shift), error, result

    kl, error, result = divergence(ebm.FlowContrastive(POOR, flow_optimizer))
    poor_kl, _, _ = divergence(ebm.NoiseContrastive(POOR))
    # maximum likelihood itself is 5 parameters / 8000 = 6e-4 nats off on average
    assert kl < 0.01
    assert poor_kl > 3 * kl
    assert error < 0.05
    flow = result.state.carried.flow
    mean = float(np.mean(flow.log_prob(jnp.asarray(DATA))))
    best = np.mean(stats.multivariate_normal(DATA.mean(0), np.cov(DATA.T)).logpdf(DATA))
    assert best - mean < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flow": 1.0}, "`flow` must be a FlowJAX distribution; got 1.0"),
        ({"num_flow_steps": 0}, "`num_flow_steps` must be an integer of at least 1; got 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    good = {"flow": Normal(), "optimizer": optax.adam(0.1)}
    with pytest.raises(ValueError, match=message):
        ebm.FlowContrastive(**(good | arguments))


def test_refuses_a_flow_of_another_shape():
    energy = Gaussian([0.0], [[1.0]])
    flow = MultivariateNormal(jnp.zeros(2), jnp.eye(2))
    with pytest.raises(ValueError, match=r"`noise \(draws\)` of shape \(1,\); got \(2,\)"):
        ebm.FlowContrastive(flow, optax.adam(0.1)).init(
            energy, as_batch(energy, jnp.zeros((3, 1))), KEY
        )
