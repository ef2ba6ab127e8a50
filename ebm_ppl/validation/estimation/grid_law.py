"""Laws on the line as probabilities of equidistant nodes: what expectations are taken under."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ebm_ppl._checks import check_positive
from ebm_ppl.validation.datasets import two_normals

Nodes = Float[np.ndarray, " n"]
Density = Callable[[np.ndarray], np.ndarray]
"""A normalised density on the line, elementwise."""

_MISSING_MASS = 1e-12
_SPREAD_RULE = (9.0, 145)


@dataclasses.dataclass(frozen=True, eq=False)
class GridLaw:
    r"""A probability law on the line, by its masses at equidistant nodes.

    The trapezoid rule on an analytic density that has decayed at both ends is exact up to terms that
    vanish exponentially in the inverse of the nodes' distance, so sums under a law are integrals to
    rounding error as long as the nodes resolve the density.

    Attributes:
        nodes: Equidistant and increasing, shape (n,).
        mass: Probability of each node, shape (n,); they sum to 1.
    """

    nodes: Nodes
    mass: Nodes

    @classmethod
    def of(cls, density: Density, nodes: Nodes) -> "GridLaw":
        r"""The law of a normalised density.

        Args:
            density: Maps nodes to densities.
            nodes: Equidistant and increasing, shape (n,).

        Returns:
            The law.

        Raises:
            ValueError: If the densities do not add up to 1: the nodes are too few or too narrow.

        Examples:
            >>> from scipy import stats
            >>> from ebm_ppl.validation.estimation import GridLaw, line
            >>> law = GridLaw.of(stats.norm(1.0, 0.5).pdf, line())
            >>> law.mean(law.nodes**2).round(12)
            np.float64(1.25)
        """
        mass = density(nodes) * (nodes[1] - nodes[0])
        total = float(np.sum(mass))
        if not abs(total - 1) <= _MISSING_MASS:
            raise ValueError(f"`density` must have mass 1 on the nodes; got {total!r}.")
        return cls(nodes, mass / total)

    @property
    def step(self) -> float:
        """Distance of neighbouring nodes."""
        return float(self.nodes[1] - self.nodes[0])

    @property
    def density(self) -> Nodes:
        """Density at the nodes, shape (n,)."""
        return self.mass / self.step

    def mean(self, values: Float[np.ndarray, "n *shape"]) -> np.ndarray:
        """Expectation of a function given at the nodes, shape (*shape)."""
        return np.tensordot(self.mass, values, axes=1)

    def covariance(self, values: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "p p"]:
        """Covariance matrix of functions given at the nodes."""
        centred = values - self.mean(values)
        return (centred.T * self.mass) @ centred


def line(bound: float = 7.0, step: float = 0.04) -> Nodes:
    """Equidistant nodes from `-bound` to `bound`, the origin among them.

    The defaults carry the toy mixture and the quartic laws near it to rounding error. What is not
    smooth, the acceptance probability of a Metropolis kernel, costs an error of the step squared:
    about 1e-5 of an efficiency at the default.

    Args:
        bound: Largest node.
        step: Largest allowed distance of the nodes.

    Returns:
        The nodes.
    """
    check_positive("bound", bound)
    check_positive("step", step)
    half = int(np.ceil(bound / step))
    return np.linspace(-bound, bound, 2 * half + 1)


def standard_normal() -> GridLaw:
    """The standard normal law on nodes coarse enough to take outer products with."""
    bound, count = _SPREAD_RULE
    nodes = np.linspace(-bound, bound, count)
    return GridLaw.of(lambda x: np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), nodes)


def normal_density(variance: float) -> Density:
    """Density of a centred normal law.

    Args:
        variance: Its variance.

    Returns:
        The density, elementwise.
    """
    check_positive("variance", variance)
    return lambda x: np.exp(-(x**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def toy_mixture(nodes: Nodes) -> GridLaw:
    r"""The toy data's law $\tfrac12 N(-2, 0.5^2) + \tfrac12 N(2, 0.5^2)$."""
    return GridLaw.of(lambda x: np.exp(two_normals().log_density(x[:, None])), nodes)
