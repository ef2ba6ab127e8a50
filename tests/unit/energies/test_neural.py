import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints

from ebm_ppl.energies import NeuralEnergy

KEY = jax.random.key(0)
ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_value_is_the_network_plus_the_confinement(activation):
    energy = NeuralEnergy(
        (2,), rng_key=KEY, width=4, depth=1, activation=activation, confinement=0.5
    )
    hidden, last = energy.network.layers
    x = np.array([0.7, -1.2], dtype=np.float32)
    units = ACTIVATIONS[activation](x @ np.asarray(hidden.weight) + np.asarray(hidden.bias))
    expected = (units @ np.asarray(last.weight)).item() + 0.25 * np.sum(x**2)
    np.testing.assert_allclose(energy(x), expected, rtol=1e-5)


def test_the_last_layer_has_no_bias():
    energy = NeuralEnergy((3,), rng_key=KEY, width=5, depth=2)
    assert energy.network.layers[-1].bias is None
    assert len(jax.tree.leaves(energy)) == 5


@pytest.mark.parametrize("event_shape", [(), (1,), (2, 3)])
def test_any_event_shape(event_shape):
    energy = NeuralEnergy(event_shape, rng_key=KEY, width=4, depth=1)
    x = jnp.ones(event_shape)
    assert energy(x).shape == ()
    assert energy.score(x).shape == event_shape
    assert energy.support.event_dim == len(event_shape)
    assert (energy.support is constraints.real) == (event_shape == ())


@pytest.mark.parametrize("activation", ["silu", "gelu", "softplus", "tanh"])
def test_confinement_outgrows_the_network_in_every_direction(activation):
    energy = NeuralEnergy((2,), rng_key=KEY, width=8, depth=2, activation=activation)
    energy = jax.tree.map(lambda leaf: 10 * leaf, energy)
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    ratios = [jax.vmap(energy)(r * directions) / (0.5 * r**2) for r in (1e4, 1e5, 1e6)]
    deviations = [float(jnp.max(jnp.abs(ratio - 1))) for ratio in ratios]
    # The network grows linearly, so its share of the total falls in proportion to the radius.
    assert deviations[2] < 0.02
    assert deviations[1] < 0.2 * deviations[0] + 1e-6


def test_no_confinement_leaves_the_network_alone():
    energy = NeuralEnergy((2,), rng_key=KEY, width=4, depth=1, confinement=0.0)
    np.testing.assert_allclose(energy([1.0, 2.0]), energy.network(jnp.array([1.0, 2.0])))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"event_shape": (0,)}, "`event_shape` must be an integer of at least 1; got 0"),
        ({"width": 0}, "`width` must be an integer of at least 1"),
        ({"depth": 0}, "`depth` must be an integer of at least 1"),
        ({"activation": "relu"}, "`activation` must be one of 'silu', .*; got 'relu'"),
        ({"confinement": -0.5}, "`confinement` must be a number in"),
        ({"confinement": np.inf}, "`confinement` must be a number in"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuralEnergy(**({"event_shape": (2,), "rng_key": KEY} | arguments))
