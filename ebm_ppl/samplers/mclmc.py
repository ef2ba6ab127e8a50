"""Microcanonical Langevin Monte Carlo, unadjusted."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import check_flag, check_positive
from ebm_ppl._types import PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract import (
    AbstractUnadjustedKernel,
    Point,
    WhitenedTarget,
)
from ebm_ppl.samplers._microcanonical import Turned, draw_direction, kick, refresh, speed
from ebm_ppl.samplers._warmup import (
    POOLED,
    UNITS_OF_ROUNDING,
    Adaptation,
    DenseMass,
    FlowSettings,
    FlowWarmup,
)

_OUTER = 0.1931833275037836
"""Share of a step in each outer kick: the root of smallest error (McLachlan 1995, Table 2)."""


class Moving(NamedTuple):
    """What a chain carries beside its position.

    Attributes:
        direction: Unit vector along which it moves, whitened; of two components on the line.
        energy_error: Change of the total energy in the last step; 0 where the step was refused.
    """

    direction: Float[Array, "*chains n"]
    energy_error: Float[Array, "*chains"]


class MCLMC(AbstractUnadjustedKernel):
    r"""Unadjusted microcanonical Langevin dynamics: constant speed, in a direction that is slowly forgotten.

    In $n$ dimensions and whitened coordinates,

    $$dw = \sqrt n\, u\, dt, \qquad du = -\frac{\sqrt n}{n - 1} (I - u u^\top) \nabla U(w)\, dt
    + \text{diffusion on the sphere},$$

    leaves $e^{-U(w)}\, dw\, du$ invariant, where $u$ has unit length. The diffusion makes $u$ forget where it
    pointed in the time $\ell$. One step of size $\epsilon$ turns $u$ by the gradient for $\lambda \epsilon$,
    moves for $\epsilon / 2$, turns for $(1 - 2 \lambda) \epsilon$, moves for $\epsilon / 2$, and turns for
    $\lambda \epsilon$ ($\lambda \approx 0.193$, the splitting of minimal norm); then noise is added to $u$.
    It costs two gradients. No step is refused unless it is not finite, so the invariant law is off by
    $O(\epsilon^2)$. The speed is 1 in the paper; at the speed $\sqrt n$ step sizes and lengths are in units
    of Hamiltonian dynamics, and times $\sqrt n$ they are those of the paper. On the line, where a direction
    would be a sign, $u$ lies on a circle, of which one component moves $w$.

    Warm-up tunes $\epsilon$ to the variance `energy_variance` of a step's energy error, per dimension, and
    $\ell$ to 0.8 times the integrated autocorrelation time, twice the published multiple, both from all
    chains. On normal laws in 10 and 100 dimensions second moments then come out 2% too small; lower
    `energy_variance` where that is too much: the bias goes like its cube root. An error below a few units in
    the last place of $U$ is rounding, which no smaller step makes less: where `energy_variance` asks for
    that, steps are tuned to two such units, the bias is larger, and the run warns. Subtract large constants
    from $U$, or compute in 64 bits.

    `extra_fields=("auxiliary.energy_error",)` collects the energy error of each step.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        step_size: Initial $\epsilon$.
        length: Initial $\ell$.
        energy_variance: Variance of the energy error of a step over the dimension to tune to.
        inverse_mass_matrix: Initial inverse mass matrix of shape `(dim,)` or, if `dense_mass`,
            `(dim, dim)`; `None` for the identity.
        adapt_step_size: Whether warm-up tunes the step size.
        adapt_length: Whether warm-up tunes the length.
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
        >>> from ebm_ppl.samplers import MCLMC
        >>> kernel = MCLMC(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
        >>> mcmc = MCMC(
        ...     kernel,
        ...     num_warmup=200,
        ...     num_samples=100,
        ...     num_chains=64,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros((64, 10)))
        >>> mcmc.get_samples(group_by_chain=True).shape
        (64, 100, 10)

    References:
        Robnik, De Luca, Silverstein & Seljak (2023). Microcanonical Hamiltonian Monte Carlo. Journal
        of Machine Learning Research 24.
        Robnik & Seljak (2023). Fluctuation without dissipation: microcanonical Langevin Monte Carlo.
        arXiv:2303.18221.
        Ver Steeg & Galstyan (2021). Hamiltonian dynamics with non-Newtonian momentum for rapid
        sampling. Advances in Neural Information Processing Systems 34.
        McLachlan (1995). On the numerical integration of ordinary differential equations by symmetric
        composition methods. SIAM Journal on Scientific Computing 16.
    """

    bias_order = 2
    gradient_evaluations_per_step = 2
    potential_evaluations_per_step = 2

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: Any = 0.25,
        length: Any = 1.0,
        energy_variance: Any = 5e-4,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_length: bool = True,
        adapt_mass_matrix: bool = True,
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
            pace=POOLED,
            bearable_energy_error=functools.partial(_bearable_energy_error, energy_variance),
        )
        check_positive("length", length)
        check_positive("energy_variance", energy_variance)
        check_flag("adapt_step_size", adapt_step_size)
        check_flag("adapt_length", adapt_length)
        self._length = length
        self._energy_variance = energy_variance
        self._searches_step_size = adapt_step_size
        self._adapt_length = adapt_length

    def init_auxiliary(self, rng_key: PRNGKey, position: Float[Array, " dim"]) -> Moving:
        """Draw the direction from its invariant law, which is uniform."""
        direction = draw_direction(rng_key, position)
        return Moving(direction, jnp.zeros_like(direction, shape=()))

    def warmup(self, adaptation: Adaptation) -> FlowWarmup:
        """A warm-up that tunes the step size by energy errors, and the length, too."""
        return FlowWarmup(
            adaptation,
            self._length,
            self._energy_variance,
            self._searches_step_size,
            self._adapt_length,
        )

    def turn(
        self, direction: Float[Array, " n"], gradient: Float[Array, " dim"], time: Scalar
    ) -> Turned:
        """Turn a direction by the gradient.

        Args:
            direction: The direction, whitened.
            gradient: The gradient, whitened.
            time: For how long.

        Returns:
            The direction after it, and the change of the kinetic energy.
        """
        return kick(direction, gradient, time)

    def forget(
        self, noise: Float[Array, " dim"], direction: Float[Array, " n"], elapsed: Scalar
    ) -> Float[Array, " n"]:
        """Forget a part of the direction.

        Args:
            noise: Standard normal noise.
            direction: The direction, whitened.
            elapsed: The step size over the length.

        Returns:
            The new direction.
        """
        return refresh(noise, direction, elapsed)

    def move(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: Moving,
        settings: FlowSettings,
    ) -> tuple[Point, Moving]:
        """Turn, move, turn, move, turn; then forget a part of the direction."""
        step, length = settings
        dim, direction = start.position.size, auxiliary.direction
        drift = 0.5 * step * speed(direction)
        point, kinetic_change = start, jnp.zeros_like(start.potential_energy)
        for share in (_OUTER, 1 - 2 * _OUTER):
            turned = self.turn(direction, point.gradient, share * step)
            direction, kinetic_change = (
                turned.direction,
                kinetic_change + turned.kinetic_change,
            )
            point = target.evaluate(point.position + drift * direction[:dim])
        turned = self.turn(direction, point.gradient, _OUTER * step)
        kinetic_change = kinetic_change + turned.kinetic_change
        error = point.potential_energy - start.potential_energy + kinetic_change
        return point, Moving(self.forget(noise, turned.direction, step / length), error)

    def turn_back(self, auxiliary: Moving) -> Moving:
        """The opposite direction, and no error."""
        return Moving(-auxiliary.direction, jnp.zeros_like(auxiliary.energy_error))


def _bearable_energy_error(energy_variance: Any, dim: int) -> Any:
    """The energy error of a step, in the units of rounding below which steps are not tuned."""
    return (energy_variance * dim) ** 0.5 / UNITS_OF_ROUNDING
