"""Short chains without warm-up, for the inside of a larger program: a few steps, and where they end."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ebm_ppl._random import normals, step_key
from ebm_ppl._trees import tree_where
from ebm_ppl._types import Position, PRNGKey, Scalar
from ebm_ppl.samplers._contract.kernel import AbstractKernel
from ebm_ppl.samplers._contract.target import Point, WhitenedTarget
from ebm_ppl.samplers._contract.unadjusted import AbstractUnadjustedKernel


def run_short_chain(
    kernel: Any, z: Position, num_steps: int, rng_key: PRNGKey
) -> tuple[Position, Scalar]:
    """Take a few steps of one chain with a kernel as it is: nothing is adapted.

    For kernels of this package it costs as many gradients as there are steps, since nobody reads the one
    at the end, and little else; `jax.vmap` gives many chains. Call it within a function that `jax.jit`
    compiles: its loop is otherwise compiled anew at each call.

    Args:
        kernel: A kernel of NumPyro or of this package, made with `potential_fn`.
        z: Unconstrained position to start from.
        num_steps: Number of steps, at least 1.
        rng_key: Random key.

    Returns:
        The position at the end, and the mean acceptance probability.
    """
    z, record = run_recorded_chain(kernel, z, num_steps, rng_key)
    return z, record["accept_prob"]


def run_recorded_chain(
    kernel: Any, z: Position, num_steps: int, rng_key: PRNGKey
) -> tuple[Position, dict[str, Scalar]]:
    """As `run_short_chain`, with all that is to be known of the steps.

    Args:
        kernel: A kernel of NumPyro or of this package, made with `potential_fn`.
        z: Unconstrained position to start from.
        num_steps: Number of steps, at least 1.
        rng_key: Random key.

    Returns:
        The position at the end, and means over the steps by name: of the acceptance probability
        (`accept_prob`), and of the departures of an unadjusted kernel.
    """
    if isinstance(kernel, AbstractKernel):
        return _run_ours(kernel, z, num_steps, rng_key)

    def advance(state: Any, _: None) -> tuple[Any, Scalar]:
        state = kernel.sample(state, (), {})
        return state, state.accept_prob

    state = kernel.init(rng_key, 0, init_params=z)
    state, accept_prob = jax.lax.scan(advance, state, None, length=num_steps)
    return state.z, {"accept_prob": jnp.mean(accept_prob)}


def _departures(kernel: AbstractKernel, start: Point, end: Point) -> dict[str, Scalar]:
    """In what a step departs from the law that its kernel is made for."""
    return kernel.departures(start, end) if isinstance(kernel, AbstractUnadjustedKernel) else {}


def _run_ours(
    kernel: AbstractKernel, z: Position, num_steps: int, rng_key: PRNGKey
) -> tuple[Position, dict[str, Scalar]]:
    state = kernel.init(step_key(rng_key, 0), 0, init_params=z)
    adaptation = state.adaptation
    flat, unravel = ravel_pytree(state.z)
    z_grad = None if state.z_grad is None else ravel_pytree(state.z_grad)[0]
    potential_fn = kernel.get_potential_fn((), None)
    tuning = kernel.tuning(flat.size)

    def target_at(flat: Float[Array, " dim"]) -> WhitenedTarget:
        return WhitenedTarget(
            lambda flat: potential_fn(unravel(flat)),
            flat,
            adaptation.inverse_mass_matrix_sqrt,
            kernel.gradient_evaluations_per_step > 0,
        )

    iterations = jnp.arange(num_steps)
    if isinstance(kernel, AbstractUnadjustedKernel):
        randomness = normals(step_key(rng_key, 1), num_steps * flat.size, flat.dtype)
        randomness = randomness.reshape(num_steps, flat.size)
    else:
        randomness = iterations + 1

    def advance(
        carry: tuple[Any, ...], step: tuple[Array, Array]
    ) -> tuple[tuple[Any, ...], dict[str, Scalar]]:
        flat, potential_energy, z_grad, auxiliary = carry
        randomness, iteration = step
        target = target_at(flat)
        start = target.start(potential_energy, z_grad)
        settings = tuning.settings(adaptation, iteration)
        if isinstance(kernel, AbstractUnadjustedKernel):
            new = kernel.settle(randomness, target, start, auxiliary, settings)
        else:
            key = step_key(rng_key, randomness)
            new = kernel.transition(key, target, start, auxiliary, settings)
        point = new.point
        record = {"accept_prob": new.accept_prob} | _departures(kernel, start, point)
        return (point.z, point.potential_energy, point.z_grad, new.auxiliary), record

    carry = (flat, state.potential_energy, z_grad, state.auxiliary)
    # A step outside the loop, compiled once more, costs these kernels up to an eighth and saves nothing.
    if kernel.gradient_evaluations_per_step == 0:
        (flat, *_), records = jax.lax.scan(advance, carry, (randomness, iterations))
        return unravel(flat), jax.tree.map(jnp.mean, records)
    carry, records = jax.lax.scan(advance, carry, (randomness[:-1], iterations[:-1]))
    # The last step stands outside the loop, where XLA leaves out the gradient that nobody reads.
    if isinstance(kernel, AbstractUnadjustedKernel):
        flat, potential_energy, z_grad, auxiliary = carry
        target = target_at(flat)
        start = target.start(potential_energy, z_grad)
        settings = tuning.settings(adaptation, iterations[-1])
        end, _ = kernel.move(randomness[-1], target, start, auxiliary, settings)
        finite = jnp.all(jnp.isfinite(end.z)) & jnp.isfinite(end.potential_energy)
        point = tree_where(finite, end, start)
        flat = point.z
        last = {"accept_prob": finite.astype(flat.dtype)} | _departures(kernel, start, point)
    else:
        (flat, *_), last = advance(carry, (randomness[-1], iterations[-1]))
    return unravel(flat), jax.tree.map(
        lambda values, last: (jnp.sum(values) + last) / num_steps, records, last
    )
