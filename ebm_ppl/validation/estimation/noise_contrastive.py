"""Noise-contrastive estimation with an explicit noise law, and its conditional form."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from scipy import special

from ebm_ppl._checks import check_positive
from ebm_ppl.validation.estimation._base import (
    AbstractEstimator,
    Matrix,
    second_moment,
    variability_of_noised,
)
from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import Density, GridLaw, standard_normal


@dataclasses.dataclass(frozen=True)
class NoiseContrastive(AbstractEstimator):
    r"""Noise-contrastive estimation with $\nu$ noise points an example, and $\log Z$ learned.

    With $h = p_\theta / (p_\theta + \nu q)$, $S = (T, 1)$ and $n \nu$ noise points $y_j \sim q$, the
    gradient of $-\frac1n \left[\sum_i \log h(x_i) + \sum_j \log(1 - h(y_j))\right]$ is

    $$\frac1n \sum_i (1 - h(x_i))\, S(x_i) - \frac1n \sum_j h(y_j)\, S(y_j).$$

    Attributes:
        family: The family of energies.
        noise: Normalised density $q$ of the noise; it may reach beyond the nodes.
        ratio: The ratio $\nu$.
        fresh: Whether the noise is drawn anew at every step and averages out; otherwise it is drawn once.

    References:
        Gutmann & Hyvärinen (2012). Noise-contrastive estimation of unnormalized statistical models, with
        applications to natural image statistics. Journal of Machine Learning Research 13.
    """

    family: PolynomialFamily
    noise: Density
    ratio: float
    fresh: bool = False
    learns_log_z: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("ratio", self.ratio)

    def _parts(
        self, parameters: Parameters, data: GridLaw
    ) -> tuple[np.ndarray, np.ndarray, GridLaw]:
        """Both sums' terms at the nodes, and the noise's masses there (whose sum may be below 1)."""
        statistics = self.family.statistics(data.nodes)
        extended = np.concatenate([statistics, np.ones((len(data.nodes), 1))], axis=1)
        density = self.noise(data.nodes)
        log_odds = -extended @ parameters - np.log(self.ratio * density)
        on_data = special.expit(-log_odds)[:, None] * extended
        on_noise = special.expit(log_odds)[:, None] * extended
        return on_data, on_noise, GridLaw(data.nodes, density * data.step)

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""$\mathbb{E}_{\text{data}} (1 - h) S - \nu\, \mathbb{E}_q h S$."""
        on_data, on_noise, noise = self._parts(parameters, data)
        return data.mean(on_data) - self.ratio * noise.mean(on_noise)

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:
        r"""Covariance of $(1 - h) S$ under the data, plus $\nu$ times that of $h S$ if the noise is fixed."""
        on_data, on_noise, noise = self._parts(parameters, data)
        if self.fresh:
            return data.covariance(on_data)
        mean = noise.mean(on_noise)
        spread = second_moment(noise, on_noise, on_noise) - np.outer(mean, mean)
        return data.covariance(on_data) + self.ratio * spread


@dataclasses.dataclass(frozen=True)
class ConditionalNoiseContrastive(AbstractEstimator):
    r"""Noise contrast with each example's own neighbour $y = x + \sigma \xi$, where $Z$ cancels.

    The loss of a pair is $2 \log(1 + e^{-G})$, $G = E(y) - E(x)$, so that

    $$\psi(x, \xi) = \frac{2}{1 + e^G}\, (T(x) - T(y)).$$

    As $\sigma \to 0$, $2 \psi / \sigma^2$ has the mean of score matching's $\psi$.

    Attributes:
        family: The family of energies.
        sigma: Standard deviation $\sigma$ of the noise.
        num_noises: Fixed noises an example; infinite where they are drawn anew at every step.

    References:
        Ceylan & Gutmann (2018). Conditional noise-contrastive estimation of unnormalised models.
        International Conference on Machine Learning.
    """

    family: PolynomialFamily
    sigma: float
    num_noises: float = math.inf

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)

    def _loss_gradients(self, parameters: Parameters, data: GridLaw) -> tuple[np.ndarray, GridLaw]:
        """Gradients at every node for every noise, shape (noises, n, p), and the law of the noise."""
        noise = standard_normal()
        moved = self.family.statistics(data.nodes + self.sigma * noise.nodes[:, None])
        fall = self.family.statistics(data.nodes) - moved
        return 2 * special.expit(fall @ parameters)[..., None] * fall, noise

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""Mean of $\psi$ over data and noise."""
        gradients, noise = self._loss_gradients(parameters, data)
        return data.mean(noise.mean(gradients))

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:
        r"""Covariance over the data of the mean over the noise, and what the fixed noises add."""
        gradients, noise = self._loss_gradients(parameters, data)
        return variability_of_noised(gradients, noise, data, self.num_noises)
