"""Hamiltonian Monte Carlo whose chains share one trajectory length."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import check_count, check_flag, check_positive
from ebm_ppl._random import normals_and_uniform
from ebm_ppl._types import PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._adaptation import POOLED, AdaptationState
from ebm_ppl.samplers._base import AbstractKernel
from ebm_ppl.samplers._metropolis import accept_or_stay
from ebm_ppl.samplers._state import KernelState
from ebm_ppl.samplers._target import Matrix, Point, Transition, WhitenedTarget, apply
from ebm_ppl.samplers._trajectory import (
    Proposal,
    TrajectoryState,
    ascend,
    jitter,
    start_trajectory,
    visit,
)

_DIVERGENCE = -1000.0
"""Log acceptance ratio below which NumPyro and Stan, too, call a trajectory divergent."""


class Trajectory(NamedTuple):
    """What the trajectories of all chains share in one step."""

    step_size: Scalar
    num_steps: Int[Array, ""]
    inverse_mass_matrix: Matrix


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


class ChEESHMC(AbstractKernel):
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
        dense_mass: Whether the mass matrix is dense rather than diagonal.
        target_accept_prob: Acceptance probability to tune the step size to. For many independent
            coordinates 0.651 is optimal (Beskos et al. 2013); where the curvature varies, chains stick
            at steps as long as that.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
            outside its bounds.

    Example:
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

    exact = True
    bias_order = None
    reversible = True
    gradient_evaluations_per_step = 1  # for each leapfrog step
    potential_evaluations_per_step = 1

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
        dense_mass: bool = False,
        target_accept_prob: float = 0.8,
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
            pace=POOLED,
        )
        check_positive("trajectory_length", trajectory_length)
        check_count("max_num_steps", max_num_steps, 1)
        check_flag("adapt_trajectory_length", adapt_trajectory_length)
        self._trajectory_length = trajectory_length
        self._max_num_steps = max_num_steps
        self._adapt_trajectory_length = adapt_trajectory_length

    def init_auxiliary(
        self,
        rng_key: PRNGKey,  # noqa: ARG002
        position: Float[Array, " dim"],
    ) -> Proposal:
        """No proposal as yet."""
        zeros = jnp.zeros_like(position)
        return Proposal(position, zeros, jnp.asarray(0))

    def init_learned(self, position: Float[Array, " dim"]) -> TrajectoryState:
        """The search for the trajectory length before it begins."""
        length = jnp.asarray(self._trajectory_length, dtype=position.dtype)
        return start_trajectory(length, position)

    def settings(self, adaptation: AdaptationState, iteration: Int[Array, ""]) -> Trajectory:
        r"""The step size, and $L = \lceil u_n \tau / \epsilon \rceil$."""
        search: TrajectoryState = adaptation.learned
        is_warm = iteration >= adaptation.num_warmup
        log_length = jnp.where(is_warm, search.average_log_length, search.log_length)
        length = jitter(iteration) * jnp.exp(log_length)
        num_steps = jnp.ceil(length / adaptation.step_size)
        # NaN and lengths beyond the integers go to the bounds.
        num_steps = jnp.clip(jnp.nan_to_num(num_steps, nan=1.0), 1, self._max_num_steps)
        return Trajectory(
            adaptation.step_size, num_steps.astype(int), adaptation.inverse_mass_matrix
        )

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Proposal,  # noqa: ARG002
        step_size: Trajectory,
    ) -> Transition:
        """Draw a momentum, follow the trajectory, and accept its end or stay."""
        step, num_steps, inverse_mass_matrix = step_size
        size, dtype = start.position.size, start.position.dtype
        momentum, uniform = normals_and_uniform(rng_key, size, dtype)

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

        velocity = apply(target.scale, momentum)
        zeros = jnp.zeros_like(start.z)
        z_grad = cast(Array, start.z_grad)
        pull = apply(inverse_mass_matrix, z_grad)
        began = _Phase(start.z, start.potential_energy, z_grad, pull, velocity, zeros)
        ended = lax.fori_loop(0, num_steps, leapfrog, began)
        end_momentum = momentum - step * apply(target.scale.T, ended.impulse)
        end = target.known(ended.z, ended.potential_energy, ended.z_grad)
        kinetic_drop = 0.5 * (jnp.sum(momentum**2) - jnp.sum(end_momentum**2))
        log_ratio = start.potential_energy - end.potential_energy + kinetic_drop
        proposal = Proposal(end.z, end_momentum, num_steps)
        new = accept_or_stay(uniform, start, end, log_ratio, proposal)
        return new._replace(diverging=new.diverging | (log_ratio < _DIVERGENCE))

    def learn(self, before: KernelState, after: KernelState) -> TrajectoryState:
        """One step of the search for the trajectory length, in the second half of warm-up.

        In coordinates that are far from white yet, a trajectory looks best which is several periods long
        in those of the next window.
        """
        search: TrajectoryState = before.adaptation.learned
        if not self._adapt_trajectory_length:
            return search
        z, proposal, accept_prob = before.z, after.auxiliary, after.accept_prob
        if before.potential_energy.ndim == 0:
            z, proposal, accept_prob = jax.tree.map(
                lambda leaf: leaf[None], (z, proposal, accept_prob)
            )
        positions = jax.vmap(lambda z: ravel_pytree(z)[0])(z)
        search = visit(search, positions, before.iteration)
        return lax.cond(
            before.iteration < before.adaptation.num_warmup // 2,
            lambda: search,
            lambda: ascend(
                search,
                jitter(before.iteration),
                positions,
                before.adaptation.inverse_mass_matrix_sqrt,
                proposal,
                accept_prob,
            ),
        )
