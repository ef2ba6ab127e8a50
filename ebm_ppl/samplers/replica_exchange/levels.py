"""The chains of one kernel at several temperatures, whose states are stacked level by level."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer
from numpyro.infer import HMC, BarkerMH, init_to_uniform
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl._numpyro import differentiates_forward, parts, with_potential
from ebm_ppl._random import step_keys
from ebm_ppl._types import Position, PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract import AbstractKernel, KernelState
from ebm_ppl.samplers._numpyro import PotentialSource
from ebm_ppl.samplers._warmup import AdaptationState

_LEVELS = "levels"

Tempered = Callable[[Scalar], PotentialFn]
"""The potential at an inverse temperature."""


@dataclasses.dataclass(frozen=True)
class AbstractLevels(abc.ABC):
    """What replica exchange asks of the kernel that moves its replicas.

    States and keys have a leading axis over levels, before that over chains if there is one. Counters of
    iterations have neither, so that warm-up ends for real: under a mapped one both branches would be paid
    for ever after.

    Attributes:
        kernel: The kernel, whose own potential is not used.
        tempered: The potential at an inverse temperature.
        inverse_temperatures: That of each level.
        num_warmup: Number of the kernel's steps of warm-up.
    """

    kernel: Any
    tempered: Tempered
    inverse_temperatures: Float[Array, " levels"]
    num_warmup: int

    @abc.abstractmethod
    def init(self, rng_key: PRNGKey, z: Position) -> Any:
        """States of all levels, of which each starts at `z`."""

    @abc.abstractmethod
    def move(self, rng_key: PRNGKey, state: Any, num_steps: int) -> Any:
        """Take a few steps at each level."""

    @abc.abstractmethod
    def place(self, state: Any, z: Position) -> Any:
        """The states with other positions, one for each level, and what the kernel knows of them."""


class OwnLevels(AbstractLevels):
    """Levels of a kernel of this package: each has one step size and mass matrix for all chains."""

    def init(self, rng_key: PRNGKey, z: Position) -> KernelState:
        """States of all levels, of which each starts at `z`."""

        def one(inverse_temperature: Scalar, rng_key: PRNGKey) -> KernelState:
            return self._at(inverse_temperature).init(rng_key, self.num_warmup, z)

        return self._map(one, (0, 0))(self.inverse_temperatures, rng_key)

    def move(self, rng_key: PRNGKey, state: KernelState, num_steps: int) -> KernelState:
        """Take a few steps at each level."""

        def one(inverse_temperature: Scalar, rng_key: PRNGKey, state: KernelState) -> KernelState:
            kernel = self._at(inverse_temperature)
            return repeat(kernel.sample, state._replace(rng_key=rng_key), num_steps)

        return self._map(one, (0, 0, _OWN))(self.inverse_temperatures, rng_key, state)

    def place(self, state: KernelState, z: Position) -> KernelState:
        """The states with other positions."""

        def one(inverse_temperature: Scalar, z: Position, state: KernelState) -> KernelState:
            return self._at(inverse_temperature).refresh(state._replace(z=z), (), {})

        return self._map(one, (0, 0, _OWN))(self.inverse_temperatures, z, state)

    def _at(self, inverse_temperature: Scalar) -> AbstractKernel:
        return self.kernel.with_potential(self.tempered(inverse_temperature), _LEVELS)

    def _map(self, function: Callable[..., KernelState], in_axes: Any) -> Callable[..., Any]:
        return jax.vmap(function, in_axes, _OWN, axis_name=_LEVELS)


_LEADING: Any = 0
_OWN = KernelState(*(_LEADING,) * len(KernelState._fields))._replace(
    iteration=None,
    adaptation=AdaptationState(*(_LEADING,) * len(AdaptationState._fields))._replace(
        window_ends=None
    ),
)
"""Axes over levels of the fields of a state."""


class NumPyroLevels(AbstractLevels):
    """Levels of a kernel of NumPyro, whose chains adapt each by itself."""

    def init(self, rng_key: PRNGKey, z: Position) -> Any:
        """States of all levels, of which each starts at `z`."""

        def one(inverse_temperature: Scalar, rng_key: PRNGKey, z: Position) -> Any:
            return self._start(self.tempered(inverse_temperature), rng_key, z)[1]

        over_chains = jax.vmap(one, (None, 0, 0)) if rng_key.ndim > 1 else one
        state = jax.vmap(over_chains, (0, 0, None))(self.inverse_temperatures, rng_key, z)
        return state._replace(i=jnp.asarray(0))

    def move(self, rng_key: PRNGKey, state: Any, num_steps: int) -> Any:
        """Take a few steps at each level."""

        def one(inverse_temperature: Scalar, rng_key: PRNGKey, state: Any) -> Any:
            # NumPyro's kernels keep closures of their last `init`, whose results nobody reads here.
            potential = self.tempered(inverse_temperature)
            kernel, _ = self._start(potential, rng_key, state.z)
            step = lambda state: kernel.sample(state, (), {})  # noqa: E731
            return repeat(step, state._replace(rng_key=rng_key), num_steps)

        axes = _numpyro_axes(state)
        over_chains = jax.vmap(one, (None, 0, axes), axes) if rng_key.ndim > 1 else one
        return jax.vmap(over_chains, (0, 0, axes), axes)(self.inverse_temperatures, rng_key, state)

    def place(self, state: Any, z: Position) -> Any:
        """The states with other positions."""

        def one(inverse_temperature: Scalar, z: Position) -> tuple[Scalar, Position]:
            potential_fn = self.tempered(inverse_temperature)
            if differentiates_forward(self.kernel):
                return potential_fn(z), jax.jacfwd(potential_fn)(z)
            return jax.value_and_grad(potential_fn)(z)

        is_batched = state.potential_energy.ndim > 1
        over_chains = jax.vmap(one, (None, 0)) if is_batched else one
        potential_energy, z_grad = jax.vmap(over_chains)(self.inverse_temperatures, z)
        potential_energy = potential_energy.astype(state.potential_energy.dtype)
        return state._replace(z=z, potential_energy=potential_energy, z_grad=z_grad)

    def _start(
        self, potential_fn: PotentialFn, rng_key: PRNGKey, z: Position
    ) -> tuple[MCMCKernel, Any]:
        kernel = with_potential(self.kernel, potential_fn)
        state = kernel.init(rng_key, self.num_warmup, init_params=z, model_args=(), model_kwargs={})
        return kernel, state


def levels_of(kernel: Any) -> type[AbstractLevels]:
    """The levels that suit a kernel.

    Raises:
        ValueError: If the kernel is none that can be tempered.
    """
    if isinstance(kernel, AbstractKernel):
        if type(kernel).context is not AbstractKernel.context:
            raise ValueError(
                "`inner_kernel` must be one that sees nothing of its target but the potential; got "
                f"{type(kernel).__name__}, which reads the model beside it."
            )
        return OwnLevels
    if isinstance(kernel, (HMC, BarkerMH)):
        return NumPyroLevels
    raise ValueError(
        "`inner_kernel` must be a kernel of this package or NumPyro's HMC, NUTS or BarkerMH; got "
        f"{kernel!r}."
    )


def target_of(kernel: Any) -> tuple[Callable | None, PotentialFn | None, Callable, bool]:
    """Model or potential of a kernel, its initialisation strategy, and whether it uses gradients."""
    if not isinstance(kernel, AbstractKernel):
        return *parts(kernel), True
    source, uses_gradient = kernel._source, kernel.gradient_evaluations_per_step > 0
    if isinstance(source, PotentialSource):
        return None, source.potential_fn(), init_to_uniform, uses_gradient
    return source.model, None, source.init_strategy, uses_gradient


def keys_of_levels(
    rng_key: PRNGKey, step: Integer[Array, ""] | int, num_levels: int, is_batched: bool
) -> Any:
    """A key of one step for each level, and within it for each chain."""
    if not is_batched:
        return step_keys(rng_key, step, num_levels)
    return jax.vmap(lambda key: step_keys(key, step, num_levels), out_axes=1)(rng_key)


def repeat(step: Callable[[Any], Any], state: Any, num_steps: int) -> Any:
    """Take so many steps."""
    if num_steps == 1:
        return step(state)
    return lax.fori_loop(0, num_steps, lambda _, state: step(state), state)


def _numpyro_axes(state: Any) -> Any:
    return type(state)(*(0,) * len(state))._replace(i=None)
