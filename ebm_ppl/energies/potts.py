"""The Potts model on any graph: sites of several values, of which neighbours like to have the same."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_finite
from ebm_ppl._random import fast_key
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._draws import choose_category
from ebm_ppl.energies._graph import Graph
from ebm_ppl.energies._pairwise import check_weights
from ebm_ppl.energies._unbatched import check_unbatched
from ebm_ppl.energies.blockwise import AbstractLinearEnergy
from ebm_ppl.energies.categorical import AbstractCategoricalEnergy


class Potts(AbstractLinearEnergy, AbstractCategoricalEnergy):
    r"""Potts model: sites $x_i \in \{0, \dots, q - 1\}$ on a graph.

    $$E(x) = -\sum_{e = (i, j)} J_e\, [x_i = x_j] - \sum_i h_{x_i}, \qquad h_0 = 0,$$

    since a number added to all fields would change nothing. A Gibbs sweep redraws the sites of one colour
    of the graph after the other, each by one random word of 32 bits, in which a probability has a
    resolution of $2^{-24}$. With $q = 2$ it is the Ising model of half the coupling.

    Args:
        num_states: Number of values $q$, at least 2.
        coupling: Couplings $J$, shape `(num_edges,)`, in the order of the graph's edges; or one for all.
        graph: Which sites are neighbours.
        field: Fields $h_1, \dots, h_{q-1}$, shape `(num_states - 1,)`; `None` for zeros.

    Raises:
        ValueError: If a shape does not fit, or an entry is not finite.

    Examples:
        >>> from ebm_ppl.energies import Graph, Potts
        >>> energy = Potts(3, 1.5, Graph.lattice((3, 3)))
        >>> float(energy([2.0] * 9))  # 18 edges
        -27.0

    References:
        Potts (1952). Some generalized order-disorder transformations. Mathematical Proceedings of the
        Cambridge Philosophical Society 48.
    """

    coupling: Float[Array, "..."]
    field: Float[Array, " others"]
    num_states: int = eqx.field(static=True)
    graph: Graph = eqx.field(static=True)

    def __init__(self, num_states: int, coupling: Any, graph: Graph, field: Any = None) -> None:
        check_count("num_states", num_states, 2)
        self.num_states = num_states
        self.coupling = as_parameter(coupling)
        self.field = as_parameter(np.zeros(num_states - 1) if field is None else field)
        self.graph = graph

    def __check_init__(self) -> None:
        check_count("num_states", self.num_states, 2)
        check_weights("coupling", self.coupling, (self.graph.num_edges,))
        check_unbatched("field", self.field, (self.num_states - 1,))
        check_finite("field", self.field)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(num_sites,)`."""
        return (self.graph.num_sites,)

    @property
    def _couplings(self) -> Float[Array, " num_edges"]:
        return jnp.broadcast_to(self.coupling, (self.graph.num_edges,))

    @property
    def _fields(self) -> Float[Array, " num_states"]:
        return jnp.concatenate([jnp.zeros_like(self.field, shape=(1,)), self.field])

    def _energy_of_indicators(self, indicators: Float[Array, "num_sites num_states"]) -> Scalar:
        left, right = self.graph.edges.T
        agreement = jnp.sum(indicators[left] * indicators[right], axis=-1)
        return -jnp.sum(self._couplings * agreement) - jnp.sum(indicators * self._fields)

    def uncoupled(self, fields: Any = 0.0) -> "Potts":
        """The sites without couplings, in other fields, shape `(num_states - 1,)` or one for all of them."""
        shape = (self.num_states - 1,)
        check_weights("fields", as_parameter(fields), shape)
        return Potts(
            self.num_states,
            jnp.zeros_like(self.coupling),
            self.graph,
            jnp.broadcast_to(as_parameter(fields), shape),
        )

    @property
    def log_z_uncoupled(self) -> Scalar:
        """Log partition function of independent sites in the fields."""
        return self.graph.num_sites * jax.nn.logsumexp(self._fields)

    def conditional_logits(self, x: Event) -> Float[Array, "num_sites num_states"]:
        """Log probability of each value of each site given the other sites, up to a constant a site.

        Args:
            x: A state, shape `(num_sites,)`.

        Returns:
            The log probabilities, shape `(num_sites, num_states)`.
        """
        return -jax.grad(self._energy_of_indicators)(self.indicators(x))

    @eqx.filter_jit
    def gibbs_sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        """Redraw the sites of one colour after the other.

        Args:
            rng_key: Random key.
            x: A state, shape `(num_sites,)`.

        Returns:
            The next state, of the same shape.
        """
        blocks = self.graph.blocks
        words = jax.random.bits(fast_key(rng_key), blocks.sites.shape)
        # The edge of number `num_edges` weighs nothing, so what stands at the site behind the last is free.
        couplings = jnp.append(self._couplings, 0.0)
        fields = self._fields

        def redraw(x: Event, block: tuple[Array, ...]) -> tuple[Event, None]:
            sites, neighbours, edges, words = block
            agrees = self.indicators(x[neighbours])
            logits = fields + jnp.sum(couplings[edges][..., None] * agrees, axis=-2)
            return x.at[sites].set(choose_category(words, logits).astype(x.dtype)), None

        tables = tuple(jnp.asarray(table) for table in blocks)
        swept, _ = jax.lax.scan(redraw, jnp.append(x, 0.0), (*tables, words))
        return swept[:-1]
