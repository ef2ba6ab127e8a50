"""Metropolis-Hastings kernels: a proposal, its density ratio, and the acceptance step."""

import abc
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._random import normals_and_uniform
from ebm_ppl._trees import tree_where
from ebm_ppl._types import PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract.kernel import AbstractKernel
from ebm_ppl.samplers._contract.target import Point, Settings, Transition, WhitenedTarget

BEARABLE_IN_ACCEPTANCE = 1.0
"""Rounding error of an acceptance ratio's log that leaves draws as they are.

With a constant of 1e7 added to a normal law's potential, variances are right to 0.1% (MALA and ChEESHMC, 128
chains in 10 dimensions), but MAMS takes a thousand times shorter steps.
"""


DIVERGENCE = -1000.0
"""Log acceptance ratio below which NumPyro and Stan, too, call a trajectory divergent."""


class AbstractMetropolisKernel(AbstractKernel):
    r"""A kernel that makes a proposal and accepts it with the Metropolis-Hastings probability.

    With the proposal density $q(w' \mid w)$ that probability is

    $$\alpha = \min\left(1, \frac{e^{-U(w')}\, q(w \mid w')}{e^{-U(w)}\, q(w' \mid w)}\right).$$

    Subclasses give the two methods below, for one chain in whitened coordinates. A proposal whose
    acceptance ratio is not finite is refused and flagged. Proposals along a gradient are flagged as NumPyro
    flags trajectories, too, where the energy error is above 1000: a step of the drift was far too long. Blind
    proposals are not, since a refusal where the law has no mass says nothing about the others.

    References:
        Metropolis, Rosenbluth, Rosenbluth, Teller & Teller (1953). Equation of state calculations
        by fast computing machines. Journal of Chemical Physics 21.
        Hastings (1970). Monte Carlo sampling methods using Markov chains and their applications.
        Biometrika 57.
    """

    exact = True
    bias_order = None
    reversible = True
    potential_evaluations_per_step = 1

    def __init__(
        self, model: Callable | None, potential_fn: PotentialFn | None, **options: Any
    ) -> None:
        super().__init__(
            model, potential_fn, bearable_energy_error=BEARABLE_IN_ACCEPTANCE, **options
        )

    @abc.abstractmethod
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        """Map standard normal noise to the proposed position.

        Args:
            noise: Standard normal noise, shape `(dim,)`.
            start: The point to move from. In a running chain its position is 0, for the state is the
                origin; where the chain stands is `start.z`. Checks put it elsewhere.
            step_size: The step size.

        Returns:
            The proposed whitened position, shape `(dim,)`.
        """

    @abc.abstractmethod
    def log_proposal_ratio(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        r"""Log density of the way back over the way there, $\log q(w \mid w') - \log q(w' \mid w)$.

        Args:
            start: The point $w$.
            end: The point $w'$.
            step_size: The step size.

        Returns:
            The log ratio; 0 for a symmetric proposal.
        """

    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        r"""Log of the acceptance ratio, before the minimum with 1.

        Args:
            start: The point $w$.
            end: The point $w'$.
            step_size: The step size.

        Returns:
            The log ratio; not finite where the proposal has to be refused.
        """
        energy_drop = start.potential_energy - end.potential_energy
        return energy_drop + self.log_proposal_ratio(start, end, step_size)

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> Transition:
        """Propose, and accept or stay."""
        size, dtype = start.position.size, start.position.dtype
        noise, uniform = normals_and_uniform(rng_key, size, dtype)
        end = target.evaluate(self.propose(noise, start, settings.step_size))
        log_ratio = self.log_acceptance(start, end, settings.step_size)
        new = accept_or_stay(uniform, start, end, log_ratio, auxiliary)
        if self.gradient_evaluations_per_step == 0:
            return new
        return new._replace(diverging=new.diverging | (log_ratio < DIVERGENCE))


def accept_or_stay(
    uniform: Scalar, start: Point, end: Point, log_ratio: Scalar, auxiliary: Any
) -> Transition:
    """Move to the proposed point with probability `min(1, exp(log_ratio))`, or stay.

    Args:
        uniform: A uniform number between 0 and 1, which decides.
        start: The current point.
        end: The proposed point.
        log_ratio: Log of the acceptance ratio; the proposal is refused and flagged where it is not
            finite. One that is where the chain stands counts as refused.
        auxiliary: Carried variables, which stay as they are.

    Returns:
        The transition.
    """
    diverging = ~jnp.isfinite(log_ratio)
    # Warm-up would else take a step that rounding swallows for one that is always accepted.
    refused = diverging | jnp.all(end.z == start.z)
    accept_prob = jnp.where(refused, 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
    return Transition(
        tree_where(uniform < accept_prob, end, start), auxiliary, accept_prob, diverging
    )
