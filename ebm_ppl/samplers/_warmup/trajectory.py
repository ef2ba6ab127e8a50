"""Warm-up of kernels whose chains follow trajectories of one length."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._trees import tree_where
from ebm_ppl._types import Scalar
from ebm_ppl.samplers._warmup.adaptation import Adaptation
from ebm_ppl.samplers._warmup.dual_averaging import start_search
from ebm_ppl.samplers._warmup.early import common_step_size, is_early, most_steps
from ebm_ppl.samplers._warmup.mass_matrix import Matrix
from ebm_ppl.samplers._warmup.trajectory_length import (
    TrajectoryState,
    ascend,
    jitter,
    start_trajectory,
    visit,
)
from ebm_ppl.samplers._warmup.warmup import AbstractWarmup, AdaptationState, Observed


class Trajectory(NamedTuple):
    """How a trajectory is followed.

    Attributes:
        step_size: Step size of the integrator.
        num_steps: Number of its steps.
        inverse_mass_matrix: Inverse mass matrix.
    """

    step_size: Scalar
    num_steps: Int[Array, ""]
    inverse_mass_matrix: Matrix


class TrajectorySettings(NamedTuple):
    """What all chains share in one step.

    Attributes:
        trajectory: How they follow a trajectory.
        own_steps: Whether each chain has a step size of its own instead, as early in warm-up.
        target_accept_prob: Acceptance probability that such a step size follows.
    """

    trajectory: Trajectory
    own_steps: Bool[Array, ""]
    target_accept_prob: Scalar

    @property
    def step_size(self) -> Scalar:
        """Step size in whitened coordinates."""
        return self.trajectory.step_size


@dataclasses.dataclass(frozen=True)
class TrajectoryWarmup(AbstractWarmup):
    r"""A mean length $\tau$ of trajectories, beside a step size $\epsilon$ and a mass matrix.

    The chains carry a `Proposal` each.

    Attributes:
        adaptation: What tunes step size and mass matrix.
        trajectory_length: Initial $\tau$.
        max_num_steps: Bound of the number of steps.
        adapt_trajectory_length: Whether to tune $\tau$.
        axis_name: Name of the axis over laws along which the kernel is mapped; `None` for one law.
    """

    adaptation: Adaptation
    trajectory_length: float | Array
    max_num_steps: int
    adapt_trajectory_length: bool
    axis_name: str | None = None

    def init(
        self,
        num_warmup: int,
        step_size: Scalar,
        inverse_mass_matrix: Matrix,
        positions: Float[Array, "chains dim"],
    ) -> AdaptationState:
        """The state before the first step."""
        state = self.adaptation.init(num_warmup, step_size, inverse_mass_matrix, positions)
        length = jnp.asarray(self.trajectory_length, dtype=positions.dtype)
        return state._replace(learned=start_trajectory(length, positions[0]))

    def settings(self, state: AdaptationState, iteration: Int[Array, ""]) -> TrajectorySettings:
        r"""The step size, and $\lceil u_n \tau / \epsilon \rceil$; early in warm-up a few steps."""
        search: TrajectoryState = state.learned
        is_warm = iteration >= state.num_warmup
        log_length = jnp.where(is_warm, search.average_log_length, search.log_length)
        num_steps = jnp.ceil(jitter(iteration) * jnp.exp(log_length) / state.step_size)
        ends, most = state.window_ends, jnp.asarray(self.max_num_steps)
        own_steps = jnp.asarray(False)
        if self.adaptation.adapt_step_size and ends.size:
            most = most_steps(iteration, ends, self.max_num_steps)
            own_steps = is_early(iteration, ends)
        # NaN and lengths beyond the integers go to the bounds.
        num_steps = jnp.clip(jnp.nan_to_num(num_steps, nan=1.0), 1, most).astype(int)
        num_steps = jnp.where(own_steps, most, num_steps)
        if self.axis_name is not None:
            num_steps = _alike(num_steps, state.step_size, self.axis_name)
        trajectory = Trajectory(state.step_size, num_steps, state.inverse_mass_matrix)
        return TrajectorySettings(trajectory, own_steps, 1 - state.missed)

    def update(self, state: AdaptationState, observed: Observed) -> AdaptationState:
        """Learn from one step of all chains; after warm-up return `state` as it is."""
        new = self.adaptation.update(state, observed)
        if state.window_ends.size == 0:
            return new

        def learn() -> AdaptationState:
            led = new
            if self.adaptation.adapt_step_size:
                common = common_step_size(observed.auxiliary.log_step_size)
                led = new._replace(step_size=common, dual_averaging=start_search(common))
                led = tree_where(is_early(observed.iteration, state.window_ends), led, new)
            if self.adapt_trajectory_length:
                led = led._replace(learned=self._follow_ends(state, observed))
            return led.with_step_size(led.step_size)

        return lax.cond(observed.iteration < state.num_warmup, learn, lambda: new)

    def _follow_ends(self, state: AdaptationState, observed: Observed) -> TrajectoryState:
        """One step of the search for the length, in the second half of warm-up.

        In coordinates that are far from white yet, a trajectory looks best which is several periods long
        in those of the next window.
        """
        search = visit(state.learned, observed.starts, observed.iteration)
        return lax.cond(
            observed.iteration < state.num_warmup // 2,
            lambda: search,
            lambda: ascend(
                search,
                jitter(observed.iteration),
                observed.starts,
                state.inverse_mass_matrix_sqrt,
                observed.auxiliary,
                observed.accept_prob,
            ),
        )


def _alike(num_steps: Int[Array, ""], like: Scalar, axis_name: str) -> Int[Array, ""]:
    """As many steps for all laws as they would take in the mean: else each waits for the costliest."""
    return jnp.round(lax.pmean(num_steps.astype(like.dtype), axis_name)).astype(int)
