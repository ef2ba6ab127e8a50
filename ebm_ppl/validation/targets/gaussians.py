"""Targets made of normal laws: a correlated one, and mixtures with unequal weights."""

import math

import numpy as np

from ebm_ppl.energies import Gaussian, GaussianMixture
from ebm_ppl.validation.targets._base import Target, as_float64


def _gaussian() -> Target:
    energy = Gaussian(loc=[1.0, -0.5], covariance_matrix=[[2.0, 1.2], [1.2, 1.0]])
    whitening = np.tril(as_float64(energy.whitening))
    factor = np.linalg.inv(whitening)
    return Target(
        name="gaussian",
        energy=energy,
        log_z=math.log(2 * math.pi) - float(np.log(np.diag(whitening)).sum()),
        mean=as_float64(energy.loc),
        variance=np.diag(factor @ factor.T),
        derivation="Z = (2 pi)^(d/2) / det W with W the inverse Cholesky factor of the covariance.",
    )


def _mixture(name: str, energy: GaussianMixture) -> Target:
    logits = as_float64(energy.logits)
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    locs = as_float64(energy.locs)
    factors = np.linalg.inv(np.tril(as_float64(energy.whitenings)))
    variances = np.sum(factors**2, axis=-1)
    mean = weights @ locs
    return Target(
        name=name,
        energy=energy,
        log_z=0.5 * locs.shape[1] * math.log(2 * math.pi),
        mean=mean,
        variance=weights @ (variances + (locs - mean) ** 2),
        derivation=(
            "The weights sum to 1 and each component carries its determinant, so that only "
            "(2 pi)^(d/2) is left; moments by the laws of total expectation and variance."
        ),
    )


def _mixture_1d() -> Target:
    energy = GaussianMixture(
        weights=[0.3, 0.7], locs=[[-1.5], [1.25]], covariance_matrices=[[[0.36]], [[0.64]]]
    )
    return _mixture("gaussian_mixture_1d", energy)


def _mixture_2d() -> Target:
    energy = GaussianMixture(
        weights=[0.25, 0.75],
        locs=[[-1.5, -0.5], [1.25, 0.5]],
        covariance_matrices=[[[0.5, 0.2], [0.2, 0.8]], [[0.8, -0.3], [-0.3, 0.5]]],
    )
    return _mixture("gaussian_mixture_2d", energy)


TARGETS = {
    "gaussian": _gaussian,
    "gaussian_mixture_1d": _mixture_1d,
    "gaussian_mixture_2d": _mixture_2d,
}
