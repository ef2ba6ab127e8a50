"""Resampling of weighted particles."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ebm_ppl._types import PRNGKey


def systematic_resample(rng_key: PRNGKey, log_weights: Float[Array, " n"]) -> Int[Array, " n"]:
    r"""Draw particles in proportion to their weights, with as little noise as one random number allows.

    The points $(u + i) / n$ for $i = 0, \dots, n - 1$ with one uniform $u$ fall into the cumulated weights,
    so particle $i$ with share $W_i$ is drawn $\lfloor n W_i \rfloor$ or $\lceil n W_i \rceil$ times, and
    $n W_i$ times on average.

    Args:
        rng_key: Random key.
        log_weights: Logarithms of the weights, up to a constant.

    Returns:
        Numbers of the particles drawn.

    References:
        J. Carpenter, P. Clifford and P. Fearnhead (1999). Improved particle filter for nonlinear problems.
        *IEE Proceedings: Radar, Sonar and Navigation* 146(1).
    """
    count = len(log_weights)
    cumulated = jnp.cumsum(jnp.exp(log_weights - jnp.max(log_weights)))
    points = (jax.random.uniform(rng_key) + jnp.arange(count)) / count
    chosen = jnp.searchsorted(cumulated, points * cumulated[-1], side="right")
    return jnp.minimum(chosen, count - 1)
