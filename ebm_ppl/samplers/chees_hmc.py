"""Hamiltonian Monte Carlo whose chains share one trajectory length."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float
from numpyro.infer import init_to_uniform

from ebm_ppl._types import PotentialFn, Scalar
from ebm_ppl.samplers._contract import (
    AbstractSharedTrajectoryKernel,
    Followed,
    Point,
    WhitenedTarget,
)
from ebm_ppl.samplers._warmup import DenseMass, Trajectory, apply


class _Phase(NamedTuple):
    """A position, its velocity, and the sum of the gradients that have led there.

    Beside the gradient stands its product with the inverse mass matrix, which the next step begins with.
    """

    z: Float[Array, " dim"]
    potential_energy: Scalar
    z_grad: Any
    pull: Float[Array, " dim"]
    velocity: Float[Array, " dim"]
    impulse: Float[Array, " dim"]


class ChEESHMC(AbstractSharedTrajectoryKernel):
    r"""Hamiltonian Monte Carlo for many chains at once, with one learned trajectory length.

    A momentum $p \sim N(0, I)$ is drawn, and $(w, p)$ follows $L$ leapfrog steps,

    $$p \leftarrow p - \tfrac{\epsilon}{2} \nabla U(w), \qquad w \leftarrow w + \epsilon p, \qquad
    p \leftarrow p - \tfrac{\epsilon}{2} \nabla U(w),$$

    whose end is accepted with probability $\min(1, e^{H - H'})$, $H = U(w) + \tfrac12 \|p\|^2$. In
    step $n$ all chains take $L = \lceil u_n \tau / \epsilon \rceil$ steps, where
    $u_n - \tfrac12$ is van der Corput's sequence in $(0, 1)$: no chain waits for another, as those of
    NUTS do, and no period of the target can lock in. (Hoffman, Radul & Sountsov have $u_n$ itself in
    $(0, 1)$; fewer short trajectories make more of each draw.) Warm-up raises the expected change in
    the estimator of the squared norm,

    $$\tfrac14 \operatorname{E}\left[\left(\|q' - \operatorname{E} q'\|^2
    - \|q - \operatorname{E} q\|^2\right)^2\right],$$

    from start $q$ to end $q'$ of a trajectory, in $\tau$, by stochastic ascent over all chains; they share
    the step size and the mass matrix, too, and learn all three together. Run it with
    `chain_method="vectorized"` and dozens of chains or more. Warm-up needs a few hundred steps, fewer
    the more chains there are. A single chain learns from its own past, as best it can.

    `extra_fields=("auxiliary.num_steps",)` collects the number of gradients of each step.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        step_size: Initial $\epsilon$.
        trajectory_length: Initial mean length $\tau$, in units of the whitened coordinates.
        max_num_steps: Bound of $L$.
        inverse_mass_matrix: Initial inverse mass matrix of shape `(dim,)` or, if `dense_mass`,
            `(dim, dim)`; `None` for the identity.
        adapt_step_size: Whether warm-up tunes the step size.
        adapt_trajectory_length: Whether warm-up tunes the trajectory length.
        adapt_mass_matrix: Whether warm-up tunes the mass matrix.
        dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
            within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be a
            dictionary with the blocks for keys, whose sites it has in the order of the key.
        target_accept_prob: Acceptance probability to tune the step size to. For many independent
            coordinates 0.651 is optimal (Beskos et al. 2013); where the curvature varies, chains stick
            at steps as long as that. Trajectories that diverge in the second half of warm-up raise it, up to
            0.99.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
            outside its bounds.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import ChEESHMC
        >>> kernel = ChEESHMC(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
        >>> mcmc = MCMC(
        ...     kernel,
        ...     num_warmup=200,
        ...     num_samples=100,
        ...     num_chains=64,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(
        ...     jax.random.key(0),
        ...     init_params=jnp.zeros((64, 2)),
        ...     extra_fields=("auxiliary.num_steps",),
        ... )
        >>> mcmc.get_samples(group_by_chain=True).shape
        (64, 100, 2)
        >>> bool(mcmc.get_extra_fields()["auxiliary.num_steps"].mean() < 10)
        True

    References:
        Hoffman, Radul & Sountsov (2021). An adaptive-MCMC scheme for setting trajectory lengths in
        Hamiltonian Monte Carlo. Artificial Intelligence and Statistics.
        Duane, Kennedy, Pendleton & Roweth (1987). Hybrid Monte Carlo. Physics Letters B 195.
        Beskos, Pillai, Roberts, Sanz-Serna & Stuart (2013). Optimal tuning of the hybrid Monte Carlo
        algorithm. Bernoulli 19.
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
        target_accept_prob: float = 0.8,
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

    def follow(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        trajectory: Trajectory,
    ) -> Followed:
        """Take the leapfrog steps."""
        step, num_steps, inverse_mass_matrix = trajectory

        # In unconstrained coordinates the velocity is L p, and a step needs one product with a matrix.
        def leapfrog(_: Any, at: _Phase) -> _Phase:
            half = at.velocity - 0.5 * step * at.pull
            end = target.evaluate_at(at.z + step * half)
            z_grad = cast(Array, end.z_grad)  # there is one, as the kernel claims gradients
            pull = apply(inverse_mass_matrix, z_grad)
            return _Phase(
                end.z,
                end.potential_energy,
                z_grad,
                pull,
                half - 0.5 * step * pull,
                at.impulse + 0.5 * (at.z_grad + z_grad),
            )

        momentum, velocity = noise, apply(target.scale, noise)
        zeros = jnp.zeros_like(start.z)
        z_grad = cast(Array, start.z_grad)
        pull = apply(inverse_mass_matrix, z_grad)
        began = _Phase(start.z, start.potential_energy, z_grad, pull, velocity, zeros)
        ended = lax.fori_loop(0, num_steps, leapfrog, began)
        end_momentum = momentum - step * apply(target.scale.T, ended.impulse)
        end = target.known(ended.z, ended.potential_energy, ended.z_grad)
        kinetic_drop = 0.5 * (jnp.sum(momentum**2) - jnp.sum(end_momentum**2))
        log_ratio = start.potential_energy - end.potential_energy + kinetic_drop
        return Followed(end, end_momentum, log_ratio)
