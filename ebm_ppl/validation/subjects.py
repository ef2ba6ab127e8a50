"""An energy under question, with its potential and, where there is one, its ground truth."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import QuadratureDensity, StateTable, enumerate_states, normalize
from ebm_ppl.validation.targets import Target, makers
from ebm_ppl.validation.truth import exact_starts

MAXIMUM_QUADRATURE_DIM = 2
MAXIMUM_STATES = 2**16
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

    @property
    def is_discrete(self) -> bool:
        """Whether the energy's points are states."""
        return bool(self.energy.support.is_discrete)

    @property
    def has_truth(self) -> bool:
        """Whether there is a ground truth."""
        return self.density is not None or self.table is not None

    @functools.cached_property
    def density(self) -> QuadratureDensity | None:
        """Ground truth by quadrature; `None` for more than two coordinates, and on states.

        Raises:
            ValueError: If the energy does not normalise, or is not finite where it carries mass.
        """
        if self.is_discrete or self.energy.event_size > MAXIMUM_QUADRATURE_DIM:
            return None
        return normalize(self.energy)

    @functools.cached_property
    def table(self) -> StateTable | None:
        """Ground truth state by state; `None` for real points, and where there are too many states.

        Raises:
            ValueError: If a state has no energy, or none has a finite one.
        """
        space = StateSpace.of(self.energy)
        if space is None or space.total > MAXIMUM_STATES:
            return None
        table = enumerate_states(self.energy)
        if not np.isfinite(table.log_z):
            raise ValueError(
                f"The energy must be a number at every state, finite at one; got log Z {table.log_z}."
            )
        return table

    @functools.cached_property
    def probes(self) -> np.ndarray:
        """Unconstrained points at which gradients and potentials are compared: exact draws if possible.

        Of a discrete energy, states drawn uniformly.
        """
        if self.density is not None:
            return exact_starts(self.density, jax.random.key(0), NUM_PROBES)
        space = StateSpace.of(self.energy)
        if space is not None:
            return np.asarray(jax.vmap(space.draw)(jax.random.split(jax.random.key(0), NUM_PROBES)))
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
        if self.has_truth:
            return
        values = jax.vmap(self.potential)(jnp.asarray(self.probes, dtype=float))
        if not bool(jnp.all(jnp.isfinite(values))):
            share = float(jnp.mean(~jnp.isfinite(values)))
            raise ValueError(
                f"The energy is not finite at {share:.0%} of {NUM_PROBES} "
                f"{'random states' if self.is_discrete else 'standard normal points'}."
            )
        if not self.is_discrete and bool(jnp.all(values == values[0])):
            raise ValueError("The energy is constant, so it has no density to sample.")


class _BuiltIn(Mapping[str, Subject]):
    """The built-in targets as subjects by name, each made when it is first asked for."""

    def __init__(self) -> None:
        self._makers = makers()
        self._subjects: dict[str, Subject] = {}

    def __getitem__(self, name: str) -> Subject:
        make = self._makers[name]
        if name not in self._subjects:
            self._subjects[name] = Subject.from_target(make())
        return self._subjects[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __contains__(self, name: object) -> bool:
        return name in self._makers


@functools.cache
def built_in() -> Mapping[str, Subject]:
    """All built-in targets as subjects, by name; each is made when it is first asked for."""
    return _BuiltIn()


def is_built_in(subject: Subject) -> bool:
    """Whether a subject is one of the suite's own."""
    return subject.name in built_in() and built_in()[subject.name] is subject
