"""Checks and conversions that several energies make of their parameters at construction."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_finite, check_positive, is_traced
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._unbatched import check_unbatched


def check_scalars(**values: Any) -> None:
    """Refuse a parameter that is not a finite scalar; of a traced one, check the shape only."""
    for name, value in values.items():
        check_unbatched(name, value, ())
        check_finite(name, value)


def check_positive_scalars(**values: Any) -> None:
    """Refuse a parameter that is not a positive scalar; of a traced one, check the shape only."""
    for name, value in values.items():
        check_unbatched(name, value, ())
        check_positive(name, value)


def as_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Read the shape of a point or a condition: a tuple of positive integers."""
    if not isinstance(shape, tuple):
        raise ValueError(f"`{name}` must be a tuple of integers; got {shape!r}.")
    for size in shape:
        check_count(name, size)
    return tuple(int(size) for size in shape)


def as_shape_or_none(name: str, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Read the shape of a condition that need not be there."""
    return None if shape is None else as_shape(name, shape)


def inverse_cholesky(name: str, covariance: Any) -> Float[Array, "*batch dim dim"]:
    r"""Inverse $W = L^{-1}$ of the Cholesky factor of a covariance $\Sigma = L L^\top$.

    $W$ is lower triangular and whitens: $(x-\mu)^\top \Sigma^{-1} (x-\mu) = \|W (x - \mu)\|^2$.
    A concrete covariance is factorised on the host in double precision, so the result is correctly
    rounded also in single precision, and stays concrete while JAX traces the surrounding code.

    Args:
        name: Name of the argument, for messages.
        covariance: Symmetric positive definite matrices, shape `(..., dim, dim)`.

    Returns:
        The inverse factors, of the shape of `covariance`.

    Raises:
        ValueError: If a concrete `covariance` is not finite, symmetric and positive definite.
    """
    if is_traced(covariance):
        factor = jnp.linalg.cholesky(as_parameter(covariance))
        identity = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
        return solve_triangular(factor, identity, lower=True)
    check_finite(name, covariance)
    matrix = np.asarray(covariance, dtype=np.float64)
    transposed = np.swapaxes(matrix, -1, -2)
    # The tolerance admits a covariance that was estimated in single precision.
    if not np.allclose(matrix, transposed, rtol=1e-5, atol=1e-6 * float(np.abs(matrix).max())):
        raise ValueError(f"`{name}` must be symmetric; got {covariance!r}.")
    try:
        factor = np.linalg.cholesky((matrix + transposed) / 2)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"`{name}` must be positive definite; got {covariance!r}.") from error
    return as_parameter(np.tril(np.linalg.inv(factor)))
