"""Kernels whose chains follow trajectories of one length, learned from all of them."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

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
from ebm_ppl.samplers._warmup import (
    POOLED,
    Adaptation,
    Proposal,
    Trajectory,
    TrajectorySettings,
    TrajectoryWarmup,
    follow_acceptance,
)


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
        super().__init__(
            model,
            potential_fn,
            pace=POOLED,
            bearable_energy_error=BEARABLE_IN_ACCEPTANCE,
            **options,
        )
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

    def warmup(self, adaptation: Adaptation) -> TrajectoryWarmup:
        """A warm-up that tunes the length of trajectories, too."""
        return TrajectoryWarmup(
            adaptation,
            self._trajectory_length,
            self._max_num_steps,
            self._adapt_trajectory_length,
            self._axis_name,
        )

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Proposal,
        settings: TrajectorySettings,
    ) -> Transition:
        """Follow a trajectory, and accept its end or stay."""
        size, dtype = self.noise_size(start.position.size), start.position.dtype
        noise, uniform = normals_and_uniform(rng_key, size, dtype)
        trajectory, own_steps, target_accept_prob = settings
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
