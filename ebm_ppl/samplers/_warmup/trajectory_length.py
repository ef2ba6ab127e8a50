"""Trajectory lengths: jittered alike for all chains, and learned from what all chains propose."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ebm_ppl._types import Scalar
from ebm_ppl.samplers._warmup.mass_matrix import Matrix, solve

# Hoffman, Radul & Sountsov (2021), Section 3.2: Adam without momentum.
_LEARNING_RATE, _MEMORY_OF_SQUARES, _LEAST_ROOT = 0.025, 0.95, 1e-8
_FORGETTING = 0.75  # of the average of log lengths, as of that of log step sizes


class Proposal(NamedTuple):
    """Where the last trajectory of a chain led, accepted or not.

    Attributes:
        z: Position at its end, unconstrained and flat.
        momentum: Momentum at its end, whitened.
        num_steps: Number of leapfrog steps, each with one gradient.
        log_step_size: Log of the step size that the chain takes by itself while warm-up is early.
    """

    z: Float[Array, "*chains dim"]
    momentum: Float[Array, "*chains dim"]
    num_steps: Int[Array, "*chains"]
    log_step_size: Float[Array, "*chains"]


class TrajectoryState(NamedTuple):
    """State of the search for a trajectory length.

    Attributes:
        log_length: Log of the mean length.
        average_log_length: Its average over the search, with the last iterations weighing most.
        mean_square: Average of the squared slopes, by which Adam scales its steps.
        num_steps: Number of slopes seen.
        centre: Running mean of the positions, unconstrained and flat.
    """

    log_length: Scalar
    average_log_length: Scalar
    mean_square: Scalar
    num_steps: Scalar
    centre: Float[Array, " dim"]


def start_trajectory(length: Scalar, position: Float[Array, " dim"]) -> TrajectoryState:
    """The state before the first slope."""
    zero, log_length = jnp.zeros_like(length), jnp.log(length)
    return TrajectoryState(log_length, log_length, zero, zero, jnp.zeros_like(position))


def radical_inverse(count: Int[Array, ""]) -> Float[Array, ""]:
    """Entry `count` of van der Corput's sequence: the bits of a count, mirrored at the binary point.

    It fills the unit interval evenly: 1/2, 1/4, 3/4, 1/8, 5/8, ... for counts from 1.
    """
    word = count.astype(jnp.uint32)
    for distance, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF)):
        word = ((word >> distance) & jnp.uint32(mask)) | ((word & jnp.uint32(mask)) << distance)
    word = (word >> 16) | (word << 16)
    return (word >> 8).astype(jnp.float32) / 2**24  # the bits that a float of 32 bits can hold


def jitter(iteration: Int[Array, ""]) -> Float[Array, ""]:
    """Length of the trajectories of a step in units of the mean length, from 1/2 to 3/2."""
    return 0.5 + radical_inverse(iteration + 1)


def visit(
    state: TrajectoryState, positions: Float[Array, "chains dim"], iteration: Int[Array, ""]
) -> TrajectoryState:
    """Count positions into the running mean."""
    mean = jnp.mean(positions, axis=0)
    centre = state.centre + (mean - state.centre) / (iteration + 1)
    return state._replace(centre=jnp.where(jnp.isfinite(centre), centre, state.centre))


def ascend(
    state: TrajectoryState,
    factor: Scalar,
    positions: Float[Array, "chains dim"],
    scale: Matrix,
    proposal: Proposal,
    accept_prob: Float[Array, " chains"],
) -> TrajectoryState:
    r"""One step up the slope of the criterion in the log of the trajectory length.

    With $q$ and $q'$ the two ends of a trajectory of length $u\tau$ in whitened coordinates, $m$ and $m'$
    their means over chains, $p'$ the momentum at the end and $\alpha$ the acceptance probability, the slope
    is

    $$\tau \operatorname{mean} \alpha\, u \left(\|q' - m'\|^2 - \|q - m\|^2\right) (q' - m') \cdot p'.$$

    (Hoffman, Radul & Sountsov divide by the mean of $\alpha$; where most ends are refused, the few others
    would then decide alone.) A chain that runs alone takes for $m$ the mean of where it has been.

    Args:
        state: The state before.
        factor: $u$.
        positions: Where the trajectories began, unconstrained.
        scale: Root of the inverse mass matrix, which whitens them.
        proposal: Where the trajectories led.
        accept_prob: $\alpha$ of each chain.

    Returns:
        The state after; slopes that are not finite leave all but the count as it is.
    """
    weight = jnp.where(jnp.isfinite(accept_prob), accept_prob, 0.0)
    total = jnp.maximum(jnp.sum(weight), jnp.finfo(weight.dtype).tiny)
    # A refused end need not be finite.
    ends, momentum = (
        jnp.where(weight[:, None] > 0, ends, starts)
        for ends, starts in ((proposal.z, positions), (proposal.momentum, 0.0))
    )
    is_alone = positions.shape[0] == 1
    start = _whiten(scale, positions - (state.centre if is_alone else jnp.mean(positions, axis=0)))
    end = _whiten(scale, ends - (state.centre if is_alone else weight @ ends / total))
    gain = jnp.sum(end**2, axis=1) - jnp.sum(start**2, axis=1)
    slope = jnp.exp(state.log_length) * factor
    slope = slope * jnp.mean(weight * gain * jnp.sum(end * momentum, axis=1))

    count = state.num_steps + 1
    mean_square = _MEMORY_OF_SQUARES * state.mean_square + (1 - _MEMORY_OF_SQUARES) * slope**2
    root = jnp.sqrt(mean_square / (1 - _MEMORY_OF_SQUARES**count)) + _LEAST_ROOT
    log_length = state.log_length + _LEARNING_RATE * slope / root
    usable = jnp.isfinite(log_length) & jnp.isfinite(mean_square)
    log_length = jnp.where(usable, log_length, state.log_length)
    weight_now = count**-_FORGETTING
    return TrajectoryState(
        log_length,
        (1 - weight_now) * state.average_log_length + weight_now * log_length,
        jnp.where(usable, mean_square, state.mean_square),
        count,
        state.centre,
    )


def _whiten(scale: Matrix, vectors: Float[Array, "chains dim"]) -> Float[Array, "chains dim"]:
    return jax.vmap(lambda vector: solve(scale, vector))(vectors)
