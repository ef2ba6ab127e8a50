"""Kernels whose chains follow trajectories of one length, learned from all of them."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ebm_ppl._checks import check_count, check_flag, check_positive
from ebm_ppl._random import normals_and_uniform
from ebm_ppl._types import PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract.kernel import AbstractKernel
from ebm_ppl.samplers._contract.metropolis import BEARABLE_IN_ACCEPTANCE, accept_or_stay
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
    jitter,
    start_trajectory,
    visit,
)

_DIVERGENCE = -1000.0
"""Log acceptance ratio below which NumPyro and Stan, too, call a trajectory divergent."""


class Trajectory(NamedTuple):
    """What the trajectories of all chains share in one step."""

    step_size: Scalar
    num_steps: Int[Array, ""]
    inverse_mass_matrix: Matrix


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
    Corput's sequence in $(0, 1)$. Warm-up learns $\tau$, beside $\epsilon$ and the mass matrix. Subclasses
    follow one trajectory.
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
        return Proposal(position, zeros, jnp.zeros((), int), zero)  # of the types that steps have

    def init_learned(self, positions: Float[Array, "chains dim"]) -> TrajectoryState:
        """The search for the trajectory length before it begins."""
        length = jnp.asarray(self._trajectory_length, dtype=positions.dtype)
        return start_trajectory(length, positions[0])

    def settings(self, adaptation: AdaptationState, iteration: Int[Array, ""]) -> Trajectory:
        r"""The step size, and $\lceil u_n \tau / \epsilon \rceil$."""
        search: TrajectoryState = adaptation.learned
        is_warm = iteration >= adaptation.num_warmup
        log_length = jnp.where(is_warm, search.average_log_length, search.log_length)
        length = jitter(iteration) * jnp.exp(log_length)
        num_steps = jnp.ceil(length / adaptation.step_size)
        # NaN and lengths beyond the integers go to the bounds.
        num_steps = jnp.clip(jnp.nan_to_num(num_steps, nan=1.0), 1, self._max_num_steps)
        return Trajectory(
            adaptation.step_size, num_steps.astype(int), adaptation.inverse_mass_matrix
        )

    def settings_in_step(self, settings: Trajectory, axis_name: str) -> Trajectory:
        """As many steps for all laws as they would take in the mean."""
        mean = lax.pmean(settings.num_steps.astype(settings.step_size.dtype), axis_name)
        return settings._replace(num_steps=jnp.round(mean).astype(int))

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Proposal,  # noqa: ARG002
        step_size: Trajectory,
    ) -> Transition:
        """Follow a trajectory, and accept its end or stay."""
        size, dtype = self.noise_size(start.position.size), start.position.dtype
        noise, uniform = normals_and_uniform(rng_key, size, dtype)
        end, momentum, log_ratio = self.follow(noise, target, start, step_size)
        proposal = Proposal(end.z, momentum, step_size.num_steps, self.kinetic_energy(noise))
        new = accept_or_stay(uniform, start, end, log_ratio, proposal)
        return new._replace(diverging=new.diverging | (log_ratio < _DIVERGENCE))

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
