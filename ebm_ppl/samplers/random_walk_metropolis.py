"""Random-walk Metropolis."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.infer import init_to_uniform

from ebm_ppl._types import PotentialFn, Scalar
from ebm_ppl.samplers._contract import AbstractMetropolisKernel, Point
from ebm_ppl.samplers._warmup import DenseMass


def _optimal_accept_prob(dim: int) -> float:
    """0.44 in one dimension (Gelman, Roberts & Gilks 1996), 0.234 in many (Roberts et al. 1997)."""
    return 0.44 if dim == 1 else 0.234


class RandomWalkMetropolis(AbstractMetropolisKernel):
    r"""Random-walk Metropolis: propose $w' = w + \epsilon\, \xi$ with $\xi \sim N(0, I)$.

    In unconstrained coordinates the proposal's covariance is $\epsilon^2 M^{-1}$. No gradient is
    computed.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        step_size: Initial standard deviation $\epsilon$ of the whitened proposal.
        inverse_mass_matrix: Initial $M^{-1}$ of shape `(dim,)` or, if `dense_mass`, `(dim, dim)`;
            `None` for the identity.
        adapt_step_size: Whether warm-up tunes the step size.
        adapt_mass_matrix: Whether warm-up tunes the mass matrix.
        dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
            within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be a
            dictionary with the blocks for keys, whose sites it has in the order of the key.
        target_accept_prob: Acceptance probability to tune to; `None` for the optimum, 0.44 in one
            dimension and 0.234 in more.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
            outside its bounds.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import RandomWalkMetropolis
        >>> kernel = RandomWalkMetropolis(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
        >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=100, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros(2))
        >>> mcmc.get_samples().shape
        (100, 2)

    References:
        Metropolis, Rosenbluth, Rosenbluth, Teller & Teller (1953). Equation of state calculations
        by fast computing machines. Journal of Chemical Physics 21.
        Gelman, Roberts & Gilks (1996). Efficient Metropolis jumping rules. Bayesian Statistics 5.
        Roberts, Gelman & Gilks (1997). Weak convergence and optimal scaling of random walk
        Metropolis algorithms. Annals of Applied Probability 7.
    """

    gradient_evaluations_per_step = 0

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: Any = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float | None = None,
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
            target_accept_prob=(
                _optimal_accept_prob if target_accept_prob is None else target_accept_prob
            ),
            init_strategy=init_strategy,
        )

    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        r"""$w + \epsilon\, \xi$."""
        return start.position + step_size * noise

    def log_proposal_ratio(
        self,
        start: Point,
        end: Point,  # noqa: ARG002
        step_size: Scalar,  # noqa: ARG002
    ) -> Scalar:
        """0: the proposal is symmetric."""
        return jnp.zeros_like(start.potential_energy)
