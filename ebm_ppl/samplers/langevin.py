"""Unadjusted overdamped Langevin dynamics."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import check_positive, is_traced
from ebm_ppl._types import PotentialFn
from ebm_ppl.samplers._contract import (
    AbstractUnadjustedKernel,
    KernelState,
    Point,
    Settings,
    WhitenedTarget,
)
from ebm_ppl.samplers._warmup import DenseMass


class Langevin(AbstractUnadjustedKernel):
    r"""Unadjusted Langevin dynamics: a step down the gradient, and noise.

    $$w' = w - \epsilon \nabla U(w) + \sqrt{2 \epsilon}\, \xi, \qquad \xi \sim N(0, I).$$

    Every finite step is taken, so the invariant law is off by $O(\epsilon)$: on $N(0, 1)$ its
    variance is exactly $1 / (1 - \epsilon / 2)$. With `noise_scale` $\sigma$ the noise is $\sigma
    \xi$ instead, as in the image literature; the kernel then samples, up to the same bias, $\exp(-U
    / T)$ at the effective temperature $T = \sigma^2 / (2 \epsilon)$, which is the target only if $T
    = 1$.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        step_size: $\epsilon$. Nothing tunes it: no acceptance probability could tell how.
        inverse_mass_matrix: Initial $M^{-1}$ of shape `(dim,)` or, if `dense_mass`, `(dim, dim)`;
            `None` for the identity.
        adapt_mass_matrix: Whether warm-up tunes the mass matrix.
        dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
            within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be a
            dictionary with the blocks for keys, whose sites it has in the order of the key.
        noise_scale: Standard deviation $\sigma$ of the noise; `None` for $\sqrt{2 \epsilon}$.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
            outside its bounds.

    Warns:
        UserWarning: If the effective temperature is not 1.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import Langevin
        >>> kernel = Langevin(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.1)
        >>> kernel.effective_temperature
        1.0
        >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=100, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros(2))
        >>> mcmc.get_samples().shape
        (100, 2)

    References:
        Parisi (1981). Correlation functions and computer simulations. Nuclear Physics B 180.
        Roberts & Tweedie (1996). Exponential convergence of Langevin distributions and their
        discrete approximations. Bernoulli 2.
    """

    bias_order = 1

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: Any = 0.01,
        inverse_mass_matrix: Any = None,
        adapt_mass_matrix: bool = False,
        dense_mass: DenseMass = False,
        noise_scale: Any = None,
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
        self._noise_scale = noise_scale
        if noise_scale is None:
            return
        check_positive("noise_scale", noise_scale)
        temperature = self.effective_temperature
        if not is_traced(temperature) and not math.isclose(temperature, 1.0, rel_tol=1e-6):
            warnings.warn(
                f"`noise_scale={noise_scale}` with `step_size={step_size}` samples approximately "
                f"exp(-U / T) at the temperature T = {float(temperature):.6g}, not exp(-U).",
                UserWarning,
                stacklevel=2,
            )

    @property
    def has_own_noise(self) -> bool:
        """Whether `noise_scale` was given, so that the temperature need not be 1."""
        return self._noise_scale is not None

    @property
    def effective_temperature(self) -> Any:
        r"""$\sigma^2 / (2 \epsilon)$ for the step size at construction."""
        if self._noise_scale is None:
            return 1.0
        return self._noise_scale**2 / (2 * self._step_size)

    def get_diagnostics_str(self, state: KernelState) -> str:
        """Step size and share of finite steps, and the temperature where it is not 1."""
        text = super().get_diagnostics_str(state)
        if self._noise_scale is None:
            return text
        return f"{text}. temperature={float(self.effective_temperature):.3g}"

    def move(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> tuple[Point, tuple[()]]:
        r"""$w - \epsilon \nabla U(w) + \sigma \xi$."""
        step_size = settings.step_size
        scale = jnp.sqrt(2 * step_size) if self._noise_scale is None else self._noise_scale
        position = start.position - step_size * start.gradient + scale * noise
        return target.evaluate(position), auxiliary
