"""The kernel interface: single-chain mathematics on one side, all of NumPyro on the other."""

import abc
import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import check_count, check_flag, check_interval, check_positive
from ebm_ppl._forks import check_not_forked
from ebm_ppl._numpyro import is_prng_key
from ebm_ppl._processes import on_host
from ebm_ppl._random import step_key
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import Position, PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract.state import KernelState, without_moving
from ebm_ppl.samplers._contract.target import Point, Transition, WhitenedTarget
from ebm_ppl.samplers._numpyro import (
    AbstractModelKernel,
    Health,
    ModelArgs,
    ModelKwargs,
    PotentialSource,
    as_floating,
    check_finite_start,
    check_returns_scalar,
    flat_positions,
    has_no_coordinates,
    no_record,
    rounding_of,
    split_in_three,
)
from ebm_ppl.samplers._warmup import (
    STAN,
    WARMUP_MEMORY,
    AbstractWarmup,
    Adaptation,
    DenseMass,
    Observed,
    Pace,
    check_dense_mass,
    check_names,
    distance_itself,
    first_matrix,
    mask_of_blocks,
)

_CLAIMS = (
    "exact",
    "bias_order",
    "reversible",
    "gradient_evaluations_per_step",
    "potential_evaluations_per_step",
)

_NEAR_THE_FLOOR = 5.0
"""Multiple of the shortest step up to which a run is warned of its step size: so few roundings long is it."""


class AbstractKernel(AbstractModelKernel):
    r"""A Markov kernel for the law $\exp(-U(z)) / Z$ that runs in NumPyro's `MCMC`.

    To write a kernel, subclass this class, or one of the two that do more of the work
    (`AbstractMetropolisKernel`: give a proposal and its density ratio; `AbstractUnadjustedKernel`:
    give a step of a discretised diffusion). An author writes the mathematics of **one** chain for
    **one** step; chains, warm-up, models, pytrees, precision, resuming, pickling and Gibbs blocks
    are dealt with here.

    1. **Claims**, as class attributes, which the validation suite verifies: `exact`, `bias_order`,
       `reversible`, `gradient_evaluations_per_step`. A kernel that claims no gradient never pays
       for one.
    2. **`transition`**, in local whitened coordinates: the chain stands at $w = 0$, where
       $z = z_0 + L w$ and $L L^\top$ is the inverse mass matrix, so the mathematics is that of an
       identity mass matrix. `target.evaluate(w)` gives the `Point` at $w$: its `potential_energy`
       and its whitened `gradient`. Return one of the points so obtained, whole. A kernel that
       needs to know where $w = 0$ lies reads `start.z`.
    3. **`init_auxiliary`**, only if the kernel carries variables beside the position.
    4. **`warmup`**, only if warm-up is to learn more than a step size and a mass matrix.
    5. **`__init__`**, which names its arguments as NumPyro's kernels do and calls this one.

    A proposal that is not finite must be refused and flagged as `diverging`; nothing raises while
    chains run. In a vectorised run all chains share one step size and one mass matrix, learned from
    all of them.

    Attributes:
        exact: Whether the target is invariant for every step size.
        bias_order: Order in the step size of the invariant law's error; `None` for exact kernels.
        reversible: Whether detailed balance holds with respect to the invariant law of the
            position.
        gradient_evaluations_per_step: Number of gradients that one step costs.
        potential_evaluations_per_step: Number of evaluations of the potential that one step costs.
        remedy_for_divergences: What a run advises of which more than 0.1% of the steps are refused for
            not being finite; `None` where such a refusal is exact and proves nothing.

    Examples:
        An independence sampler with a standard normal proposal, for a target near one:

        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import AbstractKernel, Transition
        >>> class Independence(AbstractKernel):
        ...     exact, bias_order, reversible = True, None, True
        ...     gradient_evaluations_per_step = 0
        ...     potential_evaluations_per_step = 1
        ...
        ...     def __init__(self, potential_fn):
        ...         super().__init__(None, potential_fn, adapt_mass_matrix=False)
        ...
        ...     def transition(self, rng_key, target, start, auxiliary, settings):
        ...         key_noise, key_accept = jax.random.split(rng_key)
        ...         draw = jax.random.normal(key_noise, start.position.shape)
        ...         end = target.evaluate(draw - start.z)  # the mass matrix is the identity
        ...         weight = lambda point: 0.5 * jnp.sum(point.z**2) - point.potential_energy
        ...         accept_prob = jnp.exp(jnp.minimum(0.0, weight(end) - weight(start)))
        ...         diverging = jnp.isnan(accept_prob)
        ...         accept = jax.random.uniform(key_accept) < accept_prob  # False for NaN
        ...         point = jax.tree.map(lambda e, s: jnp.where(accept, e, s), end, start)
        ...         accept_prob = jnp.where(diverging, 0.0, accept_prob)
        ...         return Transition(point, auxiliary, accept_prob, diverging)
        >>> kernel = Independence(lambda z: jnp.sum(jnp.logaddexp(z, -z)))
        >>> mcmc = MCMC(kernel, num_warmup=10, num_samples=500, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros(2))
        >>> mcmc.get_samples().shape
        (500, 2)
    """

    exact: ClassVar[bool]
    bias_order: ClassVar[int | None]
    reversible: ClassVar[bool]
    gradient_evaluations_per_step: ClassVar[int]
    potential_evaluations_per_step: ClassVar[int]
    remedy_for_divergences: ClassVar[str | None] = None

    def __init__(
        self,
        model: Callable | None,
        potential_fn: PotentialFn | None,
        *,
        step_size: Any = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = False,
        adapt_mass_matrix: bool = False,
        dense_mass: DenseMass = False,
        target_accept_prob: float | Callable[[int], float] = 0.5,
        init_strategy: Callable = init_to_uniform,
        pace: Pace = STAN,
        step_for: Callable[[Scalar], Scalar] = distance_itself,
        bearable_energy_error: float | Callable[[int], Any] = math.inf,
    ) -> None:
        """Check and store what all kernels have in common.

        Args:
            model: NumPyro model; exactly one of `model` and `potential_fn` is given.
            potential_fn: Potential energy of an unconstrained position, an array or a pytree.
            step_size: Initial step size, a positive scalar (it may be traced).
            inverse_mass_matrix: Initial inverse mass matrix of shape `(dim,)` or, if `dense_mass`,
                `(dim, dim)`, in the order of `jax.flatten_util.ravel_pytree`; `None` for the
                identity.
            adapt_step_size: Whether warm-up tunes the step size to `target_accept_prob`.
            adapt_mass_matrix: Whether warm-up tunes the mass matrix.
            dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
                within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be
                a dictionary with the blocks for keys, whose sites it has in the order of the key.
            target_accept_prob: Acceptance probability to tune to, or a function of the dimension.
            init_strategy: NumPyro initialisation strategy for models.
            pace: How fast warm-up learns.
            step_for: The step size with which a step moves so far in whitened coordinates.
            bearable_energy_error: Error of the potential energy that leaves draws as they are, or a
                function of the dimension.

        Raises:
            ValueError: If not exactly one of `model` and `potential_fn` is given, or an argument is
                outside its bounds.
        """
        uses_gradient = self.gradient_evaluations_per_step > 0
        super().__init__(model, potential_fn, init_strategy, uses_gradient)
        flags = {
            "adapt_step_size": adapt_step_size,
            "adapt_mass_matrix": adapt_mass_matrix,
        }
        for name, flag in flags.items():
            check_flag(name, flag)
        check_dense_mass(dense_mass)
        check_names(inverse_mass_matrix)
        check_positive("step_size", step_size)
        if not callable(target_accept_prob):
            check_interval("target_accept_prob", target_accept_prob, 0.0, 1.0)
        self._step_size = step_size
        self._inverse_mass_matrix = inverse_mass_matrix
        self._adapt_step_size = adapt_step_size
        self._adapt_mass_matrix = adapt_mass_matrix
        self._dense_mass = dense_mass
        self._target_accept_prob = target_accept_prob
        self._pace = pace
        self._step_for = step_for
        self._bearable_energy_error = bearable_energy_error
        self._is_batched = False
        self._axis_name: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__.startswith("Abstract"):
            return
        missing = [claim for claim in _CLAIMS if not hasattr(cls, claim)]
        if missing:
            raise TypeError(f"A kernel must claim {', '.join(missing)}; {cls.__name__} does not.")

    @abc.abstractmethod
    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Any,
    ) -> Transition:
        """Take one step of one chain.

        Args:
            rng_key: Key of this step; nothing else uses it.
            target: The potential in whitened coordinates.
            start: The current point, at whitened position 0, already evaluated.
            auxiliary: Carried variables, as `init_auxiliary` or the last step left them.
            settings: What all chains share: its `step_size`, and what else `warmup` tunes.

        Returns:
            The new point and carried variables, the acceptance probability, and whether the
            proposal was refused for not being finite.
        """

    def init_auxiliary(
        self,
        rng_key: PRNGKey,  # noqa: ARG002
        position: Float[Array, " dim"],  # noqa: ARG002
    ) -> Any:
        """Draw the carried variables of one chain; by default there are none.

        Args:
            rng_key: Random key.
            position: A whitened position, for its shape and precision.

        Returns:
            A pytree of arrays, whitened.
        """
        return ()

    def context(
        self,
        model_args: ModelArgs,  # noqa: ARG002
        model_kwargs: ModelKwargs,  # noqa: ARG002
    ) -> Callable[[Position], Any] | None:
        """What `transition` reads off a position beside its potential; by default nothing.

        Args:
            model_args: Arguments of the model.
            model_kwargs: Keyword arguments of the model.

        Returns:
            A function of an unconstrained position, which `transition` finds as `target.context`.
        """
        return None

    def warmup(self, adaptation: Adaptation) -> AbstractWarmup:
        """What tunes the kernel; by default what tunes its step size and mass matrix alone.

        Args:
            adaptation: What tunes these two.

        Returns:
            It, or a warm-up that wraps it.
        """
        return adaptation

    def with_potential(
        self, potential_fn: PotentialFn, axis_name: str | None = None
    ) -> "AbstractKernel":
        """Copy of this kernel for another potential.

        Args:
            potential_fn: Potential energy of an unconstrained position.
            axis_name: Name of the mapped axis, if the copy is to run mapped over laws.

        Returns:
            The copy, as if it had been built with `potential_fn`.
        """
        kernel = copy.copy(self)
        kernel._source = PotentialSource(potential_fn)
        kernel._axis_name = axis_name
        return kernel

    def init(
        self,
        rng_key: PRNGKey,
        num_warmup: int,
        init_params: Any = None,
        model_args: ModelArgs = (),
        model_kwargs: ModelKwargs = None,
    ) -> KernelState:
        """Make the initial state of one chain, or of all chains if `rng_key` is a batch of keys.

        Args:
            rng_key: Random key, or a batch of them, one per chain.
            num_warmup: Number of warm-up steps.
            init_params: Initial unconstrained position, with a leading axis over chains for a batch
                of keys; needed with `potential_fn`.
            model_args: Arguments of the model.
            model_kwargs: Keyword arguments of the model.

        Returns:
            The initial state.

        Raises:
            ValueError: If the initial position is missing, malformed, or its potential is not
                finite.
        """
        check_not_forked()
        check_count("num_warmup", num_warmup, 0)
        self._is_batched = not is_prng_key(rng_key)
        over_chains = jax.vmap if self._is_batched else lambda function: function
        rng_key, key_position, key_auxiliary = over_chains(split_in_three)(rng_key)
        z = self._source.initialise(key_position, init_params, model_args, model_kwargs)
        z = as_floating(z, rng_key.shape[:1] if self._is_batched else ())

        potential_fn = self.get_potential_fn(model_args, model_kwargs)
        one_z = jax.tree.map(lambda leaf: leaf[0], z) if self._is_batched else z
        check_returns_scalar(potential_fn, one_z)
        # Keys go along, since a model without latent sites has no axis over chains in its position.
        evaluate = SharedJit(over_chains(lambda _, z: self._evaluate(potential_fn, z)))
        potential_energy, z_grad = evaluate(rng_key, z)
        check_finite_start(potential_energy)

        position = ravel_pytree(one_z)[0]
        auxiliary = over_chains(lambda key: self.init_auxiliary(key, position))(key_auxiliary)
        mask = mask_of_blocks(self._dense_mass, one_z)
        matrix = first_matrix(self._inverse_mass_matrix, self._dense_mass, one_z, position)
        step_size = jnp.asarray(self._step_size, dtype=position.dtype)
        zeros = jnp.zeros_like(potential_energy)
        return KernelState(
            z=z,
            potential_energy=potential_energy,
            z_grad=z_grad,
            accept_prob=zeros,
            mean_accept_prob=zeros,
            diverging=jnp.zeros_like(potential_energy, dtype=bool),
            auxiliary=auxiliary,
            rng_key=rng_key,
            iteration=jnp.asarray(0),
            adaptation=self.tuning(position.size, mask).init(
                num_warmup, step_size, matrix, flat_positions(z, potential_energy.shape)
            ),
            health=self._healthy(position, zeros, num_warmup),
        )

    def sample(
        self, state: KernelState, model_args: ModelArgs = (), model_kwargs: ModelKwargs = None
    ) -> KernelState:
        """Take one step of every chain in `state`.

        Args:
            state: The state before.
            model_args: Arguments of the model.
            model_kwargs: Keyword arguments of the model.

        Returns:
            The state after.
        """
        if has_no_coordinates(state.z):
            return without_moving(state)
        potential_fn = self.get_potential_fn(model_args, model_kwargs)
        context = self.context(model_args, model_kwargs)
        adaptation = state.adaptation
        starts = flat_positions(state.z, state.potential_energy.shape)
        mask = mask_of_blocks(self._dense_mass, state.z, state.potential_energy.ndim)
        tuning = self.tuning(starts.shape[1], mask)
        settings = tuning.settings(adaptation, state.iteration)

        def step(
            rng_key: PRNGKey, z: Position, potential_energy: Scalar, z_grad: Any, auxiliary: Any
        ) -> tuple[Position, Any, Transition]:
            flat, unravel = ravel_pytree(z)
            target = WhitenedTarget(
                lambda flat: potential_fn(unravel(flat)),
                flat,
                adaptation.inverse_mass_matrix_sqrt,
                self.gradient_evaluations_per_step > 0,
                None if context is None else lambda flat, read=context: read(unravel(flat)),
            )
            start = target.start(
                potential_energy, None if z_grad is None else ravel_pytree(z_grad)[0]
            )
            key = step_key(rng_key, state.iteration)
            new = self.transition(key, target, start, auxiliary, settings)
            z_grad = None if new.point.z_grad is None else unravel(new.point.z_grad)
            return unravel(new.point.z), z_grad, new

        is_batched = state.potential_energy.ndim > 0
        z, z_grad, new = (jax.vmap(step) if is_batched else step)(
            state.rng_key, state.z, state.potential_energy, state.z_grad, state.auxiliary
        )
        iteration = state.iteration + 1
        num_warmup = adaptation.num_warmup
        count = jnp.where(
            iteration <= num_warmup,
            jnp.minimum(iteration, WARMUP_MEMORY),
            iteration - num_warmup,
        )
        mean = state.mean_accept_prob
        mean = mean + (new.accept_prob - mean) / count.astype(mean.dtype)
        observed = Observed(
            state.iteration,
            jnp.atleast_1d(new.accept_prob),
            jnp.atleast_1d(mean),
            starts,
            jnp.atleast_2d(new.point.z),
            jnp.atleast_1d(new.diverging),
            jnp.atleast_1d(new.point.potential_energy),
            new.auxiliary if is_batched else jax.tree.map(lambda leaf: leaf[None], new.auxiliary),
        )
        after = KernelState(
            z=z,
            potential_energy=new.point.potential_energy,
            z_grad=z_grad,
            accept_prob=new.accept_prob,
            mean_accept_prob=mean,
            diverging=new.diverging,
            auxiliary=new.auxiliary,
            rng_key=state.rng_key,
            iteration=iteration,
            adaptation=tuning.update(adaptation, observed),
        )
        return after._replace(health=self._health_after(state.health, after, count, new.energy))

    def _healthy(
        self, position: Float[Array, " dim"], zeros: Float[Array, "*chains"], num_warmup: int
    ) -> Health | None:
        """What is known of a run before its first step; nothing where it is part of another."""
        if self._axis_name is not None:
            return None
        zero, no = jnp.zeros((), zeros.dtype), jnp.asarray(False)
        texts = type(self).__name__, self.remedy_for_divergences
        record = None if self.takes_discrete else no_record(position, zeros)
        return Health(*texts, jnp.asarray(-num_warmup), zeros, zeros, no, zero, record)

    def _health_after(
        self,
        health: Health | None,
        after: KernelState,
        count: Int[Array, ""],
        energy: Float[Array, "*chains"] | None,
    ) -> Health | None:
        """What is known of a run after a step, the last of so many that are remembered."""
        adaptation = after.adaptation
        if health is None:
            return None
        share = health.diverging
        share = share + (after.diverging - share) / count.astype(share.dtype)
        bearable = self._bearable_energy_error
        if callable(bearable):
            bearable = bearable(adaptation.inverse_mass_matrix.shape[0])
        num_steps, record = health.num_steps + 1, health.record
        if record is not None:
            positions = flat_positions(after.z, after.potential_energy.shape)
            root = adaptation.inverse_mass_matrix_sqrt
            scale = root if root.ndim == 1 else jnp.linalg.norm(root, axis=1)
            if energy is None:
                energy = jnp.full_like(after.potential_energy, jnp.nan)
            record = record.add(positions, scale, energy, num_steps)
        return Health(
            health.kernel,
            health.remedy,
            num_steps,
            after.mean_accept_prob,
            share,
            adaptation.step_size <= _NEAR_THE_FLOOR * adaptation.least_step_size,
            rounding_of(after.potential_energy, bearable),
            record,
        )

    def tuning(self, dim: int, mask: Bool[np.ndarray, "dim dim"] | None = None) -> AbstractWarmup:
        """What tunes the kernel for a target of so many coordinates, and for blocks of its mass matrix."""
        target = self._target_accept_prob
        return self.warmup(
            Adaptation(
                self._adapt_step_size,
                self._adapt_mass_matrix,
                target(dim) if callable(target) else target,
                self._pace,
                self._step_for,
                self.remedy_for_divergences is not None,
                mask,
            )
        )

    def _evaluate(self, potential_fn: PotentialFn, z: Position) -> tuple[Scalar, Any]:
        """Potential energy in the precision of `z`, and the gradient if the kernel uses one."""
        if self.gradient_evaluations_per_step > 0:
            potential_energy, z_grad = jax.value_and_grad(potential_fn)(z)
        else:
            potential_energy, z_grad = potential_fn(z), None
        return jnp.asarray(potential_energy, dtype=ravel_pytree(z)[0].dtype), z_grad

    @property
    def is_ensemble_kernel(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether the last `init` was of a vectorised run.

        Its chains form an ensemble in that they share what warm-up learns; MCMC shows the
        diagnostics of ensembles alone beside the progress bar of a vectorised run.
        """
        return self._is_batched

    def get_diagnostics_str(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state: KernelState
    ) -> str:
        """Step size and mean acceptance probability, over all chains, for the progress bar."""
        step_size = float(np.mean(on_host(state.adaptation.step_size)))
        accept_prob = float(np.mean(on_host(state.mean_accept_prob)))
        return f"step size {step_size:.2e}. acc. prob={accept_prob:.2f}"

    def refresh(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state: KernelState, model_args: ModelArgs, model_kwargs: ModelKwargs
    ) -> KernelState:
        """Evaluate the potential of the current position anew, for other model arguments."""
        potential_fn = self.get_potential_fn(model_args, model_kwargs)

        def evaluate(_: Scalar, z: Position) -> tuple[Scalar, Any]:
            return self._evaluate(potential_fn, z)

        is_batched = state.potential_energy.ndim > 0
        over_chains = jax.vmap(evaluate) if is_batched else evaluate
        potential_energy, z_grad = over_chains(state.potential_energy, state.z)
        return state._replace(potential_energy=potential_energy, z_grad=z_grad)
