"""What energies of two-valued sites that interact in pairs share: Boltzmann machines and spins."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_finite
from ebm_ppl._random import fast_key
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._draws import as_thresholds
from ebm_ppl.energies._graph import Graph
from ebm_ppl.energies._unbatched import refuse_shape
from ebm_ppl.energies.blockwise import AbstractLinearEnergy


class AbstractPairwiseEnergy(AbstractLinearEnergy):
    r"""Sites of two values with $E(x) = -\sum_e w_e x_{l(e)} x_{r(e)} - \sum_i b_i x_i$ over a graph's edges.

    A Gibbs sweep redraws the sites of one colour of the graph after the other, each by one random word of
    32 bits, which moves a probability $p$ by at most $2^{-24} p + 2^{-31}$.
    """

    graph: eqx.AbstractVar[Graph]

    @property
    @abc.abstractmethod
    def _values(self) -> tuple[float, float]:
        """The lower and the upper value of a site."""

    @property
    @abc.abstractmethod
    def _pair_weights(self) -> Float[Array, " num_edges"]:
        """Weight of each edge."""

    @property
    @abc.abstractmethod
    def _site_biases(self) -> Float[Array, " num_sites"]:
        """Bias of each site."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(num_sites,)`."""
        return (self.graph.num_sites,)

    def _energy(self, x: Event) -> Scalar:
        left, right = self.graph.edges.T
        return -jnp.sum(self._pair_weights * x[left] * x[right]) - jnp.sum(self._site_biases * x)

    @property
    def log_z_uncoupled(self) -> Scalar:
        """Log partition function of independent sites with the biases."""
        lower, upper = (value * self._site_biases for value in self._values)
        return jnp.sum(jnp.logaddexp(lower, upper))

    def conditional_logits(self, x: Event) -> Float[Array, " num_sites"]:
        """Log odds of the upper value of each site given all the others.

        Args:
            x: A state, shape `(num_sites,)`.

        Returns:
            The log odds, of the same shape.
        """
        lower, upper = self._values
        left, right = self.graph.edges.T
        weights = self._pair_weights
        total = self._site_biases.at[left].add(weights * x[right]).at[right].add(weights * x[left])
        return (upper - lower) * total

    @eqx.filter_jit
    def gibbs_sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        """Redraw the sites of one colour after the other.

        Args:
            rng_key: Random key.
            x: A state, shape `(num_sites,)`.

        Returns:
            The next state, of the same shape.
        """
        lower, upper = self._values
        blocks = self.graph.blocks
        words = jax.random.bits(fast_key(rng_key), blocks.sites.shape)
        # The edge of number `num_edges` weighs nothing, so what stands at the site behind the last is free.
        weights = jnp.append(self._pair_weights, 0.0)
        biases = jnp.append(self._site_biases, 0.0)

        def redraw(x: Event, block: tuple[Array, ...]) -> tuple[Event, None]:
            sites, neighbours, edges, words = block
            total = biases[sites] + jnp.sum(weights[edges] * x[neighbours], axis=-1)
            is_up = words < as_thresholds((upper - lower) * total)
            return x.at[sites].set(jnp.where(is_up, upper, lower).astype(x.dtype)), None

        tables = tuple(jnp.asarray(table) for table in blocks)
        swept, _ = jax.lax.scan(redraw, jnp.append(x, 0.0), (*tables, words))
        return swept[:-1]


def check_weights(name: str, value: Array, shape: tuple[int, ...]) -> None:
    """Refuse weights that are neither one number for all nor one for each, or not finite."""
    if value.shape not in ((), shape):
        refuse_shape(name, f"() or {shape}", value.shape, rank=0)
    check_finite(name, value)
