"""Kernels that move with the help of an energy's structure, which a bare potential does not show."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import is_traced
from ebm_ppl._processes import on_host
from ebm_ppl._types import Event, PotentialFn, PRNGKey, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.potentials import EnergyModel, EnergyPotential
from ebm_ppl.samplers._contract.kernel import AbstractKernel
from ebm_ppl.samplers._contract.state import KernelState
from ebm_ppl.samplers._contract.target import Point, Settings, Transition, WhitenedTarget
from ebm_ppl.samplers._numpyro import ModelArgs, ModelKwargs, flat_positions


class Moved(NamedTuple):
    """Where a move has led.

    Attributes:
        x: Where the chain stands, of shape `event_shape`.
        accept_prob: Probability with which it was to move there.
        diverging: Whether a proposal was refused for not being finite.
    """

    x: Event
    accept_prob: Scalar
    diverging: Bool[Array, ""]


class AbstractEnergyKernel(AbstractKernel):
    """A kernel for the law of one energy, on whose points it moves directly.

    There is nothing to tune. Subclasses give `move`, for one chain.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or it is not what
            `ebm_ppl.as_model` or `ebm_ppl.potential_fn` makes of an energy.
    """

    gradient_evaluations_per_step = 0
    potential_evaluations_per_step = 1
    takes_discrete = True

    def __init__(self, model: Callable | None, potential_fn: PotentialFn | None) -> None:
        super().__init__(model, potential_fn, init_strategy=init_to_uniform)
        source, name = (model, "model") if potential_fn is None else (potential_fn, "potential_fn")
        self._energy = _energy_of(source, name, type(self).__name__)

    def with_potential(
        self, potential_fn: PotentialFn, axis_name: str | None = None
    ) -> "AbstractEnergyKernel":
        """Copy of this kernel for another energy, whose registered potential is given."""
        kernel = super().with_potential(potential_fn, axis_name)
        assert isinstance(kernel, AbstractEnergyKernel)  # for the type checker
        kernel._energy = _energy_of(potential_fn, "potential_fn", type(self).__name__)
        return kernel

    def init(
        self,
        rng_key: PRNGKey,
        num_warmup: int,
        init_params: Any = None,
        model_args: ModelArgs = (),
        model_kwargs: ModelKwargs = None,
    ) -> KernelState:
        """Make the initial state, as every kernel does; states off the energy's support are refused.

        Raises:
            ValueError: If the initial position is missing or malformed, is no point of the support, or
                its energy is not finite.
        """
        state = super().init(rng_key, num_warmup, init_params, model_args, model_kwargs)
        potential = EnergyPotential(self._energy)
        z = flat_positions(state.z, state.potential_energy.shape).reshape(
            -1, *potential.position_shape
        )
        inside = self._energy.support(potential.constrain(z))
        if is_traced(inside):
            return state
        inside = on_host(inside)
        if not np.all(inside):
            raise ValueError(
                f"`init_params` must lie in {self._energy.support!r}; "
                f"{np.sum(~inside)} of {np.size(inside)} chains start outside."
            )
        return state

    @abc.abstractmethod
    def move(self, rng_key: PRNGKey, x: Event) -> Moved:
        """Move one chain.

        Args:
            rng_key: Key of this step; nothing else uses it.
            x: Where it stands, of shape `event_shape`.

        Returns:
            Where it stands then.
        """

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,  # noqa: ARG002
    ) -> Transition:
        """Move, and evaluate the potential where the chain stands then."""
        potential = EnergyPotential(self._energy)
        z = start.z.reshape(potential.position_shape)
        moved = self.move(rng_key, potential.constrain(z))
        # Without the barrier XLA computes the move once more for each operation that reads its result.
        x = jax.lax.optimization_barrier(moved.x)
        end = target.evaluate_at(potential.unconstrain(x).astype(z.dtype).ravel())
        diverging = moved.diverging | ~jnp.isfinite(end.potential_energy)
        return Transition(end, auxiliary, moved.accept_prob.astype(z.dtype), diverging)


def _energy_of(source: Any, name: str, kernel: str) -> AbstractEnergy:
    """The energy that was registered; anything else is refused."""
    if not isinstance(source, (EnergyModel, EnergyPotential)):
        maker = "as_model" if name == "model" else "potential_fn"
        raise ValueError(
            f"`{name}` must be what `ebm_ppl.{maker}` makes of an energy, since {kernel} reads its "
            f"structure; got {source!r}."
        )
    return source.energy
