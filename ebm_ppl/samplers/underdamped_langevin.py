"""Underdamped (kinetic) Langevin dynamics by the BAOAB splitting."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import check_positive
from ebm_ppl._types import PotentialFn, PRNGKey
from ebm_ppl.samplers._contract import AbstractUnadjustedKernel, Point, Settings, WhitenedTarget
from ebm_ppl.samplers._warmup import DenseMass


class UnderdampedLangevin(AbstractUnadjustedKernel):
    r"""Underdamped Langevin dynamics by the BAOAB splitting.

    $$dw = p\,dt, \qquad dp = -\nabla U(w)\,dt - \gamma p\,dt + \sqrt{2 \gamma}\,dB.$$

    One step of size $h$ is half a kick, half a drift, the exact Ornstein-Uhlenbeck step of the
    momentum, half a drift, half a kick:

    $$p \leftarrow p - \tfrac{h}{2} \nabla U(w), \quad w \leftarrow w + \tfrac{h}{2} p, \quad
    p \leftarrow e^{-\gamma h} p + \sqrt{1 - e^{-2 \gamma h}}\, \xi, \quad
    w \leftarrow w + \tfrac{h}{2} p, \quad p \leftarrow p - \tfrac{h}{2} \nabla U(w).$$

    The last gradient is the first of the next step, so a step costs one. The invariant law of the
    position is off by $O(h^2)$; on a Gaussian target it is exact for every stable step size.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        step_size: $h$. Nothing tunes it: no acceptance probability could tell how.
        friction: $\gamma$, per unit of time.
        inverse_mass_matrix: Initial $M^{-1}$ of shape `(dim,)` or, if `dense_mass`, `(dim, dim)`;
            `None` for the identity.
        adapt_mass_matrix: Whether warm-up tunes the mass matrix.
        dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
            within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be a
            dictionary with the blocks for keys, whose sites it has in the order of the key.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
            outside its bounds.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import UnderdampedLangevin
        >>> kernel = UnderdampedLangevin(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.2)
        >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=100, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros(2))
        >>> mcmc.last_state.auxiliary.shape  # the momentum
        (2,)

    References:
        Leimkuhler & Matthews (2013). Rational construction of stochastic numerical methods for
        molecular sampling. Applied Mathematics Research eXpress 2013.
        Leimkuhler & Matthews (2015). Molecular Dynamics. Springer.
    """

    bias_order = 2

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: Any = 0.1,
        friction: Any = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_mass_matrix: bool = False,
        dense_mass: DenseMass = False,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            step_size=step_size,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt_mass_matrix=adapt_mass_matrix,
            dense_mass=dense_mass,
            init_strategy=init_strategy,
        )
        check_positive("friction", friction)
        self._friction = friction

    def init_auxiliary(
        self, rng_key: PRNGKey, position: Float[Array, " dim"]
    ) -> Float[Array, " dim"]:
        """Draw the whitened momentum from its invariant law, the standard normal."""
        return jax.random.normal(rng_key, position.shape, position.dtype)

    def move(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: Float[Array, " dim"],
        settings: Settings,
    ) -> tuple[Point, Float[Array, " dim"]]:
        """One BAOAB step of position and momentum."""
        step_size = settings.step_size
        half = 0.5 * step_size
        damping = jnp.exp(-self._friction * step_size)
        momentum = auxiliary - half * start.gradient
        position = start.position + half * momentum
        momentum = damping * momentum + jnp.sqrt(1 - damping**2) * noise
        end = target.evaluate(position + half * momentum)
        return end, momentum - half * end.gradient
