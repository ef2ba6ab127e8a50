"""Permuted labels, and the p-value of a statistic among those of permutations."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey


def permuted_rows(
    rng_key: PRNGKey, labels: Float[np.ndarray, "rows num"], num_permutations: int
) -> Float[np.ndarray, "splits rows num"]:
    """Labels as they are, and then with each row permuted at random."""
    keys = jax.random.split(rng_key, num_permutations)
    permuted = np.asarray(_permute(keys, jnp.asarray(labels)), labels.dtype)
    return np.concatenate([labels[None], permuted])


@jax.jit
def _permute(keys: Array, labels: Array) -> Array:
    return jax.vmap(lambda key: jax.random.permutation(key, labels, axis=1, independent=True))(keys)


def p_value_of_first(statistics: Float[np.ndarray, " splits"]) -> float:
    """Share of splits with a statistic at least as large as that of the first, itself among them.

    Statistics of equal splits may differ by rounding; they count as equal.
    """
    rounding = 1e-9 * float(np.max(np.abs(statistics)))
    return float(np.mean(statistics >= statistics[0] - rounding))
