import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl.energies import (
    AbstractNoiseConditionalEnergy,
    NeuralNoiseConditionalEnergy,
    NeuralNoisyConditionalEnergy,
)

KEY = jax.random.key(0)
ENERGY = NeuralNoisyConditionalEnergy(
    (2,), (3,), rng_key=KEY, width=8, depth=1, data_scale=1.5, class_free=True
)
FIXED = NeuralNoisyConditionalEnergy((2,), (3,), rng_key=KEY, width=8, depth=1)
X = np.array([0.7, -1.2], dtype=np.float32)
Y = np.array([0.5, -1.0, 2.0], dtype=np.float32)
SIGMA = 0.3


def test_value_is_the_normal_law_plus_the_scaled_network():
    total = np.hypot(SIGMA, 1.5)
    inputs = jnp.array([*(X / total), 4 * SIGMA**2 / total**2, *Y], dtype=float)
    expected = np.sum(X**2) / (2 * total**2) + 1.5 / total * ENERGY.network(inputs)
    np.testing.assert_allclose(ENERGY(X, Y, SIGMA), expected, rtol=1e-5)


def test_without_the_condition_it_is_the_unconditional_family():
    """With the weights of the condition at 0 the condition has no say, and the rest is shared code."""
    first, last = ENERGY.network.layers
    plain = NeuralNoiseConditionalEnergy((2,), rng_key=KEY, width=8, depth=1, data_scale=1.5)
    leaves = [first.weight[:3], first.bias, last.weight]
    plain = jax.tree.unflatten(jax.tree.structure(plain), leaves)
    np.testing.assert_allclose(ENERGY(X, jnp.zeros(3), SIGMA), plain(X, SIGMA), rtol=1e-5)


def test_given_and_at_noise_it_is_an_energy():
    given = ENERGY.given(Y)
    assert isinstance(given, AbstractNoiseConditionalEnergy)
    assert given.event_shape == (2,)
    assert given.at_noise(SIGMA)(X) == ENERGY(X, Y, SIGMA)
    assert given.at_noise(SIGMA).support.event_dim == 1


@pytest.mark.parametrize("kept", [True, False])
def test_keeps_or_drops_the_condition_of_each_example(kept):
    def energy(y, kept, sigma):
        return ENERGY.given(y, kept).at_noise(sigma)(X)

    values = jax.jit(jax.vmap(energy))(
        jnp.stack([Y, Y]), jnp.array([kept, not kept]), jnp.array([0.1, 10.0])
    )
    null = np.zeros(3)
    expected = [ENERGY(X, Y if kept else null, 0.1), ENERGY(X, null if kept else Y, 10.0)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert ENERGY.given(None).at_noise(SIGMA)(X) == ENERGY(X, null, SIGMA)


@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_guidance_combines_both_energies_at_every_level(scale):
    for sigma in (0.1, 10.0):
        kept, dropped = ENERGY(X, Y, sigma), ENERGY(X, np.zeros(3), sigma)
        value = ENERGY.guided(Y, scale).at_noise(sigma)(X)
        np.testing.assert_allclose(value, (1 + scale) * kept - scale * dropped, rtol=1e-5)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: ENERGY([1.0], Y, 1.0), r"Expected `x` of shape \(2,\); got \(1,\)"),
        (lambda: ENERGY(X, [1.0], 1.0), r"Expected `y` of shape \(3,\); got \(1,\)"),
        (lambda: ENERGY(X, Y, [1.0]), r"Expected `sigma` of shape \(\); got \(1,\)"),
        (lambda: ENERGY.given([1.0]), r"Expected `y` of shape \(3,\); got \(1,\)"),
        (lambda: ENERGY.guided([1.0], 1.0), r"Expected `y` of shape \(3,\); got \(1,\)"),
        (lambda: ENERGY.guided(Y, np.nan), "`scale` must be finite everywhere"),
        (lambda: FIXED.given(None), "`null_condition` of NeuralNoisyConditionalEnergy must be"),
        (lambda: FIXED.given(Y, True), "`null_condition` of NeuralNoisyConditionalEnergy must"),
        (lambda: FIXED.guided(Y, 1.0), "`null_condition` of NeuralNoisyConditionalEnergy must"),
        (
            lambda: NeuralNoisyConditionalEnergy((2,), (0,), rng_key=KEY),
            "`condition_shape` must be an integer of at least 1; got 0",
        ),
        (
            lambda: NeuralNoisyConditionalEnergy((2,), (1,), rng_key=KEY, data_scale=-1.0),
            "`data_scale` must be a finite number above 0; got -1.0",
        ),
    ],
)
def test_bad_arguments_are_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()
