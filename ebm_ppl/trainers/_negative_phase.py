"""Negative examples: where moves under the current energy lead."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import PotentialFn, PRNGKey
from ebm_ppl.potentials import EnergyPotential, potential_fn
from ebm_ppl.samplers import Langevin, Moves
from ebm_ppl.samplers._numpyro import check_finite_start
from ebm_ppl.trainers._batch import Condition, at


def check_moves(moves: Moves, energy: Any, x: Array, condition: Condition | None) -> None:
    """Make every kernel once outside a step, so that its own checks and warnings take effect."""
    potential = _first_potential(energy, condition)
    z = potential.unconstrain(x[0])
    check_finite_start(eqx.filter_jit(potential)(z))
    for kernel in moves.kernels(potential):
        jax.eval_shape(lambda z, kernel=kernel: kernel.init(jax.random.key(0), 0, init_params=z), z)


def move_chains(
    moves: Moves,
    energy: Any,
    x: Float[Array, "num_chains *event"],
    condition: Condition | None,
    step: Array,
    rng_key: PRNGKey,
) -> tuple[Float[Array, "num_chains *event"], dict[str, Float[Array, ""]]]:
    """Move every chain.

    Args:
        moves: What moves the chains.
        energy: The energy; its parameters are constants here.
        x: Where the chains stand.
        condition: What each chain is conditioned on.
        step: Training step, for schedules.
        rng_key: Random key.

    Returns:
        Where the chains stand then, and metrics: the mean acceptance probability and, for Langevin
        kernels, the largest effective temperature of those with noise of their own (`temperature`), the
        share of moves along a clipped gradient (`clipped_moves`) and that of coordinates at the sides of a
        box (`at_box`).
    """

    def move(rng_key: PRNGKey, x: Array, condition: Condition | None) -> tuple[Array, Any]:
        potential = potential_fn(at(energy, condition))
        z, record = moves.run_recorded(potential, potential.unconstrain(x), rng_key, step)
        return potential.constrain(z), record

    x, records = jax.vmap(move)(jax.random.split(rng_key, len(x)), x, condition)
    metrics = jax.tree.map(jnp.mean, records)
    temperature = _temperature(moves, _first_potential(energy, condition), step)
    return x, metrics if temperature is None else metrics | {"temperature": temperature}


def _temperature(moves: Moves, potential: PotentialFn, step: Array) -> Array | None:
    """Largest effective temperature of the Langevin kernels that have noise of their own."""
    given = [
        jnp.asarray(kernel.effective_temperature, dtype=float)
        for kernel in moves.kernels(potential, step)
        if isinstance(kernel, Langevin) and kernel.has_own_noise
    ]
    return jnp.max(jnp.stack(given)) if given else None


def _first_potential(energy: Any, condition: Condition | None) -> EnergyPotential:
    """The potential of the first chain, which stands for all where their values do not matter."""
    return potential_fn(at(energy, jax.tree.map(lambda leaf: leaf[0], condition)))
