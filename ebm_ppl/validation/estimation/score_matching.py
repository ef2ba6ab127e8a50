"""Score matching: by the exact second derivative, and by denoising."""

import dataclasses
import math

import numpy as np

from ebm_ppl._checks import check_positive
from ebm_ppl.validation.estimation._base import AbstractEstimator, Matrix, variability_of_noised
from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import GridLaw, standard_normal


@dataclasses.dataclass(frozen=True)
class ScoreMatching(AbstractEstimator):
    r"""Score matching, of loss $\tfrac12 s(x)^2 + s'(x)$ with the score $s = -\theta \cdot T'$.

    $$\psi(x) = T'(x)\, (\theta \cdot T'(x)) - T''(x).$$

    Attributes:
        family: The family of energies.

    References:
        Hyvärinen (2005). Estimation of non-normalized statistical models by score matching. Journal of
        Machine Learning Research 6.
    """

    family: PolynomialFamily

    def _loss_gradients(self, parameters: Parameters, x: np.ndarray) -> np.ndarray:
        slopes = self.family.slopes(x)
        return slopes * (slopes @ parameters)[..., None] - self.family.curvatures(x)

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""$\mathbb{E}[T' T'^\top] \theta - \mathbb{E}\, T''$."""
        return data.mean(self._loss_gradients(parameters, data.nodes))

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:
        r"""Covariance of $\psi$ under the data."""
        return data.covariance(self._loss_gradients(parameters, data.nodes))


@dataclasses.dataclass(frozen=True)
class DenoisingScoreMatching(AbstractEstimator):
    r"""Denoising score matching, of loss $\tfrac12 (s(\tilde x) + \xi / \sigma)^2$.

    $$\psi(x, \xi) = T'(\tilde x)\, (\theta \cdot T'(\tilde x) - \xi / \sigma), \qquad
    \tilde x = x + \sigma \xi, \quad \xi \sim N(0, 1).$$

    Its root is that of score matching on the data smoothed by $N(0, \sigma^2)$, which the family holds
    only for $\sigma \to 0$ unless it is Gaussian.

    Attributes:
        family: The family of energies.
        sigma: Standard deviation $\sigma$ of the noise.
        num_noises: Fixed noises an example; infinite where they are drawn anew at every step.

    References:
        Vincent (2011). A connection between score matching and denoising autoencoders. Neural
        Computation 23.
    """

    family: PolynomialFamily
    sigma: float
    num_noises: float = math.inf

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)

    def _loss_gradients(self, parameters: Parameters, data: GridLaw) -> tuple[np.ndarray, GridLaw]:
        """Gradients at every node for every noise, shape (noises, n, p), and the law of the noise."""
        noise = standard_normal()
        slopes = self.family.slopes(data.nodes + self.sigma * noise.nodes[:, None])
        residuals = slopes @ parameters - noise.nodes[:, None] / self.sigma
        return slopes * residuals[..., None], noise

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""Mean of $\psi$ over data and noise."""
        gradients, noise = self._loss_gradients(parameters, data)
        return data.mean(noise.mean(gradients))

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:
        r"""Covariance over the data of the mean over the noise, and what the fixed noises add."""
        gradients, noise = self._loss_gradients(parameters, data)
        return variability_of_noised(gradients, noise, data, self.num_noises)
