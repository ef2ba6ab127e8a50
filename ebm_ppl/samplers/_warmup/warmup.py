"""What tunes a kernel while it warms up."""

import abc
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ebm_ppl._fields import refuse_field
from ebm_ppl._types import Scalar
from ebm_ppl.samplers._warmup.dual_averaging import DualAveragingState
from ebm_ppl.samplers._warmup.mass_matrix import Matrix, MomentsState


class AdaptationState(NamedTuple):
    """What the transition is tuned by, and what warm-up needs to go on tuning.

    Attributes:
        step_size: Step size in whitened coordinates.
        inverse_mass_matrix: Estimate of the target's covariance: `(dim,)`, or `(dim, dim)` if
            dense.
        inverse_mass_matrix_sqrt: Its lower Cholesky factor, or the root of its diagonal.
        dual_averaging: State of the search for the step size.
        moments: Moments of the positions of the current window.
        window_ends: Last iteration of each adaptation window; empty without warm-up.
        least_step_size: Shortest step that changes a position in the precision of the run.
        missed: One minus the acceptance probability that the step size is tuned to, less than at first if
            trajectories diverged.
        learned: What else the kernel's warm-up learns from all chains.
    """

    step_size: Scalar
    inverse_mass_matrix: Matrix
    inverse_mass_matrix_sqrt: Matrix
    dual_averaging: DualAveragingState
    moments: MomentsState
    window_ends: Int[Array, " windows"]
    least_step_size: Scalar
    missed: Scalar
    learned: Any = ()

    def __getitem__(self, key: Any) -> Any:
        """A field by its number; a name that `extra_fields` has asked for in vain is refused."""
        return refuse_field(self, key) if isinstance(key, str) else tuple.__getitem__(self, key)

    @property
    def mass_matrix_sqrt_inv(self) -> Float[Array, "..."]:
        """Inverse of `mass_matrix_sqrt`, under NumPyro's name."""
        matrix = self.inverse_mass_matrix
        if matrix.ndim - self.step_size.ndim < 2:  # where chains have an axis, both have it
            return jnp.sqrt(matrix)
        return jnp.swapaxes(jnp.linalg.cholesky(matrix[..., ::-1, ::-1])[..., ::-1, ::-1], -2, -1)

    @property
    def mass_matrix_sqrt(self) -> Float[Array, "..."]:
        """Lower Cholesky factor of the mass matrix, or the root of its diagonal, under NumPyro's name."""
        inverse = self.mass_matrix_sqrt_inv
        if inverse.ndim - self.step_size.ndim < 2:
            return 1 / inverse
        return jnp.linalg.inv(inverse)

    @property
    def num_warmup(self) -> Int[Array, ""] | int:
        """Number of warm-up iterations."""
        return self.window_ends[-1] + 1 if self.window_ends.size else 0

    def with_step_size(self, step_size: Scalar) -> "AdaptationState":
        """The state with another step size, no shorter than the shortest."""
        return self._replace(step_size=jnp.maximum(step_size, self.least_step_size))


class Settings(NamedTuple):
    """What all chains share in one step.

    Attributes:
        step_size: Step size in whitened coordinates.
    """

    step_size: Scalar


class Observed(NamedTuple):
    """One step of all chains, as warm-up sees it; a chain that runs alone has the axis, too.

    Attributes:
        iteration: Number of steps before this one.
        accept_prob: Acceptance probability of each proposal; NaN counts as 0.
        recent_accept_prob: Its mean over about the last `WARMUP_MEMORY` steps.
        starts: Flat unconstrained position of each chain before the step.
        ends: The one after it.
        diverging: Whether each proposal diverged.
        potential_energy: Potential energy after the step.
        auxiliary: Variables that the kernel carries, after the step.
    """

    iteration: Int[Array, ""]
    accept_prob: Float[Array, " chains"]
    recent_accept_prob: Float[Array, " chains"]
    starts: Float[Array, "chains dim"]
    ends: Float[Array, "chains dim"]
    diverging: Array
    potential_energy: Float[Array, " chains"]
    auxiliary: Any = ()


class AbstractWarmup(abc.ABC):
    """How a kernel is tuned while it warms up, from all of its chains at once.

    It is three pure functions, of which the state goes from one to the next. `Adaptation` learns a step size
    and a mass matrix; a kernel with more to tune wraps it, and says so in `AbstractKernel.warmup`.

    Examples:
        Langevin steps that shrink while a chain warms up, from ten times their size:

        >>> import dataclasses, jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import AbstractWarmup, Adaptation, Langevin, Settings
        >>> @dataclasses.dataclass(frozen=True)
        ... class Shrinking(AbstractWarmup):
        ...     adaptation: Adaptation
        ...
        ...     def init(self, num_warmup, step_size, inverse_mass_matrix, positions):
        ...         return self.adaptation.init(
        ...             num_warmup, step_size, inverse_mass_matrix, positions
        ...         )
        ...
        ...     def settings(self, state, iteration):
        ...         left = jnp.maximum(1 - iteration / jnp.maximum(state.num_warmup, 1), 0.0)
        ...         return Settings(state.step_size * 10**left)
        ...
        ...     def update(self, state, observed):
        ...         return self.adaptation.update(state, observed)
        >>> class ShrinkingLangevin(Langevin):
        ...     def warmup(self, adaptation):
        ...         return Shrinking(adaptation)
        >>> kernel = ShrinkingLangevin(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.05)
        >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=50, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros(2))
        >>> mcmc.get_samples().shape
        (50, 2)
    """

    @abc.abstractmethod
    def init(
        self,
        num_warmup: int,
        step_size: Scalar,
        inverse_mass_matrix: Matrix,
        positions: Float[Array, "chains dim"],
    ) -> AdaptationState:
        """The state before the first step.

        Args:
            num_warmup: Number of warm-up steps.
            step_size: Initial step size.
            inverse_mass_matrix: Initial inverse mass matrix.
            positions: Flat unconstrained position of each chain.

        Returns:
            The state.
        """

    @abc.abstractmethod
    def settings(self, state: AdaptationState, iteration: Int[Array, ""]) -> Any:
        """What all chains share in a step.

        Args:
            state: What has been learned so far.
            iteration: Number of steps before this one.

        Returns:
            What the kernel's `transition` is given: `Settings`, or another tuple that has a `step_size`.
        """

    @abc.abstractmethod
    def update(self, state: AdaptationState, observed: Observed) -> AdaptationState:
        """Learn from one step of all chains; after warm-up return `state` as it is.

        Args:
            state: The state before.
            observed: The step.

        Returns:
            The state after.
        """
