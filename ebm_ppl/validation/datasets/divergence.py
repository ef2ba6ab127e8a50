"""How far a model is from the law that its data came from."""

import numpy as np

from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.quadrature import QuadratureDensity, normalize
from ebm_ppl.validation.datasets._base import AbstractLaw, Estimate


def kl_divergence(law: AbstractLaw, model: AbstractEnergy | QuadratureDensity) -> Estimate:
    r"""Kullback-Leibler divergence $\int p \log (p / q)$ of a law from a model, in nats.

    Args:
        law: The law $p$.
        model: The model $q$: an energy, which is normalised first, or its normalised density. For a
            wide network, `normalize(energy, bounds=..., num_intervals=400)` on a box that holds the
            model's mass is much cheaper than the adaptive search for a grid.

    Returns:
        The divergence, with the sum of the errors of the integral and of the model's $\log Z$.

    Raises:
        ValueError: If the model does not have as many coordinates as the law.

    Examples:
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.validation.datasets import kl_divergence, two_normals
        >>> matched = Gaussian(loc=[0.0], covariance_matrix=[[4.25]])
        >>> print(f"{kl_divergence(two_normals(), matched).value:.5f}")
        0.72355
    """
    density = model if isinstance(model, QuadratureDensity) else normalize(model)
    if density.dim != law.dim:
        raise ValueError(f"Expected `model` of {law.dim} coordinates; got {density.dim}.")
    fine, half = (_integral(law, density, coarse) for coarse in (False, True))
    return Estimate(fine, abs(fine - half) + density.log_z_error)


def _integral(law: AbstractLaw, density: QuadratureDensity, coarse: bool) -> float:
    points, masses, log_density = law.nodes(coarse=coarse)
    modelled = density.log_density(points.reshape(-1, *density.energy.event_shape))
    return float(masses @ (log_density - np.asarray(modelled)))
