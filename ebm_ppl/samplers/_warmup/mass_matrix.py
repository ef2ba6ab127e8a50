"""Estimates of the target's covariance, which whiten it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._types import Scalar

Matrix = Float[Array, " dim"] | Float[Array, "dim dim"]
"""A matrix, or the diagonal of a diagonal one."""


class MomentsState(NamedTuple):
    """Count, mean and sum of squared deviations of the positions seen in a window."""

    num_positions: Scalar
    mean: Float[Array, " dim"]
    squared_deviations: Matrix


def matrix_sqrt(matrix: Matrix) -> Matrix:
    """Lower Cholesky factor, or the root of the diagonal of a diagonal matrix."""
    return jnp.sqrt(matrix) if matrix.ndim == 1 else jnp.linalg.cholesky(matrix)


def apply(matrix: Matrix, vector: Float[Array, " dim"]) -> Float[Array, " dim"]:
    """Multiply a vector by a matrix that may be given by its diagonal alone."""
    return matrix * vector if matrix.ndim == 1 else matrix @ vector


def solve(matrix: Matrix, vector: Float[Array, " dim"]) -> Float[Array, " dim"]:
    """Multiply by the inverse of a lower triangular matrix, which may be given by its diagonal."""
    if matrix.ndim == 1:
        return vector / matrix
    return jax.scipy.linalg.solve_triangular(matrix, vector, lower=True)


def no_moments(matrix: Matrix) -> MomentsState:
    """The moments of nothing, whose deviations have the matrix's shape."""
    mean = jnp.zeros_like(matrix, shape=matrix.shape[-1:])
    return MomentsState(jnp.zeros_like(matrix, shape=()), mean, jnp.zeros_like(matrix))


def merge(state: MomentsState, positions: Float[Array, "chains dim"]) -> MomentsState:
    """Add a batch of positions to the moments (Chan, Golub & LeVeque 1983)."""
    # Counts are floats: an integer of 32 bits would overflow at a million chains.
    size = positions.shape[0]
    mean = jnp.mean(positions, axis=0)
    inside, between = positions - mean, mean - state.mean
    count = state.num_positions + size
    if state.squared_deviations.ndim == 1:
        within, across = jnp.sum(inside**2, axis=0), between**2
    else:
        within, across = inside.T @ inside, jnp.outer(between, between)
    return MomentsState(
        count,
        state.mean + between * (size / count),
        state.squared_deviations + within + across * (state.num_positions * size / count),
    )


def regularised_covariance(state: MomentsState) -> Matrix:
    """Sample covariance, shrunk towards 1e-3 times the identity as Stan does."""
    covariance = state.squared_deviations / (state.num_positions - 1)
    weight = state.num_positions / (state.num_positions + 5)
    shrunk = 1e-3 * (1 - weight)
    return weight * covariance + (
        shrunk if covariance.ndim == 1 else shrunk * jnp.eye(covariance.shape[0])
    ).astype(covariance.dtype)


def as_inverse_mass_matrix(matrix: Any, dense: bool, position: Float[Array, " dim"]) -> Matrix:
    """The initial inverse mass matrix in the shape and precision of the run.

    Args:
        matrix: What the user gave, anything array-like; `None` for the identity.
        dense: Whether the run has a dense mass matrix.
        position: A flat position of the run.

    Returns:
        The matrix, or its diagonal unless `dense`.

    Raises:
        ValueError: If the shape fits neither the position nor `dense`, or the matrix is not
            positive definite.
    """
    dim = position.size
    if matrix is None:
        diagonal = jnp.ones_like(position)
        return jnp.diag(diagonal) if dense else diagonal
    matrix = jnp.asarray(matrix, dtype=position.dtype)
    allowed = [(dim,), (dim, dim)] if dense else [(dim,)]
    if matrix.shape not in allowed:
        raise ValueError(
            f"Expected `inverse_mass_matrix` of shape {' or '.join(map(str, allowed))} with "
            f"`dense_mass={dense}`; got {matrix.shape}."
        )
    if not is_traced(matrix):
        # A trainer builds its kernels inside a trace, where the matrix is a constant nevertheless.
        with jax.ensure_compile_time_eval():
            symmetric = matrix.ndim == 1 or bool(jnp.allclose(matrix, matrix.T))
            root = matrix_sqrt(matrix)
            good = symmetric and bool(jnp.all(jnp.isfinite(root))) and _positive(root)
        if not good:
            raise ValueError(f"`inverse_mass_matrix` must be positive definite; got {matrix}.")
    return jnp.diag(matrix) if dense and matrix.ndim == 1 else matrix


def _positive(root: Matrix) -> bool:
    return bool(jnp.all((root if root.ndim == 1 else jnp.diag(root)) > 0))
