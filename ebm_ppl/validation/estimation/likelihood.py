"""Maximum likelihood, the yardstick."""

import dataclasses

from ebm_ppl.validation.estimation._base import AbstractEstimator, Matrix
from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import GridLaw


@dataclasses.dataclass(frozen=True)
class MaximumLikelihood(AbstractEstimator):
    r"""Maximum likelihood, $\psi(x) = T(x) - \mathbb{E}_\theta T$.

    Persistent contrastive divergence with an exact kernel has the same root and, once its chains are
    in equilibrium and their noise is averaged away, the same covariance.

    Attributes:
        family: The family of energies.
    """

    family: PolynomialFamily

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""$\mathbb{E}_{\text{data}} T - \mathbb{E}_\theta T$."""
        statistics = self.family.statistics(data.nodes)
        return data.mean(statistics) - self.family.law(parameters, data.nodes).mean(statistics)

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:  # noqa: ARG002
        r"""Covariance of $T$ under the data, whatever $\theta$."""
        return data.covariance(self.family.statistics(data.nodes))
