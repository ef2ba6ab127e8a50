"""Energies on arrays of any shape, as energies on vectors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import AbstractEnergy


class FlatEnergy(AbstractEnergy):
    """An energy of the entries of an array in one row.

    Attributes:
        energy: The energy on arrays, whose support constrains each entry by itself.
    """

    energy: AbstractEnergy

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(event_size,)`."""
        return (self.energy.event_size,)

    @property
    def support(self) -> constraints.Constraint:
        """Support of the row."""
        return constraints.independent(jax.tree.map(self._flat, self._base()), 1)

    def _base(self) -> constraints.Constraint:
        """What the support asks of one entry."""
        support: Any = self.energy.support
        base = getattr(support, "base_constraint", support)
        if base.event_dim != 0:
            raise ValueError(
                f"The energy's support must constrain each entry by itself; got {support!r}."
            )
        return base

    def _flat(self, bound: Any) -> Any:
        if np.ndim(bound) == 0:
            return bound
        return jnp.broadcast_to(bound, self.energy.event_shape).ravel()

    def _energy(self, x: Event) -> Scalar:
        return self.energy(x.reshape(self.energy.event_shape))


def joined(
    free: Float[Array, " num_free"],
    values: Float[Array, " num_fixed"],
    fixed: tuple[int, ...],
    shape: tuple[int, ...],
) -> Event:
    """The array of free entries and given ones, whose places in a row are `fixed`."""
    places = np.array(fixed)
    others = np.delete(np.arange(len(places) + len(free)), places)
    row = jnp.zeros(len(places) + len(free), free.dtype)
    return row.at[others].set(free).at[places].set(values).reshape(shape)
