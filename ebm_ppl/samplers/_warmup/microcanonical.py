"""Warm-up of unadjusted microcanonical dynamics."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ebm_ppl._types import Scalar
from ebm_ppl.samplers._warmup.adaptation import Adaptation
from ebm_ppl.samplers._warmup.flow import (
    FlowSearch,
    change_coordinates,
    end_window,
    follow_errors,
    follow_memory,
    start_flow_search,
)
from ebm_ppl.samplers._warmup.mass_matrix import Matrix, solve
from ebm_ppl.samplers._warmup.warmup import AbstractWarmup, AdaptationState, Observed

UNITS_OF_ROUNDING = 2.0
"""Units in the last place of the potential energy below which an energy error is taken for rounding."""


class FlowSettings(NamedTuple):
    """What all chains share in one step.

    Attributes:
        step_size: Step size in whitened coordinates.
        length: Time in which a direction is forgotten.
    """

    step_size: Scalar
    length: Scalar


@dataclasses.dataclass(frozen=True)
class FlowWarmup(AbstractWarmup):
    r"""A step size by energy errors, and the time in which a direction is forgotten.

    The chains carry an `energy_error` each.

    Attributes:
        adaptation: What tunes the mass matrix.
        length: Initial time.
        energy_variance: Variance of a step's energy error over the dimension to tune to.
        adapt_step_size: Whether to tune the step size.
        adapt_length: Whether to tune the time.
    """

    adaptation: Adaptation
    length: float | Array
    energy_variance: float | Array
    adapt_step_size: bool
    adapt_length: bool

    def init(
        self,
        num_warmup: int,
        step_size: Scalar,
        inverse_mass_matrix: Matrix,
        positions: Float[Array, "chains dim"],
    ) -> AdaptationState:
        """The state before the first step."""
        state = self.adaptation.init(num_warmup, step_size, inverse_mass_matrix, positions)
        length = jnp.asarray(self.length, dtype=positions.dtype)
        return state._replace(learned=start_flow_search(length, step_size, positions))

    def settings(self, state: AdaptationState, iteration: Int[Array, ""]) -> FlowSettings:  # noqa: ARG002
        """The step size and the time."""
        return FlowSettings(state.step_size, state.learned.length)

    def update(self, state: AdaptationState, observed: Observed) -> AdaptationState:
        """Learn from one step of all chains; after warm-up return `state` as it is."""
        new = self.adaptation.update(state, observed)
        if state.window_ends.size == 0:
            return new

        def learn() -> AdaptationState:
            search = self._follow(state, new, observed)
            learned = new._replace(learned=search)
            if not self.adapt_step_size:
                return learned
            return learned.with_step_size(jnp.exp(search.log_step_size))

        return lax.cond(observed.iteration < state.num_warmup, learn, lambda: new)

    def _follow(
        self, state: AdaptationState, new: AdaptationState, observed: Observed
    ) -> FlowSearch:
        """Correct step size and time by one step of all chains, of which the mass matrix is learned."""
        ends, scale = state.window_ends, state.inverse_mass_matrix_sqrt
        search = follow_errors(state.learned, state.step_size, self._relative_errors(observed))
        if ends.size < 3:
            return search
        if self.adapt_length:
            white = jax.vmap(lambda z: solve(scale, z))(observed.ends)
            search = follow_memory(search, white, observed.iteration, ends)

        def end() -> FlowSearch:
            changed = change_coordinates(search, scale, new.inverse_mass_matrix_sqrt)
            if not self.adapt_length:
                return changed
            return end_window(
                changed,
                state.step_size * jnp.exp(changed.log_step_size - search.log_step_size),
                observed.iteration,
                ends,
                learns_width=not self.adaptation.adapt_mass_matrix,
            )

        return lax.cond(jnp.any(observed.iteration == ends), end, lambda: search)

    def _relative_errors(self, observed: Observed) -> Float[Array, " chains"]:
        """Squared energy errors in units of what they are tuned to; NaN where a step was refused."""
        errors = observed.auxiliary.energy_error
        rounding = UNITS_OF_ROUNDING * jnp.finfo(errors.dtype).eps
        rounding = rounding * jnp.abs(observed.potential_energy)
        aim = jnp.maximum(self.energy_variance * observed.ends.shape[1], rounding**2)
        return jnp.where(observed.diverging, jnp.nan, errors**2 / aim)
