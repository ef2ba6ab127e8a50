"""What every estimator states about itself: its population gradient and that gradient's noise."""

import abc
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import GridLaw, Nodes

Matrix = Float[np.ndarray, "p p"]


class AbstractEstimator(abc.ABC):
    r"""An estimator that solves $\frac1n \sum_i \psi(x_i; \theta) = 0$ for a family's parameters.

    $\psi$ is the gradient of one example's loss, with the energy written as $\theta \cdot T(x)$. What it
    takes at random besides the data, such as noise or negative examples, is either integrated out (drawn
    anew at every step of a long optimisation) or drawn once with the data.

    Subclasses give the mean of $\psi$ and its covariance under any law of the data. Roots, asymptotic
    covariances and efficiencies follow from these two (`ebm_ppl.validation.estimation.population`,
    `ebm_ppl.validation.estimation.asymptotics`).

    Attributes:
        family: The family of energies.
        learns_log_z: Whether $\log Z$ is one more parameter, the last of them, so that the model's log
            density is $-\theta \cdot T(x) - \log Z$.
    """

    family: PolynomialFamily
    learns_log_z: ClassVar[bool] = False

    @abc.abstractmethod
    def gradient(self, parameters: Parameters, data: GridLaw) -> Parameters:
        r"""Population gradient $\mathbb{E}\, \psi(x; \theta)$.

        Args:
            parameters: $\theta$, and $\log Z$ if it is learned, shape (p,).
            data: Law of the data.

        Returns:
            The gradient, shape (p,).
        """

    @abc.abstractmethod
    def variability(self, parameters: Parameters, data: GridLaw) -> Matrix:
        r"""Covariance of $\psi$ over one example and the randomness that is drawn with it.

        Args:
            parameters: $\theta$, and $\log Z$ if it is learned, shape (p,).
            data: Law of the data.

        Returns:
            The covariance matrix, shape (p, p).
        """

    def complete(self, theta: Parameters, nodes: Nodes) -> Parameters:
        r"""All parameters at $\theta$: with the true $\log Z(\theta)$ appended if it is learned."""
        extra = [self.family.log_z(theta, nodes)] if self.learns_log_z else []
        return np.concatenate([theta, extra])


def second_moment(law: GridLaw, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Expectation of the outer product of two functions at the nodes, shapes (n, p) and (n, q)."""
    return (left.T * law.mass) @ right


def variability_of_noised(
    gradients: Float[np.ndarray, "k n p"], noise: GridLaw, data: GridLaw, num_noises: float
) -> Matrix:
    r"""Covariance of $\psi(x, \xi)$ averaged over independent noises of one example.

    Args:
        gradients: $\psi$ for every noise at every node.
        noise: Law of the noise.
        data: Law of the data.
        num_noises: Noises an example; infinitely many leave the covariance of the mean over the noise.

    Returns:
        $\mathrm{Cov}_x\, \mathbb{E}_\xi \psi + \mathbb{E}_x\, \mathrm{Cov}_\xi \psi / m$.
    """
    expected = noise.mean(gradients)
    square = np.einsum(
        "k,n,kni,knj->ij", noise.mass, data.mass, gradients, gradients, optimize=True
    )
    within = square - second_moment(data, expected, expected)
    return data.covariance(expected) + within / num_noises
