"""A ground-truth target: an energy together with what is known about it and why."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebm_ppl.energies import AbstractEnergy

FloatArray = npt.NDArray[np.float64]
"""An array on the host in double precision."""


class Mode(NamedTuple):
    """A region of the support whose share of the mass a sampler has to get right.

    Attributes:
        name: What to call it in a report.
        region: The predicate in words, such as `"x0 < 0"`.
        contains: Maps points of shape `(n, dim)` to Booleans of shape `(n,)`.
    """

    name: str
    region: str
    contains: Callable[[FloatArray], npt.NDArray[np.bool_]]


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
        modes: Disjoint regions whose mass shares are worth watching; empty if there is one mode.
        derivation: Where the closed forms come from.
        init_scale: Standard deviation of over-dispersed normal starts in unconstrained coordinates.
    """

    name: str
    energy: AbstractEnergy
    log_z: float | None
    mean: FloatArray | None
    variance: FloatArray | None
    derivation: str
    init_scale: float
    modes: tuple[Mode, ...] = ()


def as_float64(parameter: object) -> FloatArray:
    """A parameter of an energy as a host array in double precision."""
    return np.asarray(parameter, dtype=np.float64)


def sign_modes() -> tuple[Mode, ...]:
    """The two sides of the first coordinate."""
    return (
        Mode("left", "x0 < 0", lambda x: x[:, 0] < 0),
        Mode("right", "x0 >= 0", lambda x: x[:, 0] >= 0),
    )
