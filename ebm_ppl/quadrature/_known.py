"""What is known of a law, compared by what it is known of."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ebm_ppl.quadrature._density import QuadratureDensity
from ebm_ppl.quadrature._states import StateTable


@dataclasses.dataclass(frozen=True, eq=False)
class KnownLaw:
    """A normalised law that two pytrees may carry as the same static part.

    JAX compares static parts when it merges the branches of `lax.cond` and when it looks for a compiled
    program. Two laws are equal if they were found on the same grid for energies of one structure whose
    arrays are equal to the last bit.

    Attributes:
        law: The law.
    """

    law: QuadratureDensity | StateTable

    @functools.cached_property
    def _content(self) -> tuple[Any, ...]:
        leaves, structure = jax.tree.flatten(self.law.energy)
        found: tuple[Any, ...] = (type(self.law), self.law.log_z)
        if isinstance(self.law, QuadratureDensity):
            found += (self.law.rule, self.law.num_intervals, self.law.bounds)
        return (*found, structure, *map(_as_hashable, leaves))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, KnownLaw) and self._content == other._content)

    def __hash__(self) -> int:
        return hash(self._content)


def _as_hashable(leaf: Any) -> Any:
    if not eqx.is_array_like(leaf):
        return leaf
    array = np.asarray(leaf)
    return array.dtype.str, array.shape, array.tobytes()
