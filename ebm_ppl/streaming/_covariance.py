"""Mean and covariance matrix, in one pass."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl.streaming._base import AbstractReduction


class CovarianceResult(NamedTuple):
    """First and second moments of a vector.

    Attributes:
        mean: Its mean.
        covariance: Its covariance matrix.
    """

    mean: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]


class Covariance(AbstractReduction):
    """Mean and covariance matrix of a quantity that is one array, which is read as a vector.

    Args:
        of: Function of one draw to an array; the draw itself by default.

    References:
        Chan, Golub & LeVeque (1983). Algorithms for computing the sample variance. American Statistician 37.
    """

    def partial(self, values: Any) -> tuple[Array, Array, Array]:
        """Number, mean and sum of outer products of the deviations."""
        arrays = jax.tree.leaves(values)
        if len(arrays) != 1:
            raise ValueError(
                "`of` must return one array for `Covariance`, such as one site's `lambda draw: draw['x']`; "
                f"got {jax.tree.structure(values)}."
            )
        values = arrays[0]
        rows = values.reshape(values.shape[0] * values.shape[1], -1)
        mean = jnp.mean(rows, axis=0)
        return jnp.asarray(len(rows)), mean, (rows - mean).T @ (rows - mean)

    def merge(self, total: Any, partial: Any, is_second_half: bool) -> Any:  # noqa: ARG002
        """Add a chunk."""
        count, mean, products = (np.asarray(part, np.float64) for part in partial)
        if total is None:
            return count, mean, products
        before, mean_before, products_before = total
        after, gap = before + count, mean - mean_before
        products = products_before + products + np.outer(gap, gap) * (before * count / after)
        return after, mean_before + gap * (count / after), products

    def result(self, total: Any) -> CovarianceResult:
        """Divide by one less than the number of draws."""
        count, mean, products = total
        return CovarianceResult(mean, products / (count - 1))
