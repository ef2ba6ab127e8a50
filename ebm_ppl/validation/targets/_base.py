"""A ground-truth target: an energy together with what is known about it and why."""

import dataclasses

import numpy as np
import numpy.typing as npt

from ebm_ppl.energies import AbstractEnergy

FloatArray = npt.NDArray[np.float64]
"""An array on the host in double precision."""


@dataclasses.dataclass(frozen=True)
class Target:
    """An energy with provenance.

    Closed forms are evaluated in double precision from the parameters that the energy stores, after
    they were rounded to its precision, so they describe exactly the energy that is sampled.

    Attributes:
        name: Unique name.
        energy: The energy.
        log_z: Logarithm of the partition function in closed form; `None` if only quadrature has it.
        mean: Mean of each coordinate in closed form, shape `(dim,)`, or `None`.
        variance: Variance of each coordinate in closed form, shape `(dim,)`, or `None`.
        derivation: Where the closed forms come from.
    """

    name: str
    energy: AbstractEnergy
    log_z: float | None
    mean: FloatArray | None
    variance: FloatArray | None
    derivation: str


def as_float64(parameter: object) -> FloatArray:
    """A parameter of an energy as a host array in double precision."""
    return np.asarray(parameter, dtype=np.float64)
