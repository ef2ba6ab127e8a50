import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from numpyro.distributions import constraints

from ebm_ppl.energies import from_callable, from_logdensity, from_nnx


def perceptron():
    """A small network of flax, which takes long to import."""
    from flax import nnx

    class Perceptron(nnx.Module):
        def __init__(self, rngs):
            self.hidden = nnx.Linear(2, 4, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, deterministic=True, rngs=rngs)
            self.last = nnx.Linear(4, 1, use_bias=False, rngs=rngs)

        def __call__(self, x):
            return self.last(self.dropout(nnx.silu(self.hidden(x))))[0] + 0.5 * jnp.sum(x**2)

    return Perceptron(nnx.Rngs(0))


def test_a_plain_function_has_no_parameters():
    energy = from_callable(lambda x: jnp.sum(x**2), (3,))
    assert jax.tree.leaves(energy) == []
    assert energy.event_shape == (3,)
    assert energy.support is constraints.real_vector
    assert energy([1.0, 2.0, 3.0]) == 14.0


def test_the_arrays_of_a_pytree_are_parameters_and_its_functions_are_not():
    network = eqx.nn.MLP(2, "scalar", 4, 1, key=jax.random.key(0))
    energy = from_callable(network, (2,))
    x = jnp.array([0.3, -0.2])
    assert len(jax.tree.leaves(energy)) == 4
    np.testing.assert_allclose(jax.jit(lambda model: model(x))(energy), network(x), rtol=1e-6)
    gradient = jax.grad(lambda model: model(x))(energy)
    expected = eqx.filter_grad(lambda model: model(x))(network)
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    updated = jax.tree.map(lambda leaf: 2 * leaf, energy)
    np.testing.assert_array_equal(updated.fn.layers[0].weight, 2 * network.layers[0].weight)


@pytest.mark.parametrize(
    ("event_shape", "support", "event_dim"),
    [
        ((), None, 0),
        ((2,), None, 1),
        ((2, 3), None, 2),
        ((2,), constraints.positive, 1),
        ((3,), constraints.simplex, 1),
        ((), constraints.unit_interval, 0),
    ],
)
def test_the_support_covers_the_event(event_shape, support, event_dim):
    energy = from_callable(jnp.sum, event_shape, support)
    assert energy.support.event_dim == event_dim
    assert bool(energy.support(jnp.full(event_shape, 1 / 3)))


@pytest.mark.parametrize("result", [lambda x: x, lambda x: (x[0], x[1]), lambda x: x[:1]])
@pytest.mark.parametrize("adapter", [from_callable, from_logdensity])
def test_a_result_that_is_no_scalar_is_refused_with_its_shape(adapter, result):
    energy = adapter(result, (2,))
    with pytest.raises(ValueError, match=r"fn\(x\)` of shape \(\); got \([12],\)"):
        energy([1.0, 2.0])
    with pytest.raises(ValueError, match=r"fn\(x\)` of shape \(\); got \([12],\)"):
        jax.jit(lambda x: energy(x))(jnp.ones(2))


def test_a_result_that_is_no_float_becomes_one():
    assert from_callable(lambda x: 3, (1,))([1.0]).dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3.0, (1,)), "`fn` must be callable; got 3.0"),
        ((jnp.sum, 2), "`event_shape` must be a tuple of integers; got 2"),
        ((jnp.sum, (0,)), "`event_shape` must be an integer of at least 1; got 0"),
        ((jnp.sum, (2,), "real"), "`support` must be a NumPyro constraint; got 'real'"),
        ((jnp.sum, (), constraints.simplex), "`support` must have at most 0 event axes"),
    ],
)
def test_bad_arguments_are_refused(arguments, message, monkeypatch):
    # A user has no run-time type checker, and gets these messages in its place.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        from_callable(*arguments)


def test_a_log_density_changes_sign():
    energy = from_logdensity(lambda x: -0.5 * jnp.sum(x**2), (2,))
    assert energy([1.0, 1.0]) == 1.0
    np.testing.assert_allclose(energy.score([1.0, -2.0]), [-1.0, 2.0])


def test_a_log_density_that_is_not_callable_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`logdensity_fn` must be callable"):
        from_logdensity(None, (2,))


def test_the_parameters_of_a_log_density_stay_parameters():
    network = eqx.nn.MLP(2, "scalar", 4, 1, key=jax.random.key(0))
    assert len(jax.tree.leaves(from_logdensity(network, (2,)))) == 4


def test_an_nnx_module_is_the_same_function_with_its_parameters_as_leaves():
    from flax import nnx

    module = perceptron()
    energy = from_nnx(module, (2,))
    x = jnp.array([0.3, -0.2])
    np.testing.assert_allclose(energy(x), module(x), rtol=1e-6)
    evaluate = jax.jit(lambda model, x: model(x))
    np.testing.assert_allclose(evaluate(energy, x), module(x), rtol=1e-6)
    evaluate(jax.tree.map(lambda leaf: leaf, energy), x)
    assert evaluate._cache_size() == 1
    gradient = eqx.filter_grad(lambda model: model(x))(energy)
    kernel = nnx.grad(lambda module: module(x))(module)["hidden"]["kernel"][...]
    flat = [leaf for leaf in jax.tree.leaves(gradient) if leaf.shape == (2, 4)]
    np.testing.assert_allclose(flat[0], kernel, rtol=1e-5)


def test_a_trained_energy_leaves_the_nnx_module_untouched():
    module = perceptron()
    before = float(module(jnp.ones(2)))
    energy = from_nnx(module, (2,))
    parameters, rest = eqx.partition(energy, eqx.is_inexact_array)
    moved = eqx.combine(jax.tree.map(lambda leaf: leaf + 1.0, parameters), rest)
    assert float(moved(jnp.ones(2))) != before
    assert float(module(jnp.ones(2))) == before


def test_from_nnx_refuses_other_modules():
    with pytest.raises(ValueError, match=r"`module` must be a flax\.nnx\.Module"):
        from_nnx(lambda x: x, ())


def test_from_nnx_without_flax_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "flax", None)
    with pytest.raises(ImportError, match="pip install flax"):
        from_nnx(lambda x: x, ())
