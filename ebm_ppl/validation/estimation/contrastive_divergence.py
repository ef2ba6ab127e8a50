"""Contrastive divergence from the data, and persistent chains in equilibrium."""

import dataclasses
import math

import numpy as np

from ebm_ppl._checks import check_count
from ebm_ppl.validation.estimation._base import AbstractEstimator, Matrix, second_moment
from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import GridLaw, Nodes
from ebm_ppl.validation.estimation.transfer import AbstractKernel, Operator, UnadjustedLangevin


@dataclasses.dataclass(frozen=True)
class ContrastiveDivergence(AbstractEstimator):
    r"""CD-k: negatives are $k$ steps of a kernel away from the data.

    $$\psi(x, y) = T(x) - \frac1m \sum_{j=1}^m T(y_j), \qquad y_j \sim P_\theta^k(x, \cdot).$$

    Attributes:
        family: The family of energies.
        kernel: The kernel $P_\theta$.
        num_steps: Number $k$ of steps.
        num_negatives: Number $m$ of fixed chains an example; infinite where they are drawn anew.

    References:
        Hinton (2002). Training products of experts by minimizing contrastive divergence. Neural
        Computation 14.
    """

    family: PolynomialFamily
    kernel: AbstractKernel
    num_steps: int
    num_negatives: float = math.inf

    def __post_init__(self) -> None:
        check_count("num_steps", self.num_steps)

    def _after_steps(self, parameters: Parameters, nodes: Nodes, values: np.ndarray) -> np.ndarray:
        return _iterate(self.kernel.matrix(self.family, parameters, nodes), values, self.num_steps)

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""$\mathbb{E}_{\text{data}} (T - P_\theta^k T)$."""
        statistics = self.family.statistics(data.nodes)
        return data.mean(statistics - self._after_steps(parameters, data.nodes, statistics))

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:
        r"""Covariance of $T - P_\theta^k T$ over the data, and what fixed chains add."""
        statistics = self.family.statistics(data.nodes)
        products = np.einsum("ni,nj->nij", statistics, statistics).reshape(len(data.nodes), -1)
        values = np.concatenate([statistics, products], axis=1)
        after = self._after_steps(parameters, data.nodes, values)
        expected = after[:, : self.family.size]
        square = data.mean(after[:, self.family.size :]).reshape(self.family.size, -1)
        within = square - second_moment(data, expected, expected)
        return data.covariance(statistics - expected) + within / self.num_negatives


@dataclasses.dataclass(frozen=True)
class PersistentLangevin(AbstractEstimator):
    r"""Persistent contrastive divergence by unadjusted Langevin steps, with chains in equilibrium.

    $$\psi(x) = T(x) - \mathbb{E}_{\pi_\varepsilon} T,$$

    where $\pi_\varepsilon$ is the law that the steps, not the energy, leave invariant. With an exact
    kernel it would be maximum likelihood.

    Attributes:
        family: The family of energies.
        kernel: The Langevin steps.

    References:
        Tieleman (2008). Training restricted Boltzmann machines using approximations to the likelihood
        gradient. International Conference on Machine Learning.
    """

    family: PolynomialFamily
    kernel: UnadjustedLangevin

    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""$\mathbb{E}_{\text{data}} T - \mathbb{E}_{\pi_\varepsilon} T$."""
        statistics = self.family.statistics(data.nodes)
        chains = self.kernel.stationary(self.family, parameters, data.nodes)
        return data.mean(statistics) - chains.mean(statistics)

    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:  # noqa: ARG002
        r"""Covariance of $T$ under the data; the chains' own noise is averaged away."""
        return data.covariance(self.family.statistics(data.nodes))


def reversible_covariance(
    matrix: Operator,
    law: GridLaw,
    statistics: np.ndarray,
    num_steps: int,
    num_negatives: float = math.inf,
) -> Matrix:
    r"""Asymptotic covariance of CD-k at the truth, for a kernel $P$ that is reversible for it.

    With $\langle f, g \rangle$ the covariance under the truth,

    $$\mathrm{Cov} = D^{-1} V D^{-1}, \qquad D = \langle T, (I - P^k) T \rangle, \qquad
    V = \langle T, (I - P^k)^2 T \rangle + \tfrac1m \langle T, (I - P^{2k}) T \rangle.$$

    Args:
        matrix: The kernel's matrix at the truth.
        law: The truth.
        statistics: The statistics at the nodes, shape (n, p).
        num_steps: Number $k$ of steps.
        num_negatives: Number $m$ of fixed chains an example.

    Returns:
        Covariance of the estimator times the number of examples, shape (p, p).
    """
    centred = statistics - law.mean(statistics)
    once = _iterate(matrix, centred, num_steps)
    twice = _iterate(matrix, once, num_steps)
    slope = second_moment(law, centred, centred - once)
    noise = second_moment(law, centred, centred - twice)
    variability = second_moment(law, centred - once, centred - once) + noise / num_negatives
    return np.linalg.solve(slope, np.linalg.solve(slope, variability).T)


def _iterate(matrix: Operator, values: np.ndarray, num_steps: int) -> np.ndarray:
    """Apply an operator repeatedly to functions at the nodes, shape (n, p)."""
    for _ in range(num_steps):
        values = matrix @ values
    return values
