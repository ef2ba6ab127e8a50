"""An energy under question, with its potential and, where quadrature reaches, its ground truth."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import QuadratureDensity, normalize
from validation.targets import Target, discover
from validation.truth import exact_starts

MAXIMUM_QUADRATURE_DIM = 2
NUM_PROBES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """An energy under question.

    Attributes:
        name: Name in the report.
        energy: The energy.
        log_z: Closed form of its log partition function, or `None`.
        registered: Potential under question; by default the one that the energy should have.
    """

    name: str
    energy: AbstractEnergy
    log_z: float | None = None
    registered: EnergyPotential | None = None

    @classmethod
    def from_target(cls, target: Target) -> "Subject":
        """The subject of a built-in target."""
        return cls(target.name, target.energy, target.log_z)

    @property
    def potential(self) -> EnergyPotential:
        """The potential on unconstrained space."""
        return EnergyPotential(self.energy) if self.registered is None else self.registered

    @functools.cached_property
    def density(self) -> QuadratureDensity | None:
        """Ground truth by quadrature; `None` for more than two coordinates.

        Raises:
            ValueError: If the energy does not normalise, or is not finite where it carries mass.
        """
        if self.energy.event_size > MAXIMUM_QUADRATURE_DIM:
            return None
        return normalize(self.energy)

    @functools.cached_property
    def probes(self) -> np.ndarray:
        """Unconstrained points at which gradients and potentials are compared: exact draws if possible."""
        if self.density is not None:
            return exact_starts(self.density, jax.random.key(0), NUM_PROBES)
        shape = (NUM_PROBES, *self.potential.position_shape)
        return np.asarray(jax.random.normal(jax.random.key(0), shape))

    @functools.cached_property
    def refusal(self) -> Exception | None:
        """Why the energy cannot be questioned: it raises, is not finite, or does not normalise."""
        try:
            self._require_usable()
        except Exception as error:
            return error
        return None

    def _require_usable(self) -> None:
        if self.density is not None:
            return
        values = jax.vmap(self.potential)(jnp.asarray(self.probes, dtype=float))
        if not bool(jnp.all(jnp.isfinite(values))):
            share = float(jnp.mean(~jnp.isfinite(values)))
            raise ValueError(
                f"The energy is not finite at {share:.0%} of {NUM_PROBES} standard normal points."
            )
        if bool(jnp.all(values == values[0])):
            raise ValueError("The energy is constant, so it has no density to sample.")


@functools.cache
def built_in() -> dict[str, Subject]:
    """All built-in targets as subjects, by name."""
    return {name: Subject.from_target(target) for name, target in discover().items()}
