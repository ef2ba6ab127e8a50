"""Exponential families on the line whose statistics are powers: quartic and Gaussian energies."""

import dataclasses

import numpy as np
from jaxtyping import Float

from ebm_ppl.validation.estimation.grid_law import GridLaw, Nodes

Parameters = Float[np.ndarray, " p"]
Functions = Float[np.ndarray, "*n p"]


@dataclasses.dataclass(frozen=True)
class PolynomialFamily:
    r"""The densities $p_\theta(x) = \exp(-\theta \cdot T(x)) / Z(\theta)$, $T_i(x) = x^{r_i}$.

    Its energy $E_\theta = \theta \cdot T$ is linear in the parameters, so that gradients of the energy
    in $\theta$ are the statistics themselves, at every $\theta$.

    Attributes:
        powers: The exponents $r_i$, the largest of them even.
    """

    powers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.powers or min(self.powers) < 1 or max(self.powers) % 2:
            raise ValueError(
                f"`powers` must be positive, the largest of them even; got {self.powers!r}."
            )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.powers)

    def statistics(self, x: np.ndarray) -> Functions:
        """The statistics $T$ at points of any shape, along a new last axis."""
        return x[..., None] ** np.array(self.powers)

    def slopes(self, x: np.ndarray) -> Functions:
        """Their first derivatives, likewise."""
        powers = np.array(self.powers)
        return powers * x[..., None] ** (powers - 1)

    def curvatures(self, x: np.ndarray) -> Functions:
        """Their second derivatives, likewise."""
        powers = np.array(self.powers)
        return powers * (powers - 1) * x[..., None] ** np.maximum(powers - 2, 0)

    def normalises(self, theta: Parameters) -> bool:
        """Whether the leading coefficient is positive."""
        return bool(theta[int(np.argmax(self.powers))] > 0)

    def log_z(self, theta: Parameters, nodes: Nodes) -> float:
        """Log partition function, by the trapezoid rule on the nodes."""
        exponents = -self.statistics(nodes) @ theta
        top = np.max(exponents)
        return float(top + np.log(np.sum(np.exp(exponents - top)) * (nodes[1] - nodes[0])))

    def law(self, theta: Parameters, nodes: Nodes) -> GridLaw:
        """The family's member at a parameter, restricted to the range of the nodes."""
        exponents = -self.statistics(nodes) @ theta
        mass = np.exp(exponents - np.max(exponents))
        return GridLaw(nodes, mass / np.sum(mass))

    def information(self, theta: Parameters, nodes: Nodes) -> Float[np.ndarray, "p p"]:
        """Fisher information of one example, the covariance of the statistics."""
        return self.law(theta, nodes).covariance(self.statistics(nodes))

    def cross_entropy(self, theta: Parameters, data: GridLaw) -> float:
        """Expected negative log likelihood of one example of `data`, in nats."""
        return float(data.mean(self.statistics(data.nodes)) @ theta) + self.log_z(theta, data.nodes)


QUARTIC = PolynomialFamily((2, 1, 4))
r"""Energies $a x^2 + b x + \lambda x^4$, in the order $\theta = (a, b, \lambda)$.

With $\lambda = e^\gamma$, the gradient in $\gamma$ is $\lambda$ times the gradient in $\lambda$, and the
covariance of $\hat\gamma$ is that of $\hat\lambda / \lambda$."""

GAUSSIAN = PolynomialFamily((2, 1))
r"""Energies $a x^2 + b x$: normal laws, for which several estimators are maximum likelihood."""
