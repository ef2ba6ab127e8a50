"""Unadjusted overdamped Langevin dynamics."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import check_positive, is_traced
from ebm_ppl._types import PotentialFn, Scalar
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

    Two more settings of that literature change the law, and say so (`invariant_law`, `bias_order`):

    - `max_gradient` $c$ puts $\max(-c, \min(c, \nabla U))$, coordinate by coordinate, in the place of the
      gradient. As the step size vanishes the law becomes that of a drift which is seldom a gradient; on
      the line it is that of the potential whose slope is the clipped one.
    - `box` $(a, b)$ puts every coordinate that a move takes outside $[a, b]$ on its nearer end. As the step
      size vanishes, at a temperature of 1, the law becomes the target restricted to the box, which for a
      target on the whole space is another law; the ends hold atoms of mass $O(\sqrt{\epsilon})$, so the
      bias is of that order.

    The history of a fit has the shares of moves and coordinates that they change, and the temperature.

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
        max_gradient: Largest absolute value $c$ of a coordinate of the gradient that a move follows, in
            whitened coordinates, which are those of the position unless there is a mass matrix; `None`
            for no bound.
        box: Ends `(low, high)` of the interval in which every unconstrained coordinate is kept; `None`
            for all reals. Chains may start outside.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, an argument is outside its
            bounds, or there is a box with a dense mass matrix, whose reflected diffusion has another law.

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
        Costantini, Pacchiarotti & Sartoretto (1998). Numerical approximation for functionals of
        reflecting diffusion processes. SIAM Journal on Applied Mathematics 58. (Of the box: order 1/2.)
        Bubeck, Eldan & Lehec (2018). Sampling from a log-concave distribution with projected Langevin
        Monte Carlo. Discrete & Computational Geometry 59.
        Du & Mordatch (2019). Implicit generation and modeling with energy based models. Advances in
        Neural Information Processing Systems 32. (Gradients clipped by coordinate, pixels in a box.)
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
        max_gradient: Any = None,
        box: tuple[float | int, float | int] | None = None,
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
        self._max_gradient = max_gradient
        self._box = None if box is None else _checked_box(box, dense_mass)
        if max_gradient is not None:
            check_positive("max_gradient", max_gradient)
        if noise_scale is not None:
            check_positive("noise_scale", noise_scale)
        temperature = self.effective_temperature
        if not (self._is_at_one and max_gradient is None and box is None):
            # What the class claims, this kernel does not.
            self.bias_order = None  # pyright: ignore[reportAttributeAccessIssue]
        if not (self._is_at_one or is_traced(temperature)):
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

    @property
    def _is_at_one(self) -> bool:
        """Whether the temperature is known to be 1, up to rounding."""
        temperature = self.effective_temperature
        return not is_traced(temperature) and math.isclose(temperature, 1.0, rel_tol=1e-6)

    @property
    def invariant_law(self) -> str:
        r"""The law that chains of small steps have, in words; "exp(-U)" without any of the settings.

        With a clipped gradient in more than one dimension nobody knows it.
        """
        law, temperature = "exp(-U)", self.effective_temperature
        if is_traced(temperature):
            law = "exp(-U / T)"
        elif not self._is_at_one:
            law = f"exp(-U / T) at T = {float(temperature):.3g}"
        if self._max_gradient is not None:
            law = f"{law}, but of the drift of a gradient clipped at {self._max_gradient} by coordinate"
        if self._box is not None:
            law = f"{law}, restricted to [{self._box[0]:g}, {self._box[1]:g}] in each coordinate"
        return law

    def get_diagnostics_str(self, state: KernelState) -> str:
        """Step size and share of finite steps, and what changes the law: temperature, clipping and box."""
        text = super().get_diagnostics_str(state)
        if self._noise_scale is not None:
            text = f"{text}. temperature={float(self.effective_temperature):.3g}"
        if self._max_gradient is not None:
            text = f"{text}. max. gradient={float(self._max_gradient):.3g}"
        return text if self._box is None else f"{text}. box={self._box}"

    def move(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> tuple[Point, tuple[()]]:
        r"""$w - \epsilon \nabla U(w) + \sigma \xi$, with the gradient clipped and the end in the box."""
        step_size = settings.step_size
        scale = jnp.sqrt(2 * step_size) if self._noise_scale is None else self._noise_scale
        gradient, bound = start.gradient, self._max_gradient
        if bound is not None:
            gradient = jnp.clip(gradient, -bound, bound)
        position = start.position - step_size * gradient + scale * noise
        if self._box is None:
            return target.evaluate(position), auxiliary
        return target.evaluate_at(jnp.clip(target.unwhitened(position), *self._box)), auxiliary

    def departures(self, start: Point, end: Point) -> dict[str, Scalar]:
        """`clipped_moves`, whether the gradient was clipped; `at_box`, the share of coordinates there."""
        shares = {}
        if self._max_gradient is not None:
            shares["clipped_moves"] = jnp.any(jnp.abs(start.gradient) > self._max_gradient)
        if self._box is not None:
            shares["at_box"] = jnp.mean((end.z <= self._box[0]) | (end.z >= self._box[1]))
        return {name: share.astype(end.z.dtype) for name, share in shares.items()}


def _checked_box(box: Any, dense_mass: DenseMass) -> tuple[float, float]:
    """The ends of a box; with a dense mass matrix there is none."""
    if dense_mass is not False:
        raise ValueError(
            f"`box` must be None with a dense mass matrix; got {box!r}. A diagonal one leaves the law of the "
            "box as it is."
        )
    if isinstance(box, (tuple, list)) and len(box) == 2:
        low, high = float(box[0]), float(box[1])
        if math.isfinite(low) and math.isfinite(high) and low < high:
            return low, high
    raise ValueError(f"`box` must be two finite numbers (low, high), low below high; got {box!r}.")
