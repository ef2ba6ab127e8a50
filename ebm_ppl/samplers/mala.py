"""The Metropolis-adjusted Langevin algorithm."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.infer import init_to_uniform

from ebm_ppl._types import PotentialFn, Scalar
from ebm_ppl.samplers._contract import AbstractMetropolisKernel, Point
from ebm_ppl.samplers._warmup import DenseMass


class MALA(AbstractMetropolisKernel):
    r"""Metropolis-adjusted Langevin: a Langevin step as proposal, accepted or refused.

    $$w' = w - \epsilon \nabla U(w) + \sqrt{2 \epsilon}\, \xi, \qquad \xi \sim N(0, I).$$

    With $g = \nabla U(w)$ and $g' = \nabla U(w')$ the proposal densities have the log ratio

    $$\log \frac{q(w \mid w')}{q(w' \mid w)}
    = \frac{\|w' - w + \epsilon g\|^2 - \|w - w' + \epsilon g'\|^2}{4 \epsilon}
    = \tfrac12 (g + g') \cdot \left(w' - w + \tfrac{\epsilon}{2} (g - g')\right),$$

    of which the last form neither divides by $\epsilon$ nor subtracts large numbers. In
    unconstrained coordinates the drift is $-\epsilon M^{-1} \nabla U$ and the noise has covariance
    $2 \epsilon M^{-1}$.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        step_size: Initial $\epsilon$.
        inverse_mass_matrix: Initial $M^{-1}$ of shape `(dim,)` or, if `dense_mass`, `(dim, dim)`;
            `None` for the identity.
        adapt_step_size: Whether warm-up tunes the step size.
        adapt_mass_matrix: Whether warm-up tunes the mass matrix.
        dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
            within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be a
            dictionary with the blocks for keys, whose sites it has in the order of the key.
        target_accept_prob: Acceptance probability to tune to; 0.574 is optimal in many dimensions.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
            outside its bounds.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import MALA
        >>> kernel = MALA(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
        >>> mcmc = MCMC(
        ...     kernel,
        ...     num_warmup=100,
        ...     num_samples=100,
        ...     num_chains=4,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros((4, 2)))
        >>> mcmc.get_samples(group_by_chain=True).shape
        (4, 100, 2)

    References:
        Roberts & Tweedie (1996). Exponential convergence of Langevin distributions and their
        discrete approximations. Bernoulli 2.
        Roberts & Rosenthal (1998). Optimal scaling of discrete approximations to Langevin
        diffusions. Journal of the Royal Statistical Society B 60.
    """

    gradient_evaluations_per_step = 1

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: Any = 0.5,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.574,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            step_size=step_size,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            dense_mass=dense_mass,
            target_accept_prob=target_accept_prob,
            init_strategy=init_strategy,
            step_for=_step_for,
        )

    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        r"""$w - \epsilon g + \sqrt{2 \epsilon}\, \xi$."""
        return start.position - step_size * start.gradient + jnp.sqrt(2 * step_size) * noise

    def log_proposal_ratio(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        r"""$\tfrac12 (g + g') \cdot (w' - w + \tfrac{\epsilon}{2} (g - g'))$."""
        bend = 0.5 * step_size * (start.gradient - end.gradient)
        return 0.5 * jnp.dot(start.gradient + end.gradient, end.position - start.position + bend)


def _step_for(distance: Scalar) -> Scalar:
    r"""$\epsilon$ for which the noise moves so far, $\sqrt{2 \epsilon}$."""
    return 0.5 * distance**2
