"""Standard errors count the noise that a fit has not averaged out, and no other."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.distributions import constraints

from ebm_ppl.energies import AbstractEnergy, Gaussian, as_parameter
from ebm_ppl.trainers import (
    AbstractObjective,
    Model,
    PersistentCD,
    Prepared,
    ReplayBufferCD,
    ScoreMatching,
    as_batch,
    standard_errors,
)
from ebm_ppl.trainers.replay_buffer import Slots

NUM_EXAMPLES = 50_000
NOISE = 2.0
KEY = jax.random.key(0)


class Location(AbstractEnergy):
    """A normal law of known scale."""

    loc: jax.Array = eqx.field(converter=as_parameter)
    event_shape = ()
    support = constraints.real

    def _energy(self, x):
        return 0.5 * (x - self.loc) ** 2


class Blurred(AbstractObjective):
    """Least squares for a location, from examples with noise of their own in each draw."""

    consistent: ClassVar[bool] = True
    is_criterion: ClassVar[bool] = True

    def prepare(self, model, batch, carried, step, rng_key):
        return Prepared(NOISE * jax.random.normal(rng_key, batch.x.shape), carried, {})

    def losses(self, model, batch, sample):
        return jax.vmap(model.energy)(batch.x + sample)


def _variance(**options):
    """Of the location, times the number of examples."""
    energy = Location(0.0)
    data = as_batch(energy, jax.random.normal(KEY, (NUM_EXAMPLES,)))
    errors = standard_errors(Blurred(), Model(energy), data, KEY, num_draws=8, **options)
    return NUM_EXAMPLES * float(errors.energy.loc) ** 2


@pytest.mark.parametrize(("num_averaged", "variance"), [(None, 1.0), (1, 5.0), (4, 2.0)])
def test_noise_counts_as_often_as_it_was_drawn(num_averaged, variance):
    """The variance of an example, and of what is left of its noise in the mean of m draws.

    A false alarm needs 6 standard errors, which are below 0.8% of the variance.
    """
    np.testing.assert_allclose(_variance(num_averaged=num_averaged), variance, rtol=0.05)


def test_an_objective_that_draws_nothing_has_no_noise_to_count():
    x = jax.random.normal(KEY, (100, 1))
    energy = Gaussian(jnp.zeros(1), jnp.eye(1))
    batch = as_batch(energy, x)
    errors = [
        standard_errors(ScoreMatching(), Model(energy), batch, KEY, num_averaged=m).energy.loc
        for m in (None, 1)
    ]
    np.testing.assert_array_equal(*errors)


def test_a_number_of_draws_is_positive():
    with pytest.raises(ValueError, match="`num_averaged` must be"):
        _variance(num_averaged=0)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_sensitivity_is_the_slope_of_the_mean_gradient_under_the_law(penalty):
    """By differentiating weights that turn draws of one law into draws of its neighbours."""
    draws = jax.random.normal(KEY, (40, 2))
    energy = Gaussian(jnp.array([0.3, -0.2]), jnp.array([[1.5, 0.2], [0.2, 0.8]]))
    flat, unravel = ravel_pytree(energy)

    def mean_gradient(theta):
        energies = jax.vmap(unravel(theta))(draws)
        weights = jax.nn.softmax(jax.lax.stop_gradient(energies) - energies)

        def loss(theta):  # as chains enter it
            negative = jax.vmap(unravel(theta))(draws)
            return -(negative - penalty * negative**2)

        return jax.lax.stop_gradient(jax.jacfwd(loss)(flat)).T @ weights

    slope = jax.jacfwd(mean_gradient)(flat)
    batch, no_gradients = as_batch(energy, jnp.zeros((1, 2))), jnp.zeros((1, len(flat)))
    buffered = ReplayBufferCD(energy_penalty=penalty)
    found = [buffered.sensitivity(no_gradients, Model(energy), batch, Slots(draws, None))]
    if not penalty:
        found.append(PersistentCD().sensitivity(no_gradients, Model(energy), batch, draws))
    for matrix in found:
        np.testing.assert_allclose(matrix, slope, rtol=1e-4, atol=1e-5)
