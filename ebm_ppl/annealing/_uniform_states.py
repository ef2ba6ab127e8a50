"""The uniform law on finitely many states, where paths of discrete energies begin."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions.constraints import Constraint

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._states import StateSpace


class UniformStates(dist.Distribution):
    """Every state of a discrete energy alike: fair coins, spins or dice in each coordinate.

    Args:
        energy: An energy of finitely many states.

    Raises:
        ValueError: If its states are not finitely many.
    """

    pytree_aux_fields = ("_space", "_energy_support")

    def __init__(self, energy: AbstractEnergy) -> None:
        space = StateSpace.of(energy)
        if space is None:
            raise ValueError(
                f"`base` must be given for the support {energy.support!r}; without one, a path begins at a "
                "normal law or, of finitely many states, at all of them alike."
            )
        self._space = space
        self._energy_support: Constraint = energy.support
        super().__init__((), energy.event_shape)

    @property
    def support(self) -> Constraint:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The energy's support."""
        return self._energy_support

    @property
    def log_num_states(self) -> float:
        """Log of the number of states."""
        return sum(math.log(size) for size in self._space.sizes)

    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw states as floating-point numbers, of shape `sample_shape + event_shape`."""
        if key is None:
            raise ValueError("`key` must be a random key; got None.")
        keys = jax.random.split(key, math.prod(sample_shape))
        draws = jax.vmap(self._space.draw)(keys)
        return draws.reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Any) -> Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Minus the log of the number of states, for every state."""
        batch = jnp.shape(value)[: jnp.ndim(value) - len(self.event_shape)]
        return jnp.full(batch, -self.log_num_states)
