"""A base law that covers the modes of its target."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing._geometric import unconstrained_base
from ebm_ppl.annealing._scouts import Modes
from ebm_ppl.energies import AbstractEnergy

_WIDER = 1.25
"""Standard deviations of the base law about a mode, in those of the mode: weights are bounded there."""
_EVENLY = 0.5
"""Share that modes have alike; of the rest each has its mass, which is off where a mode is not normal."""
_PLAIN, _WIDE = 0.1, 0.1
"""Shares of the law without modes, and of a normal law as wide as all of them, and twice."""
_WIDE_FACTOR = 2.0


class Cover(NamedTuple):
    """Normal laws about the modes of a target and about all of them; no weight where there is no mode.

    Attributes:
        log_weights: Of the laws about each mode, of that about all, and of the law without modes.
        locs: Means of all but the last.
        roots: Roots of their covariances: draws are a root times standard normal noise.
        inverse_roots: The inverses of the roots.
    """

    log_weights: Float[Array, " k_plus_2"]
    locs: Float[Array, "k_plus_1 dim"]
    roots: Float[Array, "k_plus_1 dim dim"]
    inverse_roots: Float[Array, "k_plus_1 dim dim"]


def cover(modes: Modes) -> Cover:
    """The normal laws that cover some modes.

    Args:
        modes: What scouts have found.

    Returns:
        The laws; if there is no mode, all weight is with the law without modes.
    """
    dtype, found = modes.places.dtype, jnp.isfinite(modes.log_mass)
    dim, any_found = modes.places.shape[1], jnp.any(found)
    masses = jax.nn.softmax(jnp.where(found, modes.log_mass, -1e30))
    evenly = found.astype(dtype) / jnp.maximum(jnp.sum(found), 1).astype(dtype)
    shares = (1 - _PLAIN - _WIDE) * ((1 - _EVENLY) * masses + _EVENLY * evenly)
    rest = jnp.where(any_found, jnp.array([_WIDE, _PLAIN], dtype), jnp.array([0, 1], dtype))
    weights = jnp.concatenate([jnp.where(found, shares, 0), rest])

    eye = jnp.eye(dim, dtype=dtype)
    places = jnp.where(found[:, None], modes.places, 0)
    widths = _WIDER * jnp.where(found[:, None], modes.widths, 1)
    axes = jnp.where(found[:, None, None], modes.axes, eye)
    center = evenly @ places
    variances = jnp.einsum("kij,kj->ki", axes**2, widths**2) + (places - center) ** 2
    spread = jnp.where(any_found, _WIDE_FACTOR * jnp.sqrt(evenly @ variances), 1)
    return Cover(
        jnp.log(weights),
        jnp.concatenate([places, center[None]]),
        jnp.concatenate([axes * widths[:, None], (eye * spread)[None]]),
        jnp.concatenate([(axes / widths[:, None]).swapaxes(1, 2), (eye / spread)[None]]),
    )


class CoveringLaw(dist.Distribution):
    """A mixture of normal laws about modes, one about all of them, and a law that knows of none.

    That law is the one with which paths begin elsewhere, in unconstrained coordinates.

    Args:
        covering: The normal laws.
        energy: The energy that is covered; `None` for a potential of reals.
    """

    def __init__(self, covering: Cover, energy: AbstractEnergy | None) -> None:
        self.covering = covering
        self.plain = dist.Normal(0.0, 1.0) if energy is None else unconstrained_base(energy)
        super().__init__(event_shape=covering.locs.shape[1:], validate_args=False)

    @property
    def support(self) -> Constraint:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All vectors of real numbers."""
        return constraints.independent(constraints.real, 1)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Independent draws."""
        count = math.prod(sample_shape)
        draws = jax.vmap(self._draw)(jax.random.split(fast_key(key), count))
        return draws.reshape(*sample_shape, *self.event_shape)

    def _draw(self, rng_key: PRNGKey) -> Float[Array, " dim"]:
        key_which, key_noise, key_plain = jax.random.split(rng_key, 3)
        weights, locs, roots, _ = self.covering
        which = jax.random.categorical(key_which, weights)
        mode = jnp.minimum(which, len(locs) - 1)
        noise = jax.random.normal(key_noise, self.event_shape, locs.dtype)
        plain = jnp.asarray(self.plain.sample(key_plain, self.event_shape), locs.dtype)
        return jnp.where(which == len(locs), plain, locs[mode] + roots[mode] @ noise)

    def log_prob(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, value: Float[Array, " dim"]
    ) -> Scalar:
        """Logarithm of the density of one vector."""
        weights, locs, _, inverse_roots = self.covering
        white = jnp.einsum("kij,kj->ki", inverse_roots, value - locs)
        # A root is a rotation times a diagonal matrix: its rows have the lengths of the diagonal.
        stretch = 0.5 * jnp.sum(jnp.log(jnp.sum(inverse_roots**2, axis=2)), axis=1)
        normal = stretch - 0.5 * jnp.sum(white**2 + math.log(2 * math.pi), axis=1)
        plain = jnp.sum(self.plain.log_prob(value)).astype(normal.dtype)
        return jax.nn.logsumexp(weights + jnp.append(normal, plain))
