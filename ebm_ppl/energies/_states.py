"""The states of a discrete energy, numbered from 0."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpyro.distributions import constraints

from ebm_ppl._checks import is_traced
from ebm_ppl._types import Event, PRNGKey
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._spin import SpinConstraint


@dataclasses.dataclass(frozen=True)
class StateSpace:
    """All points of a finite support, numbered by their digits.

    Attributes:
        event_shape: Shape of one point.
        lowest: Least value of each coordinate.
        sizes: Number of values of each coordinate, the base of its digit.
        step: Distance between two neighbouring values of a coordinate: 2 for spins.
    """

    event_shape: tuple[int, ...]
    lowest: tuple[int, ...]
    sizes: tuple[int, ...]
    step: int = 1

    @classmethod
    def of(cls, energy: AbstractEnergy) -> "StateSpace | None":
        """The states of an energy; `None` if its support is not finite, or its bounds are traced."""
        support = energy.support
        base = support.base_constraint if isinstance(support, constraints.independent) else support
        if isinstance(base, SpinConstraint):
            num = energy.event_size
            return cls(energy.event_shape, (-1,) * num, (2,) * num, step=2)
        if base is constraints.boolean:
            lower, upper = 0, 1
        elif isinstance(base, constraints.integer_interval) and not is_traced(base):
            lower, upper = base.lower_bound, base.upper_bound
        else:
            return None
        lowest, highest = (
            np.broadcast_to(np.asarray(bound, int), energy.event_shape).ravel().tolist()
            for bound in (lower, upper)
        )
        sizes = tuple(high - low + 1 for low, high in zip(lowest, highest, strict=True))
        return cls(energy.event_shape, tuple(lowest), sizes)

    @property
    def total(self) -> int:
        """Number of states."""
        return math.prod(self.sizes)

    @property
    def is_counted_from_zero(self) -> bool:
        """Whether the values of each coordinate are 0, 1, 2 and so on."""
        return self.step == 1 and not any(self.lowest)

    def states(self, index: Int[Array, " n"]) -> Float[Array, "n ..."]:
        """States by their number, of shape `(n,) + event_shape`."""
        columns: list[Event] = []
        for low, size in zip(reversed(self.lowest), reversed(self.sizes), strict=True):
            index, digit = jnp.divmod(index, size)
            columns.append((low + self.step * digit).astype(float))
        return jnp.stack(columns[::-1], axis=-1).reshape(-1, *self.event_shape)

    def draw(self, rng_key: PRNGKey) -> Event:
        """Draw one state uniformly, of shape `event_shape`."""
        digits = jax.random.randint(rng_key, (len(self.sizes),), 0, jnp.asarray(self.sizes))
        values = jnp.asarray(self.lowest) + self.step * digits
        return values.astype(float).reshape(self.event_shape)
