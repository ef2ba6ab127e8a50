"""The Metropolis-adjusted microcanonical sampler."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int
from numpyro.infer import init_to_uniform

from ebm_ppl._types import PotentialFn, Scalar
from ebm_ppl.samplers._contract import (
    AbstractSharedTrajectoryKernel,
    Followed,
    Point,
    WhitenedTarget,
)
from ebm_ppl.samplers._microcanonical import LEAST_SIZE, Turned, kick, normalised, speed
from ebm_ppl.samplers._warmup import DenseMass, Trajectory, apply


class _Phase(NamedTuple):
    """A point, the direction there, and the kinetic energy gained so far."""

    z: Float[Array, " dim"]
    potential_energy: Scalar
    z_grad: Any
    gradient: Any
    direction: Float[Array, " n"]
    kinetic_change: Scalar


class MAMS(AbstractSharedTrajectoryKernel):
    r"""The Metropolis-adjusted microcanonical sampler, for many chains at once.

    A direction $u$ is drawn uniformly from the sphere, and $(w, u)$ follows $L$ leapfrog steps of
    microcanonical dynamics in $n$ dimensions: the gradient turns $u$ for half a step,

    $$u \leftarrow \frac{u + e\,(\sinh \delta + c\,(\cosh \delta - 1))}{\cosh \delta + c \sinh \delta}, \qquad
    e = -\frac{\nabla U(w)}{|\nabla U(w)|}, \quad c = e \cdot u, \quad
    \delta = \frac{\epsilon}{2} \frac{\sqrt n\, |\nabla U(w)|}{n - 1},$$

    then $w \leftarrow w + \epsilon \sqrt n\, u$, and $u$ is turned once more. A turn adds
    $\Delta K = (n - 1) \log(\cosh \delta + c \sinh \delta)$ to the kinetic energy, which is minus log of its
    Jacobian determinant, so that the end is accepted with probability
    $\min(1, e^{-\Delta U - \sum \Delta K})$. The speed is constant, however steep the energy. It is $\sqrt n$
    here and 1 in the paper, so that step sizes and lengths are in units of Hamiltonian dynamics; times
    $\sqrt n$ they are those of the paper. On the line, where a direction would be a sign, $u$ lies on a
    circle, of which one component moves $w$.

    In step $k$ all chains take $L = \lceil v_k \tau / \epsilon \rceil$ steps, with $v_k - \tfrac12$ van der
    Corput's sequence in $(0, 1)$. Warm-up learns $\tau$ by the criterion of `ChEESHMC`, and step size and
    mass matrix, too, from all chains. Run it with `chain_method="vectorized"` and dozens of chains or more.

    `extra_fields=("auxiliary.num_steps",)` collects the number of gradients of each step.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        step_size: Initial $\epsilon$.
        trajectory_length: Initial mean length $\tau$, in units of the whitened coordinates over $\sqrt n$.
        max_num_steps: Bound of $L$.
        inverse_mass_matrix: Initial inverse mass matrix of shape `(dim,)` or, if `dense_mass`,
            `(dim, dim)`; `None` for the identity.
        adapt_step_size: Whether warm-up tunes the step size.
        adapt_trajectory_length: Whether warm-up tunes the trajectory length.
        adapt_mass_matrix: Whether warm-up tunes the mass matrix.
        dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
            within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be a
            dictionary with the blocks for keys, whose sites it has in the order of the key.
        target_accept_prob: Acceptance probability to tune the step size to. Trajectories that diverge in the
            second half of warm-up raise it, up to 0.99.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
            outside its bounds.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import MAMS
        >>> kernel = MAMS(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
        >>> mcmc = MCMC(
        ...     kernel,
        ...     num_warmup=200,
        ...     num_samples=100,
        ...     num_chains=64,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros((64, 2)))
        >>> mcmc.get_samples(group_by_chain=True).shape
        (64, 100, 2)

    References:
        Robnik, Cohn-Gordon & Seljak (2025). Metropolis adjusted microcanonical Hamiltonian Monte
        Carlo. arXiv:2503.01707.
        Robnik, De Luca, Silverstein & Seljak (2023). Microcanonical Hamiltonian Monte Carlo. Journal
        of Machine Learning Research 24.
        Ver Steeg & Galstyan (2021). Hamiltonian dynamics with non-Newtonian momentum for rapid
        sampling. Advances in Neural Information Processing Systems 34.
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: Any = 1.0,
        trajectory_length: Any = 1.5,
        max_num_steps: int = 1000,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_trajectory_length: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.9,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            step_size=step_size,
            trajectory_length=trajectory_length,
            max_num_steps=max_num_steps,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt_step_size=adapt_step_size,
            adapt_trajectory_length=adapt_trajectory_length,
            adapt_mass_matrix=adapt_mass_matrix,
            dense_mass=dense_mass,
            target_accept_prob=target_accept_prob,
            init_strategy=init_strategy,
        )

    def noise_size(self, dim: int) -> int:
        """Number of components of a direction."""
        return max(dim, LEAST_SIZE)

    def kinetic_energy(self, noise: Float[Array, " n"]) -> Scalar:
        """None: all directions are alike, and what a trajectory gains is undone by the next draw.

        Args:
            noise: Standard normal noise.

        Returns:
            Zero.
        """
        return jnp.zeros((), noise.dtype)

    def draw(self, noise: Float[Array, " n"]) -> Float[Array, " n"]:
        """Make a direction of noise.

        Args:
            noise: Standard normal noise.

        Returns:
            A direction, whitened.
        """
        return normalised(noise)

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

    def follow(
        self,
        noise: Float[Array, " n"],
        target: WhitenedTarget,
        start: Point,
        trajectory: Trajectory,
    ) -> Followed:
        """Take the leapfrog steps in the direction of the noise."""
        step, num_steps, dim = trajectory.step_size, trajectory.num_steps, start.z.size

        def turn(at: _Phase, time: Scalar) -> _Phase:
            turned = self.turn(at.direction, at.gradient, time)
            kinetic_change = at.kinetic_change + turned.kinetic_change
            return at._replace(direction=turned.direction, kinetic_change=kinetic_change)

        # Two half turns by one gradient are a whole one; only the last step ends with a half.
        def leapfrog(index: Int[Array, ""], at: _Phase) -> _Phase:
            velocity = speed(at.direction) * apply(target.scale, at.direction[:dim])
            end = target.evaluate_at(at.z + step * velocity)
            at = _Phase(end.z, end.potential_energy, end.z_grad, end.gradient, *at[-2:])
            return turn(at, jnp.where(index + 1 < num_steps, step, 0.5 * step))

        began = _Phase(
            start.z,
            start.potential_energy,
            start.z_grad,
            start.gradient,
            self.draw(noise),
            jnp.zeros_like(start.potential_energy),
        )
        ended = lax.fori_loop(0, num_steps, leapfrog, turn(began, 0.5 * step))
        end = target.known(ended.z, ended.potential_energy, ended.z_grad)
        log_ratio = start.potential_energy - end.potential_energy - ended.kinetic_change
        return Followed(end, speed(ended.direction) * ended.direction[:dim], log_ratio)
