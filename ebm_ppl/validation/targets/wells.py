"""Targets on polynomial landscapes: the quartic and the double wells."""

import math

import numpy as np

from ebm_ppl.energies import DoubleWell, Quartic, TiltedDoubleWell
from ebm_ppl.validation.targets._base import Target, as_float64
from ebm_ppl.validation.targets._quartic_series import quartic_moments


def _quartic() -> Target:
    energy = Quartic(a=0.5, b=0.25, gamma=-2.0)
    a, b, gamma = (float(as_float64(value)) for value in (energy.a, energy.b, energy.gamma))
    log_z, mean, variance = quartic_moments(a, b, math.exp(gamma))
    return Target(
        name="quartic",
        energy=energy,
        log_z=log_z,
        mean=np.array([mean]),
        variance=np.array([variance]),
        derivation="Series in b^2 of parabolic cylinder functions (Gradshteyn and Ryzhik 3.462.1).",
    )


def _well(name: str, energy: DoubleWell | TiltedDoubleWell, tilt: float) -> Target:
    height = float(as_float64(energy.barrier_height))
    half = float(as_float64(energy.separation)) / 2
    log_z, mean, variance = quartic_moments(-2 * height / half**2, tilt, height / half**4)
    springs = energy.dim - 1
    return Target(
        name=name,
        energy=energy,
        log_z=log_z - height + springs * 0.5 * math.log(2 * math.pi),
        mean=np.array([mean] + [0.0] * springs),
        variance=np.array([variance] + [1.0] * springs),
        derivation=(
            "h (x0^2/c^2 - 1)^2 + t x0 = h + a x0^2 + t x0 + l x0^4 with a = -2h/c^2, l = h/c^4: "
            "the quartic's series, less h; the other coordinates are independent standard normals."
        ),
    )


def _tilted(dim: int) -> Target:
    energy = TiltedDoubleWell(dim=dim)
    return _well(f"tilted_double_well_{dim}d", energy, float(as_float64(energy.tilt)))


TARGETS = {
    "quartic": _quartic,
    "double_well_2d": lambda: _well("double_well_2d", DoubleWell(dim=2), 0.0),
    "tilted_double_well_1d": lambda: _tilted(1),
    "tilted_double_well_2d": lambda: _tilted(2),
}
