"""Flow contrast: the flow follows the data, in `prepare` alone, and the energy profits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flowjax.distributions import MultivariateNormal, Normal
from paramax import non_trainable
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.energies import Gaussian
from ebm_ppl.trainers import Model, as_batch

KEY = jax.random.key(0)
STEP = jnp.asarray(0)
LOC, COVARIANCE = np.array([2.0, -1.0]), np.array([[1.5, -0.6], [-0.6, 0.8]])
DATA = np.random.default_rng(0).multivariate_normal(LOC, COVARIANCE, 4000)
POOR = Normal(jnp.array([-1.0, 1.0]), 1.0)


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

    V has its minimum where both laws agree, and the gradient through the draws leads there.
    """
    energy = Gaussian([1.0], [[1.0]])
    x = stats.norm.ppf((np.arange(400) + 0.5) / 400, 1.0)[:, None]
    data = as_batch(energy, x)
    # the scale stands still: what is trained is the mean
    flow = eqx.tree_at(
        lambda f: f.bijection.scale, Normal(jnp.zeros(1)), non_trainable(jnp.ones(1))
    )
    objective = ebm.FlowContrastive(
        flow, optax.adam(0.05), num_flow_steps=100, log_z=0.5 * np.log(2 * np.pi)
    )
    learned, carried = objective.init(energy, data, KEY)
    prepared = eqx.filter_jit(objective.prepare)(Model(energy, learned), data, carried, STEP, KEY)
    trained = prepared.carried.flow
    assert abs(float(trained.bijection.loc[0]) - 1.0) < 0.2
    assert float(prepared.metrics["flow_log_likelihood"]) > -1.46  # from −1.92; the best is −1.42


def test_the_flow_may_wait_for_its_turn():
    energy = Gaussian([1.0], [[1.0]])
    data = as_batch(energy, jnp.linspace(0.0, 2.0, 8)[:, None])
    objective = ebm.FlowContrastive(Normal(jnp.zeros(1)), optax.sgd(0.1), flow_every=3)
    learned, carried = objective.init(energy, data, KEY)
    prepare = eqx.filter_jit(objective.prepare)
    moved = []
    for step in range(4):
        after = prepare(Model(energy, learned), data, carried, jnp.asarray(step), KEY).carried
        moved.append(bool(after.flow.loc != carried.flow.loc))
        carried = after
    assert moved == [True, False, False, True]


def test_nothing_of_the_flow_is_differentiated_with_the_model():
    energy = Gaussian([0.0], [[1.0]])
    data = as_batch(energy, jnp.linspace(-1.0, 1.0, 6)[:, None])
    objective = ebm.FlowContrastive(Normal(jnp.zeros(1), 1.5), optax.adam(0.1))
    learned, _ = objective.init(energy, data, KEY)
    assert set(learned) == {"log_z"}
    assert not objective.is_criterion


@pytest.mark.slow
def test_from_a_poor_flow_both_players_come_to_the_data():
    """The flow begins 3 standard deviations away; both models hold the data's normal law."""
    schedule = optax.cosine_decay_schedule(0.05, 600)
    result = ebm.fit(
        Gaussian(np.zeros(2), np.eye(2)),
        DATA,
        ebm.FlowContrastive(POOR, optax.adam(schedule)),
        optax.adam(schedule),
        num_steps=600,
        rng_key=KEY,
        progress_bar=False,
    )
    factor = np.tril(np.asarray(result.energy.whitening, np.float64))
    shift = factor @ (np.asarray(result.energy.loc) - LOC)
    half_log_det = np.log(np.abs(np.diag(factor))).sum()
    spread = np.trace(factor @ COVARIANCE @ factor.T) - 2
    log_det = 2 * half_log_det + np.linalg.slogdet(COVARIANCE)[1]
    # maximum likelihood itself is 5 parameters / 8000 = 6e-4 nats off on average
    assert 0.5 * (spread - log_det + shift @ shift) < 0.01
    assert abs(float(result.learned["log_z"]) - (np.log(2 * np.pi) - half_log_det)) < 0.05
    np.testing.assert_allclose(result.state.carried.flow.loc, LOC, atol=0.15)
    assert result.history["flow_log_likelihood"][0] < result.history["flow_log_likelihood"][-1] - 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flow": 1.0}, "`flow` must be a FlowJAX distribution; got 1.0"),
        ({"num_flow_steps": 0}, "`num_flow_steps` must be an integer of at least 1; got 0"),
        ({"flow_every": 0}, "`flow_every` must be an integer of at least 1; got 0"),
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
