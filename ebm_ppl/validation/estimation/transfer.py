"""Transfer operators of Markov kernels on the line, as matrices over the nodes."""

import abc
import dataclasses
import math

import numpy as np
from jaxtyping import Float

from ebm_ppl._checks import check_positive
from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import GridLaw, Nodes

Operator = Float[np.ndarray, "n n"]


class AbstractKernel(abc.ABC):
    r"""A Markov kernel for a family's energies.

    Row $i$ of its matrix $P$ holds the probabilities of the nodes after one step from node $i$, so that
    $P f$ is the expectation of $f$ after a step and $P^\top m$ the law after it.
    """

    @abc.abstractmethod
    def matrix(self, family: PolynomialFamily, theta: Parameters, nodes: Nodes) -> Operator:
        """Transition probabilities between the nodes.

        Args:
            family: The family of energies.
            theta: Its parameter.
            nodes: Equidistant nodes that resolve the proposal's density.

        Returns:
            The matrix; its rows sum to 1.
        """


@dataclasses.dataclass(frozen=True)
class Mala(AbstractKernel):
    r"""Metropolis-adjusted Langevin with proposals $x - \varepsilon E'(x) + \sqrt{2 \varepsilon}\, \xi$.

    Attributes:
        step_size: The step size $\varepsilon$.
    """

    step_size: float

    def __post_init__(self) -> None:
        check_positive("step_size", self.step_size)

    def matrix(self, family: PolynomialFamily, theta: Parameters, nodes: Nodes) -> Operator:
        """Transition probabilities; reversible for the energy to rounding error."""
        log_proposal = _log_langevin(family, theta, nodes, self.step_size)
        return _metropolis(family.statistics(nodes) @ theta, log_proposal)


@dataclasses.dataclass(frozen=True)
class RandomWalk(AbstractKernel):
    r"""Random-walk Metropolis with proposals $x + s\, \xi$.

    Attributes:
        step_size: The standard deviation $s$.
    """

    step_size: float

    def __post_init__(self) -> None:
        check_positive("step_size", self.step_size)

    def matrix(self, family: PolynomialFamily, theta: Parameters, nodes: Nodes) -> Operator:
        """Transition probabilities; reversible for the energy to rounding error."""
        log_proposal = _log_normal(nodes, nodes, self.step_size**2)
        return _metropolis(family.statistics(nodes) @ theta, log_proposal)


@dataclasses.dataclass(frozen=True)
class UnadjustedLangevin(AbstractKernel):
    r"""Langevin steps $x - \varepsilon E'(x) + \sqrt{2 \varepsilon}\, \xi$ without correction.

    For an energy that grows faster than $x^2$ the explicit step diverges from far enough out, and no
    law on the whole line is invariant. On the nodes every step is conditioned to stay on them; where
    leaving them takes longer than any run, that is the equilibrium which chains are seen in.

    Attributes:
        step_size: The step size $\varepsilon$.
    """

    step_size: float

    def __post_init__(self) -> None:
        check_positive("step_size", self.step_size)

    def matrix(self, family: PolynomialFamily, theta: Parameters, nodes: Nodes) -> Operator:
        """Transition probabilities, given that the step ends on the nodes."""
        log_proposal = _log_langevin(family, theta, nodes, self.step_size)
        proposal = np.exp(log_proposal - np.max(log_proposal, axis=1, keepdims=True))
        return proposal / np.sum(proposal, axis=1, keepdims=True)

    def stationary(self, family: PolynomialFamily, theta: Parameters, nodes: Nodes) -> GridLaw:
        """The invariant law on the nodes."""
        balance = self.matrix(family, theta, nodes).T - np.eye(len(nodes))
        balance[-1] = 1.0  # one equation follows from the others; the masses' sum replaces it
        mass = np.linalg.solve(balance, np.eye(len(nodes))[-1])
        return GridLaw(nodes, mass)


def _log_normal(means: np.ndarray, nodes: Nodes, variance: float) -> np.ndarray:
    """Log probability of every node (a column) under a normal law about each mean (a row)."""
    step, deviation = float(nodes[1] - nodes[0]), math.sqrt(variance)
    if not step <= deviation:
        raise ValueError(
            f"`nodes` must be at most {deviation:.3g} apart to resolve a step; got {step!r}."
        )
    log_scale = math.log(step / deviation) - 0.5 * math.log(2 * math.pi)
    return log_scale - (nodes - means[:, None]) ** 2 / (2 * variance)


def _log_langevin(
    family: PolynomialFamily, theta: Parameters, nodes: Nodes, step_size: float
) -> np.ndarray:
    means = nodes - step_size * (family.slopes(nodes) @ theta)
    return _log_normal(means, nodes, 2 * step_size)


def _metropolis(energy: np.ndarray, log_proposal: np.ndarray) -> Operator:
    """Accept or refuse proposals; whatever is refused, or leaves the nodes, stays where it was."""
    log_ratio = energy[:, None] - energy + log_proposal.T - log_proposal
    matrix = np.exp(log_proposal + np.minimum(log_ratio, 0.0))
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, 1 - np.sum(matrix, axis=1))
    return matrix
