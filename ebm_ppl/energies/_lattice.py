"""Sums over the neighbours on a lattice, and its colours."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from ebm_ppl._types import Event


def shifted(x: Array, distance: int, axis: int, periodic: bool) -> Array:
    """Move all sites by one along an axis; at a free boundary zeros come in.

    Args:
        x: Values on the lattice.
        distance: 1, so that each site gets the value before it, or −1 for the value behind it.
        axis: The axis.
        periodic: Whether the ends of the axis are neighbours.

    Returns:
        An array of the same shape.
    """
    if periodic:
        return jnp.roll(x, distance, axis)
    size = x.shape[axis]
    kept = jnp.take(x, np.arange(size - 1) + (distance < 0), axis=axis)
    edge = jnp.zeros_like(jnp.take(x, np.arange(1), axis=axis))
    return jnp.concatenate([edge, kept] if distance > 0 else [kept, edge], axis=axis)


def neighbour_sum(x: Array, periodic: bool) -> Array:
    """Sum of the values at the neighbours of each site."""
    total = jnp.zeros_like(x)
    for axis in range(x.ndim):
        total = total + shifted(x, 1, axis, periodic) + shifted(x, -1, axis, periodic)
    return total


def bond_sum(x: Event, periodic: bool) -> Float[Array, ""]:
    """Sum over all pairs of neighbours of the product of their values."""
    before = jnp.zeros_like(x)
    for axis in range(x.ndim):
        before = before + shifted(x, 1, axis, periodic)
    return jnp.sum(x * before)


def colours(shape: tuple[int, ...], periodic: bool) -> Int[np.ndarray, "..."]:
    """A colour for each site, such that no two neighbours have the same.

    Two colours where all closed ways are even, the black and white of a checkerboard; otherwise three: an
    odd ring is coloured 0, 1, ..., 0, 1, 2, and the colours of a site along all axes are added modulo 3.
    """
    rings = [np.arange(size) % 2 for size in shape]
    is_odd = periodic and any(size % 2 for size in shape)
    if is_odd:
        for ring in rings:
            if len(ring) % 2:
                ring[-1] = 2
    total = np.zeros(shape, dtype=int)
    for axis, ring in enumerate(rings):
        total += ring.reshape([-1 if axis == other else 1 for other in range(len(shape))])
    return total % (3 if is_odd else 2)


def to_halves(x: Array) -> tuple[Array, Array]:
    """Black and white sites of a checkerboard, each of shape `(rows, columns / 2)`."""
    rows, columns = x.shape
    cells = x.reshape(rows // 2, 2, columns // 2, 2)
    half = (rows, columns // 2)
    black = jnp.stack([cells[:, 0, :, 0], cells[:, 1, :, 1]], axis=1).reshape(half)
    white = jnp.stack([cells[:, 0, :, 1], cells[:, 1, :, 0]], axis=1).reshape(half)
    return black, white


def from_halves(black: Array, white: Array) -> Array:
    """The checkerboard of which these are the black and white sites."""
    rows, half = black.shape
    black, white = (part.reshape(rows // 2, 2, half) for part in (black, white))
    upper = jnp.stack([black[:, 0], white[:, 0]], axis=-1)
    lower = jnp.stack([white[:, 1], black[:, 1]], axis=-1)
    return jnp.stack([upper, lower], axis=1).reshape(rows, 2 * half)


def half_neighbour_sum(other: Array, of_black: bool, periodic: bool) -> Array:
    """Sum at the sites of one half of a checkerboard over their neighbours, all in the other half.

    In its row a site has the neighbour of the same column of the half array, and one beside it: the one
    before for black sites of even rows and white ones of odd rows, the one behind for the others.
    """
    is_even_row = (np.arange(other.shape[0]) % 2 == 0)[:, None]
    beside = jnp.where(
        is_even_row == of_black,
        shifted(other, 1, 1, periodic),
        shifted(other, -1, 1, periodic),
    )
    return other + beside + shifted(other, 1, 0, periodic) + shifted(other, -1, 0, periodic)


def choose(
    thresholds: UInt32[Array, " levels"], level: Array, levels: tuple[int, ...]
) -> UInt32[Array, "..."]:
    """The threshold that belongs to the level of each site, the levels in rising order."""
    chosen = jnp.broadcast_to(thresholds[0], level.shape)
    for value, threshold in zip(levels[1:], thresholds[1:], strict=True):
        chosen = jnp.where(level >= value, threshold, chosen)
    return chosen
