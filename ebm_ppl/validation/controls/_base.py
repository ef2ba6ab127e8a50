"""What a control is."""

import dataclasses
from collections.abc import Callable
from typing import cast

import equinox as eqx
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl._types import Event, PotentialFn, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.validation.cases._base import KernelCase


@dataclasses.dataclass(frozen=True)
class Control:
    """A kernel or a potential with one planted bug, or a variant that only looks like one.

    Attributes:
        name: Name in the report.
        wrong_because: What is wrong, in one sentence; for an equivalent variant, why nothing is.
        case: The kernel under question, with the claims that it (wrongly) makes; `None` if only the
            potential is questioned.
        target: Name of the built-in target on which it is questioned.
        potential: Builds the potential from the target's energy; `EnergyPotential` unless the bug is in it.
        step_size: Step size, about that of a tuned kernel; questioned at half, once and twice.
        equivalent: Whether it is correct after all and must pass.
        expected_efficiency_of: Name of the kernel case whose effective draws per gradient are to be
            expected, where the variant changes efficiency and nothing else; reported, never judged.
        quick: Whether the quick report runs it: one control for each check.
    """

    name: str
    wrong_because: str
    case: KernelCase | None = None
    target: str = "tilted_double_well_1d"
    potential: Callable[[AbstractEnergy], PotentialFn] = EnergyPotential
    step_size: float = 1.0
    equivalent: bool = False
    expected_efficiency_of: str | None = None
    quick: bool = False

    def register(self, energy: AbstractEnergy) -> EnergyPotential:
        """The potential of the target's energy, with the planted bug if that is where it is."""
        return cast(EnergyPotential, self.potential(energy))  # it looks like one


class AlteredPotential(eqx.Module):
    """Looks like an `EnergyPotential`; a control says in `__call__` what it makes of the correct value."""

    energy: AbstractEnergy

    @property
    def position_shape(self) -> tuple[int, ...]:
        """Shape of an unconstrained position."""
        return EnergyPotential(self.energy).position_shape

    def correct(self, z: Event) -> Scalar:
        """The potential that the energy should have."""
        return EnergyPotential(self.energy)(z)


def claims(make: Callable[[PotentialFn], MCMCKernel], **changes: object) -> KernelCase:
    """A case that claims to be an exact, reversible kernel that reports its acceptance."""
    return KernelCase(**({"name": "control", "make": make, "exact": True} | changes))  # pyright: ignore[reportArgumentType]
