"""Ranking noise-contrastive estimation: which of K + 1 points is the example?"""

import dataclasses
from typing import NamedTuple

import numpy as np

from ebm_ppl._checks import check_count
from ebm_ppl.validation.estimation._base import AbstractEstimator, Matrix, second_moment
from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import Density, GridLaw

_LOG_TIMES = np.arange(-32.0, 32.0, 0.125)


class _Transforms(NamedTuple):
    r"""Laplace transforms at the times $t$, and the rule $\int_0^\infty dt \approx \sum$ over them."""

    weights: np.ndarray  # of the rule, (t,)
    times: np.ndarray  # (t,)
    decay: np.ndarray  # e^{-t w(x)} at the nodes, (t, n)
    weighted: np.ndarray  # w T at the nodes, (n, p)
    noise: GridLaw  # masses of the noise at the nodes
    empty: np.ndarray  # E_q e^{-t w}, (t,)
    pull: np.ndarray  # E_q w T e^{-t w}, (t, p)


@dataclasses.dataclass(frozen=True)
class RankingNoiseContrastive(AbstractEstimator):
    r"""Ranking noise-contrastive estimation with $K$ noise points an example.

    With $w = e^{-E} / q$ and noise $y_1, \dots, y_K \sim q$ beside the example $y_0 = x$,

    $$\psi = T(y_0) - \sum_{j=0}^K \frac{w(y_j)}{W} T(y_j), \qquad W = \sum_{j=0}^K w(y_j).$$

    Expectations over all $K$ points are single integrals, for $W^{-1} = \int_0^\infty e^{-tW} dt$ and
    $W^{-2} = \int_0^\infty t\, e^{-tW} dt$ factorise over the points.

    Attributes:
        family: The family of energies.
        noise: Normalised density $q$ of the noise; it may reach beyond the nodes.
        num_noises: Number $K$ of noise points an example.
        fresh: Whether the noise is drawn anew at every step and averages out; otherwise it is drawn once.

    References:
        Ma & Collins (2018). Noise contrastive estimation and negative sampling for conditional models:
        consistency and statistical efficiency. Empirical Methods in Natural Language Processing.
    """

    family: PolynomialFamily
    noise: Density
    num_noises: int
    fresh: bool = False

    def __post_init__(self) -> None:
        check_count("num_noises", self.num_noises)

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""Mean of $\psi$ over data and noise."""
        return data.mean(self._given_example(self._transforms(parameters, data), data))

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:
        r"""Covariance of $\psi$, or of its mean over the noise if that is drawn anew."""
        transforms = self._transforms(parameters, data)
        given = self._given_example(transforms, data)
        if self.fresh:
            return data.covariance(given)
        statistics = self.family.statistics(data.nodes)
        mean = data.mean(given)
        cross = second_moment(data, statistics, statistics - given)
        square = second_moment(data, statistics, statistics) - cross - cross.T
        return square + self._mean_square(transforms, data) - np.outer(mean, mean)

    def _transforms(self, parameters: Parameters, data: GridLaw) -> _Transforms:
        times = np.exp(_LOG_TIMES)
        statistics = self.family.statistics(data.nodes)
        density = self.noise(data.nodes)
        log_ratio = -statistics @ parameters - np.log(density)
        ratio = np.exp(log_ratio - np.max(log_ratio))
        decay = np.exp(-times[:, None] * ratio)
        noise = GridLaw(data.nodes, density * data.step)
        # Beyond the nodes the ratio is 0, so the mass that is not on them counts in full.
        empty = 1 + np.expm1(-times[:, None] * ratio) @ noise.mass
        weighted = ratio[:, None] * statistics
        pull = (decay * noise.mass) @ weighted
        rule = times * (_LOG_TIMES[1] - _LOG_TIMES[0])
        return _Transforms(rule, times, decay, weighted, noise, empty, pull)

    def _given_example(self, at: _Transforms, data: GridLaw) -> np.ndarray:
        r"""Mean of $\psi$ over the noise at every example, shape (n, p)."""
        others = self.num_noises
        own = (at.weights * at.empty**others) @ at.decay
        noise = (at.decay.T * (at.weights * others * at.empty ** (others - 1))) @ at.pull
        return self.family.statistics(data.nodes) - own[:, None] * at.weighted - noise

    def _mean_square(self, at: _Transforms, data: GridLaw) -> Matrix:
        """Expected outer product of the weighted mean of the statistics with itself."""
        others = self.num_noises
        rule = at.weights * at.times
        survival = at.decay @ data.mass
        pull = (at.decay * data.mass) @ at.weighted
        one_left = rule * others * at.empty ** (others - 1)
        own = (rule * at.empty**others) @ at.decay * data.mass
        noise = (one_left * survival) @ at.decay * at.noise.mass
        total = (at.weighted.T * (own + noise)) @ at.weighted
        cross = (pull.T * one_left) @ at.pull
        if others > 1:
            two_left = rule * others * (others - 1) * at.empty ** (others - 2) * survival
            total += (at.pull.T * two_left) @ at.pull
        return total + cross + cross.T
