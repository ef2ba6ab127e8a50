"""The Boltzmann machine without hidden units, on any graph."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._graph import Graph
from ebm_ppl.energies._pairwise import AbstractPairwiseEnergy, check_weights


class BoltzmannMachine(AbstractPairwiseEnergy):
    r"""Boltzmann machine: binary units $x_i \in \{0, 1\}$ that are coupled in pairs.

    $$E(x) = -\sum_{e = (i, j)} w_e\, x_i x_j - \sum_i b_i x_i, \qquad
    P(x_i = 1 \mid \text{rest}) = \sigma\Big(b_i + \sum_{e = (i, j)} w_e x_j\Big)$$

    A Gibbs sweep redraws the units of one colour of the graph after the other; in the complete graph that
    is one after the other.

    Args:
        weights: Weights $w$, shape `(num_edges,)`, in the order of the graph's edges; or one for all.
        biases: Biases $b$, shape `(num_sites,)`, or one for all.
        graph: Which units are coupled.

    Raises:
        ValueError: If a shape does not fit the graph, or an entry is not finite.

    Examples:
        >>> from ebm_ppl.energies import BoltzmannMachine, Graph
        >>> machine = BoltzmannMachine([1.0, -2.0, 0.5], [0.0, 0.1, 0.2], Graph.complete(3))
        >>> print(f"{machine([1.0, 1.0, 0.0]):.2f}")
        -1.10

    References:
        Ackley, Hinton & Sejnowski (1985). A learning algorithm for Boltzmann machines. Cognitive Science 9.
    """

    weights: Float[Array, "..."]
    biases: Float[Array, "..."]
    graph: Graph = eqx.field(static=True)

    def __init__(self, weights: Any, biases: Any, graph: Graph) -> None:
        self.weights = as_parameter(weights)
        self.biases = as_parameter(biases)
        self.graph = graph

    def __check_init__(self) -> None:
        check_weights("weights", self.weights, (self.graph.num_edges,))
        check_weights("biases", self.biases, (self.graph.num_sites,))

    @property
    def support(self) -> constraints.Constraint:
        """Vectors of zeros and ones."""
        return constraints.independent(constraints.boolean, 1)

    @property
    def _values(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def _pair_weights(self) -> Float[Array, " num_edges"]:
        return jnp.broadcast_to(self.weights, (self.graph.num_edges,))

    @property
    def _site_biases(self) -> Float[Array, " num_sites"]:
        return jnp.broadcast_to(self.biases, (self.graph.num_sites,))

    def uncoupled(self, fields: Any = 0.0) -> "BoltzmannMachine":
        """The units without couplings, in other fields, shape `(num_sites,)` or one for all."""
        check_weights("fields", as_parameter(fields), (self.graph.num_sites,))
        return BoltzmannMachine(jnp.zeros_like(self.weights), fields, self.graph)
