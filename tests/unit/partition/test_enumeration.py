"""Sums over all states: closed forms, derivatives, and what cannot be enumerated."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints

import ebm_ppl as ebm
from ebm_ppl.energies import Quartic, RestrictedBoltzmannMachine, from_callable
from ebm_ppl.partition import EnumerationNormalizer


class Field(eqx.Module):
    """Independent coordinates in a field."""

    field: jax.Array

    def __call__(self, x):
        return jnp.sum(self.field * x)


@pytest.mark.parametrize("block_size", [1, 7, 64, 2**14])
def test_independent_spins_have_a_product(block_size):
    field = np.linspace(-1.0, 2.0, 6)
    energy = from_callable(Field(jnp.asarray(field)), (6,), constraints.boolean)
    value, slope = eqx.filter_jit(eqx.filter_value_and_grad(EnumerationNormalizer(block_size)))(
        energy
    )
    np.testing.assert_allclose(value, np.log1p(np.exp(-field)).sum(), rtol=1e-5)
    np.testing.assert_allclose(slope.fn.field, -1 / (1 + np.exp(field)), rtol=1e-5)


@pytest.mark.parametrize("layers", [(3, 60), (60, 3)])
def test_the_smaller_layer_of_a_machine_is_summed(layers):
    """The larger one has more states than can be visited."""
    machine = RestrictedBoltzmannMachine.random(jax.random.key(0), *layers)
    machine = jax.tree.map(jnp.zeros_like, machine)
    np.testing.assert_allclose(EnumerationNormalizer()(machine), 63 * np.log(2.0), rtol=1e-6)


def test_integers_run_over_their_interval_in_any_shape():
    field = np.linspace(-0.5, 0.7, 4).reshape(2, 2)
    support = constraints.integer_interval(-1, 2)
    energy = from_callable(Field(jnp.asarray(field)), (2, 2), support)
    values = np.arange(-1, 3)
    expected = np.log(np.exp(-field[..., None] * values).sum(-1)).sum()
    np.testing.assert_allclose(EnumerationNormalizer(10)(energy), expected, rtol=1e-5)
    single = from_callable(Field(jnp.asarray(0.3)), (), support)
    expected = np.log(np.exp(-0.3 * values).sum())
    np.testing.assert_allclose(EnumerationNormalizer()(single), expected, rtol=1e-6)


def test_second_derivatives_and_batches_go_through_the_blocks():
    def log_z(strength):
        energy = from_callable(lambda x: strength * x[0] * x[1], (2,), constraints.boolean)
        return EnumerationNormalizer(3)(energy)

    strengths = jnp.array([-1.0, 0.0, 2.0])
    share = 1 / (1 + 3 * np.exp(np.asarray(strengths)))
    curvature = jax.jit(jax.vmap(jax.hessian(log_z)))(strengths)
    np.testing.assert_allclose(curvature, share * (1 - share), rtol=1e-5)


def test_a_million_states_are_summed_in_blocks():
    field = jnp.linspace(-2.0, 2.0, 20)
    energy = from_callable(Field(field), (20,), constraints.boolean)
    value = jax.jit(EnumerationNormalizer())(energy)
    np.testing.assert_allclose(value, np.log1p(np.exp(-np.asarray(field))).sum(), rtol=1e-5)


def test_normalises_a_distribution():
    energy = from_callable(Field(jnp.array([1.0, -2.0])), (2,), constraints.boolean)
    law = ebm.EnergyDistribution(energy, log_z=EnumerationNormalizer())
    states = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(np.exp(law.log_prob(states)).sum(), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (Quartic(), "binary numbers or of integers in a fixed interval to be enumerated"),
        (from_callable(jnp.sum, (2,), constraints.nonnegative_integer), "to be enumerated"),
        (from_callable(jnp.sum, (25,), constraints.boolean), "16777216 states .* got 33554432"),
        (
            from_callable(jnp.sum, (2,), constraints.integer_interval(0, 2**20)),
            "at most 16777216 states",
        ),
    ],
    ids=["real", "unbounded", "too many spins", "too many integers"],
)
def test_refuses_what_it_cannot_enumerate(energy, message):
    with pytest.raises(ValueError, match=message):
        EnumerationNormalizer()(energy)


def test_refuses_bounds_that_are_traced():
    def log_z(upper):
        support = constraints.integer_interval(0, upper)
        return EnumerationNormalizer()(from_callable(jnp.sum, (2,), support))

    with pytest.raises(ValueError, match="in a fixed interval"):
        jax.jit(log_z)(3)


def test_refuses_blocks_without_states():
    with pytest.raises(ValueError, match="`block_size` must be an integer of at least 1; got 0"):
        EnumerationNormalizer(0)
