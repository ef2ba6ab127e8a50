"""Early warm-up: short trajectories, and a step size for each chain.

While nothing is known of a law, one step size for all chains is that of the chain which stands worst, and a
trajectory of a given length is hundreds of its steps. So in the first windows each chain follows its own
acceptance, and all take the same small number of steps; from window to window trajectories may take twice as
many.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._types import Scalar

_WINDOWS = 3
"""Windows in which each chain has a step size of its own."""
_FIRST_STEPS = 4
"""Steps of a trajectory in the first window."""
_GAIN = 0.5
"""Change of a chain's log step size for each unit of acceptance that it has above the target."""


def is_early(iteration: Int[Array, ""], window_ends: Int[Array, " windows"]) -> Bool[Array, ""]:
    """Whether each chain has a step size of its own.

    Args:
        iteration: Number of steps before this one.
        window_ends: Last iteration of each window of warm-up.

    Returns:
        Whether it has.
    """
    return (_window(iteration, window_ends) < _WINDOWS) & (iteration <= window_ends[-1])


def most_steps(
    iteration: Int[Array, ""], window_ends: Int[Array, " windows"], most: int
) -> Int[Array, ""]:
    """Number of steps that a trajectory may take.

    Args:
        iteration: Number of steps before this one.
        window_ends: Last iteration of each window of warm-up.
        most: The number after warm-up.

    Returns:
        The number.
    """
    growing = [min(_FIRST_STEPS * 2**k, most) for k in range(window_ends.size)]
    return jnp.asarray([*growing, most])[_window(iteration, window_ends)]


def follow_acceptance(log_step_size: Scalar, accept_prob: Scalar, target: Scalar) -> Scalar:
    """The log of a chain's own step size after a step, by Robbins & Monro (1951).

    Args:
        log_step_size: The one before.
        accept_prob: Acceptance probability of the step; NaN counts as 0.
        target: The one aimed at.

    Returns:
        The one after.
    """
    return log_step_size + _GAIN * (jnp.nan_to_num(accept_prob) - target)


def common_step_size(log_step_sizes: Float[Array, " chains"]) -> Scalar:
    """The median, which a few chains that stand badly do not change."""
    return jnp.exp(jnp.median(log_step_sizes))


def _window(iteration: Int[Array, ""], window_ends: Int[Array, " windows"]) -> Int[Array, ""]:
    return jnp.sum(iteration > window_ends)
