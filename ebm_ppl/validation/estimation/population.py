"""Population minimisers: what an estimator converges to with infinitely many data, and its price."""

import numpy as np

from ebm_ppl.validation.estimation._base import AbstractEstimator, Matrix
from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import GridLaw
from ebm_ppl.validation.estimation.likelihood import MaximumLikelihood
from ebm_ppl.validation.estimation.score_matching import ScoreMatching

TOLERANCE = 1e-8
"""Newton's method takes its last step once that is shorter than this, in the parameters' own units."""

_MAXIMUM_STEPS = 100
_MAXIMUM_HALVINGS = 40
_DIFFERENCE = 1e-3
_EDGE_MASS = 1e-12


def sensitivity(estimator: AbstractEstimator, parameters: Parameters, data: GridLaw) -> Matrix:
    """Jacobian of the population gradient, by central differences of fourth order.

    Args:
        estimator: The estimator.
        parameters: All its parameters, shape (p,).
        data: Law of the data.

    Returns:
        The Jacobian, one row a component of the gradient, shape (p, p).
    """

    def rise(reach: np.ndarray) -> np.ndarray:
        ahead = estimator.gradient(parameters + reach, data)
        return ahead - estimator.gradient(parameters - reach, data)

    steps = _DIFFERENCE * np.diag(_units(estimator, data))
    columns = [(8 * rise(step) - rise(2 * step)) / (12 * np.sum(step)) for step in steps]
    return np.stack(columns, axis=1)


def population_minimiser(
    estimator: AbstractEstimator, data: GridLaw, start: Parameters | None = None
) -> Parameters:
    r"""Where an estimator's population gradient vanishes, by damped Newton steps.

    A step is halved until the next Newton step, taken with the same Jacobian, is shorter: for roots
    without an objective, such as contrastive divergence's, the gradient's size alone would mislead.

    Args:
        estimator: The estimator.
        data: Law of the data.
        start: $\theta$ to start from; by default where maximum likelihood ends, which itself starts
            where score matching, a linear problem, ends.

    Returns:
        All parameters: $\theta$, and $\log Z$ if it is learned.

    Raises:
        ValueError: If Newton's method does not converge, or the model found reaches beyond the nodes.

    Examples:
        >>> from ebm_ppl.validation.estimation import QUARTIC, MaximumLikelihood, line, toy_mixture
        >>> theta = population_minimiser(MaximumLikelihood(QUARTIC), toy_mixture(line()))
        >>> (theta.round(6) + 0.0).tolist()
        [-1.263614, 0.0, 0.13229]
    """
    theta = _start(estimator, data) if start is None else np.asarray(start, dtype=np.float64)
    parameters = estimator.complete(theta, data.nodes)
    units = _units(estimator, data)
    gradient = estimator.gradient(parameters, data)
    for _ in range(_MAXIMUM_STEPS):
        jacobian = sensitivity(estimator, parameters, data)
        step = -np.linalg.solve(jacobian, gradient)
        length = np.linalg.norm(step / units)
        if length <= TOLERANCE:
            return _on_the_nodes(estimator, parameters + step, data)
        for _ in range(_MAXIMUM_HALVINGS):
            moved = parameters + step
            if estimator.family.normalises(moved[: estimator.family.size]):
                remaining = estimator.gradient(moved, data)
                following = np.linalg.solve(jacobian, remaining) / units
                if np.linalg.norm(following) < length:
                    break
            step = step / 2
        else:
            break
        parameters, gradient = moved, remaining
    raise ValueError(f"`start` must lead to a root of {estimator!r}; got {theta!r}.")


def excess(theta: Parameters, family: PolynomialFamily, data: GridLaw) -> float:
    """Expected log likelihood lost against the family's best member, in nats an example.

    Args:
        theta: The parameter in question; a learned log Z at its end is left out.
        family: The family of energies.
        data: Law of the data.

    Returns:
        Kullback-Leibler divergence from the data to the model, less its minimum over the family.
    """
    best = population_minimiser(MaximumLikelihood(family), data)
    found = family.cross_entropy(theta[: family.size], data)
    return found - family.cross_entropy(best, data)


def _start(estimator: AbstractEstimator, data: GridLaw) -> Parameters:
    family = estimator.family
    if not isinstance(estimator, MaximumLikelihood):
        return population_minimiser(MaximumLikelihood(family), data)
    linear, origin = ScoreMatching(family), np.zeros(family.size)
    constant = linear.gradient(origin, data)
    columns = [linear.gradient(axis, data) - constant for axis in np.eye(family.size)]
    return -np.linalg.solve(np.stack(columns, axis=1), constant)


def _units(estimator: AbstractEstimator, data: GridLaw) -> Parameters:
    """Natural units of the parameters: inverse standard deviations of the statistics, and 1 for log Z."""
    deviations = np.sqrt(np.diag(data.covariance(estimator.family.statistics(data.nodes))))
    return np.concatenate([1 / deviations, np.ones(int(estimator.learns_log_z))])


def _on_the_nodes(
    estimator: AbstractEstimator, parameters: Parameters, data: GridLaw
) -> Parameters:
    edges = estimator.family.law(parameters[: estimator.family.size], data.nodes).mass[[0, -1]]
    if not np.max(edges) <= _EDGE_MASS:
        raise ValueError(
            f"`data` must have nodes that carry the model; got edge mass {np.max(edges)}."
        )
    return parameters
