"""What an energy depends on, in words for messages."""

from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._conditions import named
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


def described(value: object) -> str:
    """Class of a value and, of an energy, what it depends on."""
    if isinstance(value, AbstractConditionalEnergy):
        return named(value)
    name = type(value).__name__
    return f"{name}, an energy E(x)" if isinstance(value, AbstractEnergy) else name


def in_place_of_energy(value: object) -> str:
    """What somebody gave where an energy with nothing left open is asked for."""
    if isinstance(value, AbstractConditionalEnergy):
        return f"{named(value)}, which is one at a condition only, see its `at(...)`"
    return type(value).__name__
