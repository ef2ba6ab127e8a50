"""Several potentials behind one compiled program.

A kernel's program differs from energy to energy in the potential alone, and compiling it takes longer than
running it. So energies of one dimension share their programs: which of them is meant is an argument.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ebm_ppl._types import Event, Scalar
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.validation.compilation import jit_lightly


class ChosenPotential(eqx.Module):
    """The potential of a family that an index names, on positions of shape `(dim,)`."""

    potentials: tuple[EnergyPotential, ...]
    index: Int[Array, ""]

    @property
    def position_shape(self) -> tuple[int, ...]:
        """Shape of an unconstrained position."""
        return (math.prod(self.potentials[0].position_shape),)

    def __call__(self, z: Event) -> Scalar:
        """Potential energy of one unconstrained position."""

        def of(potential: EnergyPotential) -> Callable[[Event], Scalar]:
            return lambda z: jnp.asarray(potential(z.reshape(potential.position_shape)), z.dtype)

        return jax.lax.switch(self.index, [of(potential) for potential in self.potentials], z)


class Family:
    """Potentials of one dimension, and the programs that were compiled for them."""

    def __init__(self, potentials: Iterable[EnergyPotential]) -> None:
        self._potentials = tuple(potentials)
        self._programs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def member(self, index: Int[Array, ""]) -> EnergyPotential:
        """The potential with a number, which a compiled program takes as an argument."""
        if len(self._potentials) == 1:
            return self._potentials[0]
        return cast(EnergyPotential, ChosenPotential(self._potentials, index))  # it looks like one

    @property
    def position_shape(self) -> tuple[int, ...]:
        """Shape of the members' positions."""
        return self.member(jnp.asarray(0)).position_shape

    def program(self, key: tuple[Any, ...], function: Callable[..., Any]) -> Callable[..., Any]:
        """The function compiled, with the index as its first argument; once for each key.

        Args:
            key: What the function was made of, hashable.
            function: The function, used if there is none yet for this key.
        """
        return self._programs.setdefault(key, jit_lightly(function))


@dataclasses.dataclass(frozen=True)
class Member:
    """One potential of a family.

    Attributes:
        potential: The potential itself.
        family: The family.
        index: Its place there.
    """

    potential: EnergyPotential
    family: Family
    index: int

    @classmethod
    def alone(cls, potential: EnergyPotential) -> "Member":
        """A potential that shares its programs with none."""
        return cls(potential, Family([potential]), 0)


def in_families(potentials: Iterable[EnergyPotential]) -> list[Member]:
    """Put real potentials of the same dimension into one family each, in their order."""
    groups: dict[object, list[EnergyPotential]] = {}
    places: list[tuple[EnergyPotential, object, int]] = []
    for number, potential in enumerate(potentials):
        # A kernel on states may read the structure of its energy, so each has programs of its own.
        is_alone = potential.energy.support.is_discrete
        key = f"alone {number}" if is_alone else math.prod(potential.position_shape)
        group = groups.setdefault(key, [])
        places.append((potential, key, len(group)))
        group.append(potential)
    families = {key: Family(group) for key, group in groups.items()}
    return [Member(potential, families[key], index) for potential, key, index in places]
