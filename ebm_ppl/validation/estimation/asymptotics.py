"""Asymptotic covariances and efficiencies."""

import dataclasses

import numpy as np

from ebm_ppl.validation.estimation._base import AbstractEstimator, Matrix
from ebm_ppl.validation.estimation.family import Parameters
from ebm_ppl.validation.estimation.grid_law import GridLaw, Nodes
from ebm_ppl.validation.estimation.population import sensitivity


def asymptotic_covariance(
    estimator: AbstractEstimator, parameters: Parameters, data: GridLaw
) -> Matrix:
    r"""Covariance of an estimator times the number of examples, in the limit of many: $J^{-1} V J^{-\top}$.

    $J$ is the Jacobian of the population gradient and $V$ the covariance of one example's gradient. It
    holds whether or not the family contains the data's law, at the population minimiser.

    Args:
        estimator: The estimator.
        parameters: The population minimiser, shape (p,).
        data: Law of the data.

    Returns:
        The covariance matrix of all parameters, shape (p, p).
    """
    jacobian = sensitivity(estimator, parameters, data)
    variability = estimator.variability(parameters, data)
    return np.linalg.solve(jacobian, np.linalg.solve(jacobian, variability).T)


@dataclasses.dataclass(frozen=True, eq=False)
class Efficiency:
    r"""How much of the data an estimator uses, compared with maximum likelihood.

    Attributes:
        overall: $p / \operatorname{tr}(I\, \mathrm{Cov})$ with the Fisher information $I$; the same in
            all parameterisations.
        marginal: $(I^{-1})_{ii} / \mathrm{Cov}_{ii}$ for each parameter.
    """

    overall: float
    marginal: Parameters


def efficiency(covariance: Matrix, information: Matrix) -> Efficiency:
    """Efficiency of an estimator with a given asymptotic covariance.

    Args:
        covariance: Its asymptotic covariance; parameters beyond the information's are left out.
        information: Fisher information of one example, shape (p, p).

    Returns:
        The efficiencies.
    """
    size = len(information)
    covariance = covariance[:size, :size]
    marginal = np.diag(np.linalg.inv(information)) / np.diag(covariance)
    return Efficiency(size / float(np.trace(information @ covariance)), marginal)


def well_specified_efficiency(
    estimator: AbstractEstimator, theta: Parameters, nodes: Nodes
) -> Efficiency:
    r"""Efficiency for data from the family's own member at $\theta$.

    Args:
        estimator: An estimator whose population minimiser is then $\theta$.
        theta: The truth, shape (p,).
        nodes: Equidistant nodes.

    Returns:
        The efficiencies.

    Examples:
        >>> from ebm_ppl.validation.estimation import GAUSSIAN, MaximumLikelihood, line
        >>> theta = np.array([0.5, -1.0])
        >>> found = well_specified_efficiency(MaximumLikelihood(GAUSSIAN), theta, line(9.0))
        >>> round(found.overall, 8)
        1.0
    """
    family = estimator.family
    law = family.law(theta, nodes)
    covariance = asymptotic_covariance(estimator, estimator.complete(theta, nodes), law)
    return efficiency(covariance, family.information(theta, nodes))
