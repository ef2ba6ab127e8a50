"""Mass matrices that are dense within blocks of sites, given as NumPyro's HMC and NUTS take them."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ebm_ppl._checks import check_flag
from ebm_ppl._types import Position
from ebm_ppl.samplers._warmup.mass_matrix import Matrix, as_inverse_mass_matrix

DenseMass = bool | list[tuple[str, ...]]
"""Whether a mass matrix is dense, or the blocks of sites within which it is."""


def check_dense_mass(dense_mass: Any) -> None:
    """Refuse what is neither a truth value nor a list of disjoint blocks of sites."""
    if isinstance(dense_mass, list):
        _check_blocks("dense_mass", dense_mass)
    else:
        check_flag("dense_mass", dense_mass)


def check_names(inverse_mass_matrix: Any) -> None:
    """Refuse a dictionary whose keys are not disjoint blocks of sites."""
    if isinstance(inverse_mass_matrix, dict):
        _check_blocks("inverse_mass_matrix", list(inverse_mass_matrix))


def _check_blocks(name: str, blocks: list[Any]) -> None:
    if not all(isinstance(block, tuple) and block for block in blocks):
        raise ValueError(f"`{name}` must have blocks that are tuples of sites; got {blocks!r}.")
    sites = [site for block in blocks for site in block]
    if not all(isinstance(site, str) for site in sites):
        raise ValueError(f"`{name}` must name sites by strings; got {blocks!r}.")
    if len(set(sites)) < len(sites):
        raise ValueError(f"`{name}` must name each site at most once; got {blocks!r}.")


def mask_of_blocks(
    dense_mass: DenseMass, z: Position, num_axes: int = 0
) -> Bool[np.ndarray, "dim dim"] | None:
    """Where a mass matrix may differ from 0, in the order of `ravel_pytree`.

    Args:
        dense_mass: Whether it is dense, or the blocks within which it is.
        z: Unconstrained position.
        num_axes: Number of leading axes over chains that `z` has.

    Returns:
        The mask; `None` where the whole matrix is dense or diagonal.

    Raises:
        ValueError: If the position is not a dictionary of sites, or lacks one that is named.
    """
    if isinstance(dense_mass, (bool, np.bool_)) or not dense_mass:
        return None
    places = _places("dense_mass", dense_mass, z, num_axes)
    mask = np.eye(sum(place.size for place in places.values()), dtype=bool)
    for block in dense_mass:
        mask[np.ix_(*[_joined(places, block)] * 2)] = True
    return mask


def first_matrix(
    given: Any, dense_mass: DenseMass, z: Position, like: Float[Array, " dim"]
) -> Matrix:
    """The inverse mass matrix before the first step, of whatever a kernel was given.

    Args:
        given: An array, a dictionary of blocks, or `None` for the identity.
        dense_mass: Whether the whole is dense, or the blocks within which it is.
        z: Unconstrained position.
        like: The same, flat.

    Returns:
        The diagonal, or the matrix where any of it is dense.

    Raises:
        ValueError: If it does not fit the position or `dense_mass`.
    """
    if isinstance(given, dict):
        given = _assemble(given, dense_mass, z, like)
    elif isinstance(dense_mass, list) and dense_mass and given is not None and jnp.ndim(given) == 2:
        raise ValueError(
            "`inverse_mass_matrix` must be a dictionary or a diagonal with blocks in `dense_mass`; "
            f"got shape {jnp.shape(given)}."
        )
    return as_inverse_mass_matrix(given, bool(dense_mass), like)


def _assemble(
    blocks: dict[tuple[str, ...], Any],
    dense_mass: DenseMass,
    z: Position,
    like: Float[Array, " dim"],
) -> Float[Array, "..."]:
    """One inverse mass matrix of its blocks; sites without one have the identity.

    Args:
        blocks: Matrix, or its diagonal, of each block, with the sites in the order of its key.
        dense_mass: Whether the whole is dense, or the blocks within which it is.
        z: Unconstrained position.
        like: The same, flat.

    Returns:
        The diagonal if there is no dense block, the matrix otherwise.

    Raises:
        ValueError: If a site is unknown, a block contradicts `dense_mass`, or its shape is wrong.
    """
    places = _places("inverse_mass_matrix", list(blocks), z, 0)
    dense = dense_mass if isinstance(dense_mass, list) else []
    is_whole = bool(dense_mass) and not dense
    matrix = jnp.eye(like.size, dtype=like.dtype)
    for block, given in blocks.items():
        place, value = _joined(places, block), jnp.asarray(given, dtype=like.dtype)
        is_dense = block in dense or (is_whole and set(block) == set(places))
        if not is_dense and (is_whole or any(set(block) & set(other) for other in dense)):
            raise ValueError(
                f"`inverse_mass_matrix` must have the blocks of `dense_mass={dense_mass}` for keys; "
                f"got {block!r}."
            )
        allowed = [(place.size,), (place.size,) * 2] if is_dense else [(place.size,)]
        if value.shape not in allowed:
            raise ValueError(
                f"Expected `inverse_mass_matrix[{block!r}]` of shape "
                f"{' or '.join(map(str, allowed))}; got {value.shape}."
            )
        matrix = matrix.at[np.ix_(place, place)].set(jnp.diag(value) if value.ndim == 1 else value)
    return matrix if dense_mass else jnp.diag(matrix)


def _places(name: str, blocks: list[Any], z: Position, num_axes: int) -> dict[str, np.ndarray]:
    """Indices of each site in the flat position."""
    if not isinstance(z, dict):
        raise ValueError(
            f"`{name}` must not name sites where the position has none; got {blocks!r}."
        )
    unknown = sorted({site for block in blocks for site in block} - set(z))
    if unknown:
        raise ValueError(f"`{name}` must name sites of {sorted(z)}; got {unknown}.")
    sizes = [
        sum(math.prod(leaf.shape[num_axes:]) for leaf in jax.tree.leaves(z[site]))
        for site in sorted(z)
    ]
    ends = np.cumsum(sizes)
    return {
        site: np.arange(end - size, end)
        for site, size, end in zip(sorted(z), sizes, ends, strict=True)
    }


def _joined(places: dict[str, np.ndarray], block: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([places[site] for site in block])
