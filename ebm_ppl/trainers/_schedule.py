"""Decays that change from step to step."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ebm_ppl._checks import check_count


def polyak_averaging(start: int) -> Callable[[Any], Array]:
    r"""Decay of a plain average over all steps from `start` on, for the argument `ema_decay` of `fit`.

    The average after step $t \ge s$ is $\bar\theta_t = \frac{1}{t - s + 1} \sum_{u = s}^t \theta_u$;
    before $s$ it is $\theta_t$ itself. Refused steps do not count.

    Args:
        start: First step $s$ whose parameters count.

    Returns:
        The decay as a function of the number of steps taken.

    Raises:
        ValueError: If `start` is no integer or negative.

    Examples:
        >>> from ebm_ppl.trainers import polyak_averaging
        >>> decay = polyak_averaging(start=2)
        >>> [float(decay(step)) for step in (0, 2, 3, 5)]
        [0.0, 0.0, 0.5, 0.75]

    References:
        B. T. Polyak and A. B. Juditsky (1992). Acceleration of stochastic approximation by averaging.
        *SIAM Journal on Control and Optimization* 30(4), 838-855.
    """
    check_count("start", start, 0)

    def decay(step: Any) -> Array:
        count = jnp.maximum(jnp.asarray(step, dtype=float) - start, 0.0)
        return count / (count + 1)

    return decay
