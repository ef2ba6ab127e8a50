"""Targets whose support is an interval or a half-line: they exercise transforms and Jacobians."""

import math

import numpy as np
from scipy import special

from ebm_ppl.energies import Beta, Gamma
from ebm_ppl.validation.targets._base import Target, as_float64


def _beta() -> Target:
    energy = Beta(concentration1=3.0, concentration0=2.0)
    alpha = float(as_float64(energy.concentration1))
    beta = float(as_float64(energy.concentration0))
    total = alpha + beta
    return Target(
        name="beta",
        energy=energy,
        log_z=float(special.betaln(alpha, beta)),
        mean=np.array([alpha / total]),
        variance=np.array([alpha * beta / (total**2 * (total + 1))]),
        derivation="Z is Euler's beta function.",
    )


def _gamma() -> Target:
    energy = Gamma(concentration=3.0, rate=2.0)
    alpha, rate = float(as_float64(energy.concentration)), float(as_float64(energy.rate))
    return Target(
        name="gamma",
        energy=energy,
        log_z=float(special.gammaln(alpha)) - alpha * math.log(rate),
        mean=np.array([alpha / rate]),
        variance=np.array([alpha / rate**2]),
        derivation="Z is Euler's gamma integral with x scaled by the rate.",
    )


TARGETS = {"beta": _beta, "gamma": _gamma}
