"""A fit that teaches nothing, or whose chains stand still, is an error or a warning with its remedy."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebm_ppl as ebm
from ebm_ppl.trainers import as_batch, newton
from ebm_ppl.trainers._kinks import check_no_kinks
from tests.unit.trainers.pull import START, Pull

X = jax.random.normal(jax.random.key(0), (64, 2))
PLANE = ebm.energies.Gaussian(jnp.zeros(2), jnp.eye(2))
NOISE = dist.Normal(0.0, 2.0).expand((2,)).to_event(1)
NETWORK = eqx.nn.MLP(2, "scalar", 8, 1, activation=jax.nn.relu, key=jax.random.key(1))


class Confined(eqx.Module):
    network: eqx.nn.MLP

    def __call__(self, x):
        return self.network(x) + 0.5 * jnp.sum(x**2)


def _fit(energy, data, objective, optimizer=None, num_steps=3, **options):
    return ebm.fit(
        energy,
        data,
        objective,
        optax.adam(1e-3) if optimizer is None else optimizer,
        num_steps=num_steps,
        rng_key=jax.random.key(2),
        progress_bar=False,
        **options,
    )


def _energy(fn):
    return ebm.energies.from_callable(fn, (2,))


def test_an_energy_without_parameters_is_refused():
    closure = _energy(lambda x: Confined(NETWORK)(x))
    with pytest.raises(ValueError, match="`energy` must have parameters to train; CallableEnergy"):
        _fit(closure, X, ebm.DenoisingScoreMatching(0.1))
    with pytest.warns(UserWarning, match="only log Z is learned: CallableEnergy holds no float"):
        _fit(closure, X, ebm.NoiseContrastive(NOISE))


class Mixed(eqx.Module):
    """Units with kinks beside smooth ones, or in a layer before or after them."""

    first: eqx.nn.MLP
    second: eqx.nn.MLP
    beside: bool

    def __init__(self, first, second, beside):
        keys = jax.random.split(jax.random.key(4))
        self.first = eqx.nn.MLP(2, 8, 8, 1, first, first, key=keys[0])
        self.second = eqx.nn.MLP(2 if beside else 8, "scalar", 8, 1, second, key=keys[1])
        self.beside = beside

    def __call__(self, x):
        if self.beside:
            return jnp.sum(self.first(x)) + self.second(x) + 0.5 * jnp.sum(x**2)
        return self.second(self.first(x)) + 0.5 * jnp.sum(x**2)


KINKED = {
    "plain": NETWORK,
    "confined": Confined(NETWORK),
    "relu after silu": Mixed(jax.nn.silu, jax.nn.relu, False),
    "silu after relu": Mixed(jax.nn.relu, jax.nn.silu, False),
    "tanh beside leaky relu": Mixed(jax.nn.leaky_relu, jnp.tanh, True),
}


@pytest.mark.parametrize("objective", [ebm.ScoreMatching(), ebm.SlicedScoreMatching()])
@pytest.mark.parametrize("energy", KINKED.values(), ids=KINKED)
def test_score_matching_refuses_a_network_with_kinks(objective, energy):
    with pytest.raises(
        ValueError, match=r"`energy` must be smooth for score matching, .*jax.nn.silu"
    ):
        _fit(_energy(energy), X, objective)


@pytest.mark.parametrize(
    ("energy", "data"),
    [
        (PLANE, X),
        (PLANE, X + 3e3),
        (ebm.energies.Quartic(), jnp.array([-1.0, 1.0] * 8)),
        (ebm.energies.NeuralEnergy((2,), rng_key=jax.random.key(3), activation="tanh"), X),
        (ebm.energies.NeuralEnergy((2,), rng_key=jax.random.key(3), confinement=0.0), X),
    ],
    ids=["quadratic", "offset", "symmetric", "network", "unconfined"],
)
def test_smooth_energies_and_healthy_fits_are_not_doubted(energy, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fit(energy, data, ebm.ScoreMatching())


@settings(max_examples=25, deadline=None)
@given(
    log_scale=st.floats(-3.0, 3.0),
    log_weight=st.floats(-2.0, 1.3),
    activation=st.sampled_from(["silu", "tanh", "softplus"]),
    seed=st.integers(0, 2**31),
)
def test_no_smooth_network_has_kinks(log_scale, log_weight, activation, seed):
    """Whatever the scale of its data, and with weights up to twenty times those that it begins with."""
    key_network, key_data = jax.random.split(jax.random.key(seed))
    energy = ebm.energies.NeuralEnergy((2,), rng_key=key_network, activation=activation)
    grown = jax.tree.map(
        lambda leaf: 10**log_weight * leaf if eqx.is_inexact_array(leaf) else leaf, energy
    )
    data = 10**log_scale * jax.random.normal(key_data, (64, 2))
    check_no_kinks(grown, as_batch(grown, data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X[:1], "There is one example, which has no spread"),
        (X.at[:, 1].set(3.0), "1 of 2 columns of the data, column 1 first, have no spread"),
    ],
)
def test_data_without_spread_are_warned_of(data, message):
    with pytest.warns(UserWarning, match=message):
        _fit(PLANE, data, ebm.ScoreMatching())


def test_chains_that_accept_nothing_are_warned_of():
    narrow = ebm.energies.Gaussian(jnp.zeros(2), 1e-4 * jnp.eye(2))
    with pytest.warns(RuntimeWarning, match=r"chains .* accept .* of their moves.*step_size"):
        _fit(narrow, 0.01 * X, ebm.PersistentCD(num_chains=16))


def test_parameters_that_never_change_are_warned_of():
    with pytest.warns(RuntimeWarning, match="No parameter of the energy changed in 3 steps"):
        _fit(START, jnp.array([1.0, 2.0]), Pull(), optax.sgd(0.0))


def test_newtons_method_that_has_not_converged_is_warned_of():
    wells = ebm.energies.Quartic(a=-3.0, b=0.0, gamma=1.0)
    data = 2.0 + 0.3 * X[:, 0]
    settings = {"batch_size": len(data)}
    with pytest.warns(RuntimeWarning, match="Newton's method has not converged: the last step was"):
        _fit(wells, data, ebm.ScoreMatching(), newton(), 2, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fit(wells, data, ebm.ScoreMatching(), newton(), 30, **settings)


DATA = 1.0 + 0.5 * jax.random.normal(jax.random.key(4), (2000, 1))
NEAR = ebm.NoiseContrastive(dist.Normal(0.0, 2.0).expand((1,)), num_noise=4, fresh_noise=False)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adamw(0.05, weight_decay=0.1),
        optax.MultiSteps(optax.adamw(0.05, weight_decay=0.1), 1),
    ],
    ids=["adamw", "several steps"],
)
def test_weight_decay_leaves_the_learned_log_z_alone(optimizer):
    """At the end log Z minimises the loss at the energy that the decay has left."""
    line = ebm.energies.Gaussian([0.0], [[1.0]])
    fit = _fit(line, DATA, NEAR, optimizer, 600, batch_size=len(DATA))
    model = ebm.trainers.Model(fit.energy, fit.learned)
    step, carried, key = fit.state.step, fit.state.carried, fit.state.rng_key
    sample = NEAR.prepare(model, fit.data, carried, step, key).sample

    def loss(log_z):
        model = ebm.trainers.Model(fit.energy, {"log_z": log_z})
        return jnp.mean(NEAR.losses(model, fit.data, sample))

    assert abs(jax.grad(loss)(fit.learned["log_z"])) < 2e-4  # 1e-3 where it decays too


def test_optimisers_without_decay_are_taken_as_they_are():
    model = ebm.trainers.Model(PLANE, {"log_z": jnp.asarray(0.3)})
    for optimizer in (optax.adam(0.1), optax.sgd(0.1, momentum=0.9), newton(), optax.lbfgs()):
        assert ebm.trainers._decay.sparing_learned(optimizer, model) is optimizer
    decayed = ebm.trainers._decay.sparing_learned(optax.adamw(0.1), model)
    assert decayed is not optimizer
