"""Contrastive divergence on a tiny machine: its known bias, from exact transition matrices."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import ebm_ppl as ebm
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.trainers import as_batch
from ebm_ppl.trainers._base import Model

START = RestrictedBoltzmannMachine.random(jax.random.key(0), 4, 2, weight_scale=1.0)
STATES = enumerate_states(START).states
# Patterns and noise that a machine of two hidden units cannot hold.
COUNTS = np.full(16, 16)
COUNTS[[0, 3, 5, 6, 15]] += 256
DATA = np.repeat(STATES, COUNTS, axis=0)


def layer_laws(machine):
    """Exact law of the visible units after one sweep from each state."""
    hidden = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def shares(logits, states):
        up = jax.nn.sigmoid(logits)[:, None]
        return jnp.prod(jnp.where(states > 0, up, 1 - up), axis=-1)

    to_hidden = shares(jax.vmap(machine.hidden_logits)(STATES), hidden)
    return to_hidden @ shares(jax.vmap(machine.visible_logits)(hidden), STATES)


def mean_gradient(machine, share):
    """Mean of the energy's gradient under a law over all states."""
    return jax.grad(lambda m: share @ jax.vmap(m)(STATES))(machine)


def contrast(machine, num_steps):
    """Exact mean gradient of CD-k; of maximum likelihood if the number of sweeps is `None`."""
    share = jnp.asarray(COUNTS / COUNTS.sum())
    if num_steps is None:
        negative = jax.nn.softmax(-jax.vmap(machine)(STATES))
    else:
        negative = share @ jnp.linalg.matrix_power(layer_laws(machine), num_steps)
    return mean_gradient(machine, share - negative)


def length(gradient):
    return float(jnp.linalg.norm(ravel_pytree(gradient)[0]))


def bias(machine, num_steps):
    """Gradient of CD-k less that of maximum likelihood."""
    return jax.tree.map(jnp.subtract, contrast(machine, num_steps), contrast(machine, None))


def test_cd_is_biased_where_the_data_are_no_machine_and_less_so_with_more_sweeps():
    with float64():
        machine = to_float64(START)
        lengths = [length(bias(machine, num_steps)) for num_steps in (1, 2, 5, 20)]
    assert lengths[0] > 0.05
    assert np.all(np.diff(lengths) < 0)
    assert lengths[-1] < 1e-12


def test_cd_is_unbiased_where_the_data_are_a_machine():
    with float64():
        machine = to_float64(START)
        share = jax.nn.softmax(-jax.vmap(machine)(STATES))
        moved = share @ layer_laws(machine)
        assert length(mean_gradient(machine, share - moved)) < 1e-12


def test_the_objective_has_the_exact_gradient_of_cd_1_and_its_bias():
    """Means of 60 repetitions against the exact gradient of CD-1, 8 standard errors each.

    False alarm: 14 parameters, 59 degrees of freedom, below 1e-9. Power: the bias of CD-1, without which it
    would be maximum likelihood, is more than 30 standard errors.
    """
    with float64():
        exact = np.asarray(ravel_pytree(contrast(to_float64(START), 1))[0])
        excess = np.asarray(ravel_pytree(bias(to_float64(START), 1))[0])
    machine = START
    batch = as_batch(machine, DATA)
    objective = ebm.ContrastiveDivergence(ebm.BlockGibbs, num_steps=1, num_chains_per_example=4)

    @jax.jit
    @jax.vmap
    def gradients(key):
        sample = objective.prepare(Model(machine, None), batch, None, jnp.asarray(0), key).sample
        gradient = jax.grad(lambda m: jnp.mean(objective.losses(Model(m, None), batch, sample)))(
            machine
        )
        return ravel_pytree(gradient)[0]

    draws = np.asarray(gradients(jax.random.split(jax.random.key(1), 60)), np.float64)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - exact) < 8 * error + 1e-6)
    assert np.max(np.abs(excess) / error) > 30
