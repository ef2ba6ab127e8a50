"""The Ising model on any graph, with a coupling for each edge."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._graph import Graph
from ebm_ppl.energies._pairwise import AbstractPairwiseEnergy, check_weights
from ebm_ppl.energies._spin import spin


class GraphIsing(AbstractPairwiseEnergy):
    r"""Ising model on a graph: spins $x_i \in \{-1, 1\}$, with couplings of their own if need be.

    $$E(x) = -\sum_{e = (i, j)} J_e\, x_i x_j - \sum_i h_i x_i$$

    Couplings of both signs make it a spin glass. A Gibbs sweep redraws the spins of one colour of the
    graph after the other. `Ising` is faster on a lattice of one coupling.

    Args:
        coupling: Couplings $J$, shape `(num_edges,)`, in the order of the graph's edges; or one for all.
        field: Fields $h$, shape `(num_sites,)`, or one for all.
        graph: Which spins are neighbours.

    Raises:
        ValueError: If a shape does not fit the graph, or an entry is not finite.

    Examples:
        >>> from ebm_ppl.energies import Graph, GraphIsing
        >>> energy = GraphIsing([1.0, -0.5], field=0.25, graph=Graph(3, [(0, 1), (1, 2)]))
        >>> float(energy([1.0, 1.0, -1.0]))
        -1.75
    """

    coupling: Float[Array, "..."]
    field: Float[Array, "..."]
    graph: Graph = eqx.field(static=True)

    def __init__(self, coupling: Any, field: Any, graph: Graph) -> None:
        self.coupling = as_parameter(coupling)
        self.field = as_parameter(field)
        self.graph = graph

    def __check_init__(self) -> None:
        check_weights("coupling", self.coupling, (self.graph.num_edges,))
        check_weights("field", self.field, (self.graph.num_sites,))

    @property
    def support(self) -> constraints.Constraint:
        """Vectors of −1 and +1."""
        return constraints.independent(spin, 1)

    @property
    def _values(self) -> tuple[float, float]:
        return -1.0, 1.0

    @property
    def _pair_weights(self) -> Float[Array, " num_edges"]:
        return jnp.broadcast_to(self.coupling, (self.graph.num_edges,))

    @property
    def _site_biases(self) -> Float[Array, " num_sites"]:
        return jnp.broadcast_to(self.field, (self.graph.num_sites,))

    def uncoupled(self, fields: Any = 0.0) -> "GraphIsing":
        """The spins without couplings, in other fields, shape `(num_sites,)` or one for all."""
        check_weights("fields", as_parameter(fields), (self.graph.num_sites,))
        return GraphIsing(jnp.zeros_like(self.coupling), fields, self.graph)
