"""Dual averaging: a stochastic search for the step size with a given acceptance probability."""

from typing import NamedTuple

import jax.numpy as jnp

from ebm_ppl._types import Scalar

# Hoffman & Gelman (2014), Section 3.2.1: t_0 and kappa.
_DELAY, _FORGETTING = 10.0, 0.75


class DualAveragingState(NamedTuple):
    """State of the search for the log step size that meets the target acceptance probability."""

    log_step_size: Scalar
    average_log_step_size: Scalar
    average_error: Scalar
    num_steps: Scalar
    anchor: Scalar


def start_search(step_size: Scalar) -> DualAveragingState:
    """The state before the first step, drawn towards the step size that it starts from.

    Hoffman & Gelman draw the search towards ten times as much, since long steps save gradients
    within a trajectory. Kernels of one step save nothing by them and would have most proposals
    refused.
    """
    zero = jnp.zeros_like(step_size)
    return DualAveragingState(zero, zero, zero, zero, jnp.log(step_size))


def search(error: Scalar, state: DualAveragingState, shrinkage: float) -> DualAveragingState:
    """One step (Hoffman & Gelman 2014, Algorithm 5).

    Args:
        error: Target acceptance probability minus the one observed.
        state: The state before.
        shrinkage: Their gamma: the larger, the shorter the steps.

    Returns:
        The state after.
    """
    count = state.num_steps + 1
    weight = 1 / (count + _DELAY)
    average_error = (1 - weight) * state.average_error + weight * error
    log_step_size = state.anchor - jnp.sqrt(count) / shrinkage * average_error
    weight = count**-_FORGETTING
    average = (1 - weight) * state.average_log_step_size + weight * log_step_size
    return DualAveragingState(log_step_size, average, average_error, count, state.anchor)
