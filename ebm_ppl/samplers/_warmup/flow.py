r"""Warm-up of unadjusted microcanonical dynamics: its step size, and how long a direction is remembered.

The step size $\epsilon$ is tuned to a variance $V$ of a step's energy error per dimension. The error is
$O(\epsilon^3)$, so that an error $\Delta E$ suggests $\epsilon\, (V d / \Delta E^2)^{1/6}$; the suggestions
of the last steps of all chains are averaged as $\epsilon^{-6}$. A direction is forgotten in the time $\ell$:
at first the target's width, at last a multiple of the autocorrelation time. Both rules are those of Robnik,
De Luca, Silverstein & Seljak (2023) and Robnik & Seljak (2023), who learn from one chain.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ebm_ppl._types import Scalar
from ebm_ppl.samplers._warmup.mass_matrix import MomentsState, merge, no_moments

_LARGEST_ERROR = 1e3
"""What a refused step counts, and one of a larger error, in units of the error aimed at."""
_MEMORY, _MEMORY_IN_STEPS = 150, 15
"""Number of errors, and of steps of all chains, beyond which the average forgets (the first as published)."""
_KEPT_WEIGHT = 4.0
"""Number of errors that a window inherits: as if so many had been right for its first step size."""
_GAIN = 0.25
"""What a new error adds to the number remembered: a quarter, so that poor first steps are soon forgotten."""
_LENGTH_IN_TIMES = 0.8
"""Length in units of the integrated autocorrelation time.

Robnik & Seljak (2023) have half of it. On a normal law in 100 dimensions, a logistic regression and a
Rosenbrock density the smallest effective size, of first and second moments, was 14% to 23% larger here.
"""
_NUM_BATCHES = 16
"""Number of batches, of all chains together, from which that time is estimated at least."""


class FlowSearch(NamedTuple):
    """State of the search.

    Attributes:
        length: Time in which a direction is forgotten.
        log_step_size: Log of the step size found.
        weight: Number of errors behind it.
        moments: Moments of the whitened positions in the current window.
        batch: Sum of the whitened positions of each chain in the current batch.
        batch_means: Moments of the means of the batches.
    """

    length: Scalar
    log_step_size: Scalar
    weight: Scalar
    moments: MomentsState
    batch: Float[Array, "chains dim"]
    batch_means: MomentsState


def start_flow_search(
    length: Scalar, step_size: Scalar, positions: Float[Array, "chains dim"]
) -> FlowSearch:
    """The state before the first step."""
    none, zeros = no_moments(positions[0]), jnp.zeros_like(positions)
    return FlowSearch(length, jnp.log(step_size), jnp.ones_like(length), none, zeros, none)


def follow_errors(
    search: FlowSearch, step_size: Scalar, relative_errors: Float[Array, " chains"]
) -> FlowSearch:
    r"""Correct the step size by the energy errors of one step.

    With $T$ remembered errors behind the step size and a mean $\xi$ over $m$ chains of the squared error in
    units of the one aimed at, $\epsilon^6 \leftarrow \epsilon^6\, (T + m) / (T + m \xi)$ and
    $T \leftarrow T + m / 4$ up to a bound.

    Args:
        search: The state before.
        step_size: The step size with which the errors were made.
        relative_errors: Squared errors in units of $V d$; NaN where a step was refused.

    Returns:
        The state after.
    """
    num_chains = relative_errors.size
    capped = jnp.minimum(relative_errors, _LARGEST_ERROR)
    mean = jnp.mean(jnp.where(jnp.isnan(capped), _LARGEST_ERROR, capped))
    old = jnp.minimum(search.weight, max(_MEMORY, _MEMORY_IN_STEPS * num_chains))
    change = jnp.log((old + num_chains) / (old + num_chains * mean)) / 6
    return search._replace(
        log_step_size=jnp.log(step_size) + change, weight=old + _GAIN * num_chains
    )


def change_coordinates(
    search: FlowSearch, before: Float[Array, "dim *dim"], after: Float[Array, "dim *dim"]
) -> FlowSearch:
    """Keep the step of unconstrained positions where other coordinates are white from now on.

    What is known of errors was learned in the coordinates before, and counts for little.

    Args:
        search: The state before.
        before: Root of the inverse mass matrix that was in use.
        after: The one that is from now on.

    Returns:
        The state after.
    """
    old, new = (root if root.ndim == 1 else jnp.diagonal(root) for root in (before, after))
    stretch = jnp.mean(jnp.log(old)) - jnp.mean(jnp.log(new))
    return search._replace(
        log_step_size=search.log_step_size + stretch,
        weight=jnp.minimum(search.weight, _KEPT_WEIGHT),
    )


def follow_memory(
    search: FlowSearch,
    white: Float[Array, "chains dim"],
    iteration: Int[Array, ""],
    window_ends: Int[Array, " windows"],
) -> FlowSearch:
    """Count whitened positions into the moments and, in the last window but one, into batches.

    Args:
        search: The state before.
        white: The positions.
        iteration: Number of steps before this one.
        window_ends: Last iteration of each window of warm-up.

    Returns:
        The state after.
    """
    first, last = window_ends[-3], window_ends[-2]
    size = _batch_size(window_ends, white.shape[0])
    index = iteration - first
    is_measured = (index > 0) & (iteration <= last)
    batch = jnp.where(is_measured, search.batch + white, 0.0)
    is_full = is_measured & (index % size == 0)
    batch_means = lax.cond(
        is_full,
        lambda: merge(search.batch_means, batch / size.astype(batch.dtype)),
        lambda: search.batch_means,
    )
    return search._replace(
        moments=merge(search.moments, white),
        batch=jnp.where(is_full, 0.0, batch),
        batch_means=batch_means,
    )


def _batch_size(window_ends: Int[Array, " windows"], num_chains: int) -> Int[Array, ""]:
    """Number of steps of a batch, of which a chain makes as few as together give enough."""
    num_steps = window_ends[-2] - window_ends[-3]
    return jnp.maximum(num_steps // math.ceil(_NUM_BATCHES / num_chains), 1)


def end_window(
    search: FlowSearch,
    step_size: Scalar,
    iteration: Int[Array, ""],
    window_ends: Int[Array, " windows"],
    *,
    learns_width: bool,
) -> FlowSearch:
    r"""Take over what a window has shown about the length, and begin the next.

    From batches of $b$ steps the integrated autocorrelation time is $b$ times the variance of the batches'
    means over that of the positions, averaged over coordinates.

    Args:
        search: The state before.
        step_size: The window's step size, in the coordinates of the next.
        iteration: The last iteration of the window.
        window_ends: Last iteration of each window.
        learns_width: Whether the target's width is to be measured; in coordinates that the next window
            whitens it is 1.

    Returns:
        The state after.
    """
    variance = search.moments.squared_deviations / (search.moments.num_positions - 1)
    width = jnp.sqrt(jnp.mean(variance)) if learns_width else jnp.ones_like(search.length)
    means = search.batch_means
    size = _batch_size(window_ends, search.batch.shape[0])
    between = means.squared_deviations / (means.num_positions - 1)
    times = size.astype(variance.dtype) * jnp.mean(between / variance)
    by_times = _LENGTH_IN_TIMES * step_size * jnp.maximum(times, 1.0)
    length = jnp.where(iteration == window_ends[-2], by_times, width)
    usable = jnp.isfinite(length) & (length > 0) & (iteration <= window_ends[-2])
    usable = usable & (iteration > window_ends[0])
    return search._replace(
        length=jnp.where(usable, length, search.length),
        moments=no_moments(search.moments.squared_deviations),
    )
