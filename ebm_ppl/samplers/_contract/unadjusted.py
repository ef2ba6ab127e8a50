"""Unadjusted kernels: one step of a discretised diffusion, taken whenever it is finite."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._random import normals
from ebm_ppl._trees import tree_where
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.samplers._contract.kernel import AbstractKernel
from ebm_ppl.samplers._contract.target import (
    Point,
    Transition,
    WhitenedTarget,
)


class AbstractUnadjustedKernel(AbstractKernel):
    """A kernel that follows a discretised diffusion without an acceptance step.

    Its invariant law differs from the target by a bias that vanishes with the step size, in the
    order that `bias_order` claims. Subclasses give one step of one chain in whitened coordinates. A
    step that is not finite is refused: the chain stays, and carried momenta are reversed, as after
    a rejection in generalised Hamiltonian Monte Carlo (Horowitz 1991).

    References:
        Horowitz (1991). A generalized guided Monte Carlo algorithm. Physics Letters B 268.
    """

    exact = False
    reversible = False
    gradient_evaluations_per_step = 1
    potential_evaluations_per_step = 1
    remedy_for_divergences = (
        "Lower the step size, or use a kernel that is adjusted, such as MALA or ChEESHMC."
    )

    @abc.abstractmethod
    def move(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Any,
    ) -> tuple[Point, Any]:
        """Take one step of the discretised diffusion.

        Args:
            noise: Standard normal noise, shape `(dim,)`.
            target: The potential in whitened coordinates.
            start: The current point.
            auxiliary: Carried momenta.
            settings: What all chains share: its `step_size`, and what else `warmup` tunes.

        Returns:
            The new point and the new momenta.
        """

    def departures(
        self,
        start: Point,  # noqa: ARG002
        end: Point,  # noqa: ARG002
    ) -> dict[str, Scalar]:
        """In what a step departs from the diffusion that it discretises; by default in nothing.

        Args:
            start: Where the step began.
            end: Where the chain stands after it.

        Returns:
            Shares, in [0, 1], by name; the history of a fit has their means over all steps and chains.
        """
        return {}

    def turn_back(self, auxiliary: Any) -> Any:
        """What becomes of the carried variables where a step is refused; by default they change sign.

        Args:
            auxiliary: Carried momenta before the step.

        Returns:
            The momenta reversed.
        """
        return jax.tree.map(jnp.negative, auxiliary)

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Any,
    ) -> Transition:
        """Draw the noise and move, unless the move leads to where something is not finite."""
        noise = normals(rng_key, start.position.size, start.position.dtype)
        return self.settle(noise, target, start, auxiliary, settings)

    def settle(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Any,
    ) -> Transition:
        """Move with given noise, unless the move leads to where something is not finite."""
        end, moved = self.move(noise, target, start, auxiliary, settings)
        finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((end, moved))])
        finite = jnp.all(finite)
        return Transition(
            tree_where(finite, end, start),
            tree_where(finite, moved, self.turn_back(auxiliary)),
            finite.astype(start.position.dtype),
            ~finite,
        )
