"""Kernels whose chains follow trajectories of one length, learned from all of them."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._checks import check_count, check_flag, check_positive
from ebm_ppl._random import normals_and_uniform
from ebm_ppl._types import PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract.kernel import AbstractKernel
from ebm_ppl.samplers._contract.metropolis import (
    BEARABLE_IN_ACCEPTANCE,
    DIVERGENCE,
    accept_or_stay,
)
from ebm_ppl.samplers._contract.state import KernelState
from ebm_ppl.samplers._contract.target import Point, Transition, WhitenedTarget
from ebm_ppl.samplers._numpyro import flat_positions
from ebm_ppl.samplers._warmup import (
    POOLED,
    AdaptationState,
    Matrix,
    Proposal,
    TrajectoryState,
    ascend,
    follow_acceptance,
    is_early,
    jitter,
    most_steps,
    start_trajectory,
    visit,
)


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


class Shared(NamedTuple):
    """What all chains share in one step.

    Attributes:
        trajectory: How they follow a trajectory.
        own_steps: Whether each chain has a step size of its own instead, as early in warm-up.
        target_accept_prob: Acceptance probability that such a step size follows.
    """

    trajectory: Trajectory
    own_steps: Bool[Array, ""]
    target_accept_prob: Scalar


class Followed(NamedTuple):
    """Where a trajectory led.

    Attributes:
        end: The point at its end.
        momentum: Velocity there, whitened.
        log_ratio: Log of the ratio with which the end is accepted.
    """

    end: Point
    momentum: Float[Array, " dim"]
    log_ratio: Scalar


class AbstractSharedTrajectoryKernel(AbstractKernel):
    r"""A kernel that accepts the end of a trajectory, in each step as long for all chains.

    In step $n$ all chains take $\lceil u_n \tau / \epsilon \rceil$ steps, where $u_n - \tfrac12$ is van der
    Corput's sequence in $(0, 1)$. Warm-up learns $\tau$, beside $\epsilon$ and the mass matrix. It begins
    with few steps, and an $\epsilon$ for each chain. Subclasses follow one trajectory.
    """

    exact = True
    bias_order = None
    reversible = True
    gradient_evaluations_per_step = 1  # for each step of the integrator
    potential_evaluations_per_step = 1
    remedy_for_divergences = (
        "Raise `target_accept_prob` (to 0.95, say), run a longer warm-up, or write the model in other "
        "coordinates."
    )

    def __init__(
        self,
        model: Callable | None,
        potential_fn: PotentialFn | None,
        *,
        trajectory_length: Any,
        max_num_steps: int,
        adapt_trajectory_length: bool,
        **options: Any,
    ) -> None:
        super().__init__(model, potential_fn, pace=POOLED, **options)
        check_positive("trajectory_length", trajectory_length)
        check_count("max_num_steps", max_num_steps, 1)
        check_flag("adapt_trajectory_length", adapt_trajectory_length)
        self._trajectory_length = trajectory_length
        self._max_num_steps = max_num_steps
        self._adapt_trajectory_length = adapt_trajectory_length

    @abc.abstractmethod
    def follow(
        self,
        noise: Float[Array, " n"],
        target: WhitenedTarget,
        start: Point,
        trajectory: Trajectory,
    ) -> Followed:
        """Follow a trajectory that begins with a random momentum.

        Args:
            noise: Standard normal noise of which the momentum is made, shape `(noise_size(dim),)`.
            target: The potential.
            start: Where the trajectory begins.
            trajectory: What all chains share.

        Returns:
            Where it led.
        """

    def bearable_energy_error(self, dim: int) -> float:  # noqa: ARG002
        """By how much acceptance ratios may be off for rounding."""
        return BEARABLE_IN_ACCEPTANCE

    def kinetic_energy(self, noise: Float[Array, " n"]) -> Scalar:
        """Kinetic energy of the momentum that is made of noise.

        Args:
            noise: Standard normal noise.

        Returns:
            The energy; by default half the squared norm.
        """
        return 0.5 * jnp.sum(noise**2)

    def energy(self, before: KernelState, after: KernelState) -> Float[Array, "*chains"]:
        """Potential and kinetic energy with which each trajectory began."""
        return before.potential_energy + after.auxiliary.kinetic_energy

    def noise_size(self, dim: int) -> int:
        """Number of normal numbers of which the momentum is made; by default one for each coordinate.

        Args:
            dim: Number of coordinates.

        Returns:
            The number.
        """
        return dim

    def init_auxiliary(
        self,
        rng_key: PRNGKey,  # noqa: ARG002
        position: Float[Array, " dim"],
    ) -> Proposal:
        """No proposal as yet."""
        zeros = jnp.zeros_like(position)
        zero = jnp.zeros((), position.dtype)
        log_step_size = jnp.log(jnp.asarray(self._step_size, position.dtype))
        # Of the types that steps have.
        return Proposal(position, zeros, jnp.zeros((), int), zero, log_step_size)

    def init_learned(self, positions: Float[Array, "chains dim"]) -> TrajectoryState:
        """The search for the trajectory length before it begins."""
        length = jnp.asarray(self._trajectory_length, dtype=positions.dtype)
        return start_trajectory(length, positions[0])

    def settings(self, adaptation: AdaptationState, iteration: Int[Array, ""]) -> Shared:
        r"""The step size, and $\lceil u_n \tau / \epsilon \rceil$; early in warm-up a few steps."""
        search: TrajectoryState = adaptation.learned
        is_warm = iteration >= adaptation.num_warmup
        log_length = jnp.where(is_warm, search.average_log_length, search.log_length)
        length = jitter(iteration) * jnp.exp(log_length)
        num_steps = jnp.ceil(length / adaptation.step_size)
        ends, most = adaptation.window_ends, jnp.asarray(self._max_num_steps)
        own_steps = jnp.asarray(False)
        if self._adapt_step_size and ends.size:
            most = most_steps(iteration, ends, self._max_num_steps)
            own_steps = is_early(iteration, ends)
        # NaN and lengths beyond the integers go to the bounds.
        num_steps = jnp.clip(jnp.nan_to_num(num_steps, nan=1.0), 1, most).astype(int)
        num_steps = jnp.where(own_steps, most, num_steps)
        trajectory = Trajectory(adaptation.step_size, num_steps, adaptation.inverse_mass_matrix)
        return Shared(trajectory, own_steps, 1 - adaptation.missed)

    def settings_in_step(self, settings: Shared, axis_name: str) -> Shared:
        """As many steps for all laws as they would take in the mean."""
        step_size, num_steps, _ = trajectory = settings.trajectory
        mean = lax.pmean(num_steps.astype(step_size.dtype), axis_name)
        trajectory = trajectory._replace(num_steps=jnp.round(mean).astype(int))
        return settings._replace(trajectory=trajectory)

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Proposal,
        step_size: Shared,
    ) -> Transition:
        """Follow a trajectory, and accept its end or stay."""
        size, dtype = self.noise_size(start.position.size), start.position.dtype
        noise, uniform = normals_and_uniform(rng_key, size, dtype)
        trajectory, own_steps, target_accept_prob = step_size
        log_own = auxiliary.log_step_size
        own = jnp.where(own_steps, jnp.exp(log_own), trajectory.step_size)
        trajectory = trajectory._replace(step_size=own)
        end, momentum, log_ratio = self.follow(noise, target, start, trajectory)
        kinetic_energy = self.kinetic_energy(noise)
        proposal = Proposal(end.z, momentum, trajectory.num_steps, kinetic_energy, log_own)
        new = accept_or_stay(uniform, start, end, log_ratio, proposal)
        followed = follow_acceptance(log_own, new.accept_prob, target_accept_prob)
        log_own = jnp.where(own_steps, followed, log_own).astype(dtype)
        return new._replace(
            auxiliary=proposal._replace(log_step_size=log_own),
            diverging=new.diverging | (log_ratio < DIVERGENCE),
        )

    def own_log_step_sizes(self, auxiliary: Proposal) -> Float[Array, "*chains"] | None:
        """Those which chains carry, unless all keep the one that they were given."""
        return auxiliary.log_step_size if self._adapt_step_size else None

    def learn(self, before: KernelState, after: KernelState) -> TrajectoryState:
        """One step of the search for the trajectory length, in the second half of warm-up.

        In coordinates that are far from white yet, a trajectory looks best which is several periods long
        in those of the next window.
        """
        search: TrajectoryState = before.adaptation.learned
        if not self._adapt_trajectory_length:
            return search
        chains = before.potential_energy.shape
        positions = flat_positions(before.z, chains)
        proposal, accept_prob = after.auxiliary, jnp.atleast_1d(after.accept_prob)
        if not chains:
            proposal = jax.tree.map(lambda leaf: leaf[None], proposal)
        search = visit(search, positions, before.iteration)
        return lax.cond(
            before.iteration < before.adaptation.num_warmup // 2,
            lambda: search,
            lambda: ascend(
                search,
                jitter(before.iteration),
                positions,
                before.adaptation.inverse_mass_matrix_sqrt,
                proposal,
                accept_prob,
            ),
        )
