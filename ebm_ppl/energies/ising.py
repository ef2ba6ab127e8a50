"""The Ising model on a lattice: spins that like to agree with their neighbours."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32
from numpyro.distributions import constraints

from ebm_ppl._checks import check_count, check_flag
from ebm_ppl._random import fast_key, random_words
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._draws import as_thresholds
from ebm_ppl.energies._lattice import (
    bond_sum,
    choose,
    colours,
    from_halves,
    half_neighbour_sum,
    neighbour_sum,
    to_halves,
)
from ebm_ppl.energies._parameters import as_shape, check_scalars
from ebm_ppl.energies._spin import spin
from ebm_ppl.energies.blockwise import AbstractLinearEnergy


class Ising(AbstractLinearEnergy):
    r"""Ising model on a lattice of any dimension, of spins $x_i \in \{-1, 1\}$.

    $$E(x) = -J \sum_{\langle i, j \rangle} x_i x_j - h \sum_i x_i,$$

    the first sum over all pairs of neighbours. The inverse temperature is part of $J$ and $h$. Given the
    others, a spin is up with probability $\sigma(2 J s_i + 2 h)$, where $s_i$ is the sum of its
    neighbours; `gibbs_sweep` redraws all sites of one colour of a checkerboard at once, then those of the
    other. A lattice that closes on itself after an odd number of sites has three colours.

    Each spin takes one random word of 32 bits, and is up where the word is below a threshold; there is one
    threshold for each value of $s_i$. So a probability $p$ is moved by at most $2^{-24} p + 2^{-31}$.
    The program does not grow with the lattice.

    Args:
        shape: Number of sites along each axis.
        coupling: Coupling $J$; that of the infinite square lattice is critical at
            $\frac12 \log(1 + \sqrt 2) = 0.4407$.
        field: Field $h$.
        periodic: Whether the ends of each axis are neighbours, which takes at least 3 sites.

    Raises:
        ValueError: If `shape` is no tuple of positive integers, an axis is too short to be periodic, or a
            parameter is no finite scalar.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import Ising
        >>> energy = Ising((4, 4), coupling=0.5, field=0.25)
        >>> float(energy(jnp.ones((4, 4))))  # 32 bonds and 16 sites
        -20.0

    References:
        Ising (1925). Beitrag zur Theorie des Ferromagnetismus. Zeitschrift für Physik 31.
        Onsager (1944). Crystal statistics I: a two-dimensional model with an order-disorder transition.
        Physical Review 65.
    """

    coupling: Scalar
    field: Scalar
    shape: tuple[int, ...] = eqx.field(static=True)
    periodic: bool = eqx.field(static=True)

    def __init__(
        self, shape: tuple[int, ...], coupling: Any, field: Any = 0.0, periodic: bool = True
    ) -> None:
        self.shape = as_shape("shape", shape)
        self.coupling = as_parameter(coupling)
        self.field = as_parameter(field)
        self.periodic = periodic

    def __check_init__(self) -> None:
        if not self.shape:
            raise ValueError("`shape` must have at least one axis; got ().")
        check_flag("periodic", self.periodic)
        if self.periodic:
            check_count("shape (of a periodic lattice)", min(self.shape), 3)
        check_scalars(coupling=self.coupling, field=self.field)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, that of the lattice."""
        return self.shape

    @property
    def support(self) -> constraints.Constraint:
        """Arrays of −1 and +1."""
        return constraints.independent(spin, len(self.shape))

    def _energy(self, x: Event) -> Scalar:
        return -self.coupling * bond_sum(x, self.periodic) - self.field * jnp.sum(x)

    def uncoupled(self, fields: Any = 0.0) -> "Ising":
        """The lattice without couplings, its spins in another field, a scalar."""
        check_scalars(fields=fields)
        return Ising(self.shape, jnp.zeros_like(self.coupling), fields, self.periodic)

    @property
    def log_z_uncoupled(self) -> Scalar:
        r"""Log partition function $n \log(2 \cosh h)$ of $n$ spins in the field."""
        return math.prod(self.shape) * jnp.logaddexp(self.field, -self.field)

    def conditional_logits(self, x: Event) -> Float[Array, "..."]:
        r"""Log odds $2 J s_i + 2 h$ of each spin being up given all the others.

        Args:
            x: Spins, of the lattice's shape.

        Returns:
            The log odds, of the same shape.
        """
        return 2 * (self.coupling * neighbour_sum(x, self.periodic) + self.field)

    @property
    def _levels(self) -> tuple[int, ...]:
        """Values that the sum of a site's neighbours may take, in rising order."""
        most = 2 * len(self.shape)
        return tuple(range(-most, most + 1, 2 if self.periodic else 1))

    @property
    def _thresholds(self) -> UInt32[Array, " levels"]:
        levels = jnp.asarray(self._levels, dtype=self.coupling.dtype)
        return as_thresholds(2 * (self.coupling * levels + self.field))

    @eqx.filter_jit
    def gibbs_sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        """Redraw the spins of one colour after the other.

        Args:
            rng_key: Random key.
            x: Spins, of the lattice's shape.

        Returns:
            The next spins, of the same shape.
        """
        if len(self.shape) == 2 and not any(size % 2 for size in self.shape):
            rows, columns = self.shape
            words = random_words(rng_key, (rows, columns // 2))
            return self._sweep_halves(words, x)
        return self._sweep_masked(jax.random.bits(fast_key(rng_key), self.shape), x)

    def _sweep_halves(
        self, words: tuple[UInt32[Array, "..."], UInt32[Array, "..."]], x: Event
    ) -> Event:
        """Redraw a checkerboard of even sides, whose halves are arrays of their own."""
        black, white = to_halves(x.astype(jnp.int8))
        black = self._redraw(words[0], half_neighbour_sum(white, True, self.periodic))
        white = self._redraw(words[1], half_neighbour_sum(black, False, self.periodic))
        return from_halves(black, white).astype(x.dtype)

    def _sweep_masked(self, words: UInt32[Array, "..."], x: Event) -> Event:
        """Redraw any lattice: draw all sites at once and keep those of one colour."""
        # Without barriers XLA computes words and spins anew wherever they are read.
        words = jax.lax.optimization_barrier(words)
        colour = colours(self.shape, self.periodic)
        spins = x.astype(jnp.int8)
        for one in range(colour.max() + 1):
            drawn = self._redraw(words, neighbour_sum(spins, self.periodic))
            spins = jax.lax.optimization_barrier(jnp.where(colour == one, drawn, spins))
        return spins.astype(x.dtype)

    def _redraw(self, words: UInt32[Array, "..."], level: Array) -> Array:
        is_up = words < choose(self._thresholds, level, self._levels)
        return jnp.where(is_up, jnp.int8(1), jnp.int8(-1))
