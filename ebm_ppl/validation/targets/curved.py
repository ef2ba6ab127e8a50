"""Targets in the plane whose mass follows a curve or changes its scale."""

import math

import numpy as np
from scipy import special

from ebm_ppl.energies import Banana, Funnel, Ring
from ebm_ppl.validation.targets._base import Target, as_float64


def _banana() -> Target:
    energy = Banana()
    a, b, s = (float(as_float64(value)) for value in (energy.a, energy.b, energy.scale))
    return Target(
        name="banana",
        energy=energy,
        log_z=math.log(math.pi * s * math.sqrt(2 / b)),
        mean=np.array([a, a**2 + s**2]),
        variance=np.array([s**2, 2 * s**4 + 4 * a**2 * s**2 + 0.5 / b]),
        derivation="x0 ~ N(a, s^2), x1 | x0 ~ N(x0^2, 1/(2b)); moments of x0^2 for a normal x0.",
    )


def _funnel() -> Target:
    energy = Funnel(dim=2, scale=1.0)
    s = float(as_float64(energy.scale))
    return Target(
        name="funnel",
        energy=energy,
        log_z=math.log(2 * math.pi * s),
        mean=np.zeros(2),
        variance=np.array([s**2, math.exp(s**2 / 2)]),
        derivation="v ~ N(0, s^2), x1 | v ~ N(0, e^v); E[e^v] is the mean of a log-normal law.",
    )


def _ring() -> Target:
    energy = Ring()
    radius, width = float(as_float64(energy.radius)), float(as_float64(energy.width))
    # m_n = int_0^inf r^n exp(-(r - R)^2 / 2 w^2) dr obeys m_n = R m_(n-1) + (n-1) w^2 m_(n-2).
    m0 = width * math.sqrt(2 * math.pi) * float(special.ndtr(radius / width))
    m1 = radius * m0 + width**2 * math.exp(-0.5 * (radius / width) ** 2)
    m2 = radius * m1 + width**2 * m0
    m3 = radius * m2 + 2 * width**2 * m1
    return Target(
        name="ring",
        energy=energy,
        log_z=math.log(2 * math.pi * m1),
        mean=np.zeros(2),
        variance=np.full(2, 0.5 * m3 / m1),
        derivation=(
            "Polar coordinates: Z = 2 pi m_1 and Var = m_3 / (2 m_1), with the moments m_n of a "
            "truncated normal law by integration by parts."
        ),
    )


TARGETS = {"banana": _banana, "funnel": _funnel, "ring": _ring}
