"""Inverse temperatures along a path: given, or chosen by how much of a sample survives each step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_positive
from ebm_ppl._types import Scalar

_BISECTIONS = 30


def power_schedule(num_steps: int, power: float = 1.0) -> Float[np.ndarray, " num_steps_plus_1"]:
    r"""Inverse temperatures $(k / K)^p$ for $k = 0, \dots, K$.

    Args:
        num_steps: The number $K$ of steps.
        power: The exponent $p$: 1 spaces them evenly, larger ones more densely near the base law.

    Returns:
        Numbers that rise from 0 to 1, shape `(num_steps + 1,)`.

    Raises:
        ValueError: If `num_steps` is no positive integer or `power` is not positive.

    Examples:
        >>> from ebm_ppl.annealing import power_schedule
        >>> power_schedule(4, power=2.0)
        array([0.    , 0.0625, 0.25  , 0.5625, 1.    ])
    """
    check_count("num_steps", num_steps)
    check_positive("power", power)
    return (np.arange(num_steps + 1) / num_steps) ** power


def conditional_ess(
    log_weights: Float[Array, " n"], log_ratios: Float[Array, " n"]
) -> Float[Array, ""]:
    r"""Conditional effective sample size of a step, as a share of the particles.

    $$\frac{\left(\sum_i W_i v_i\right)^2}{\sum_i W_i v_i^2},$$
    with normalised weights $W_i$ before the step and its own weights $v_i$: how well the law before stands
    for the law after, whatever weights have gathered before.

    Args:
        log_weights: Logarithms of the weights before, up to a constant.
        log_ratios: Logarithms of the step's weights.

    Returns:
        A number in $[0, 1]$.

    References:
        Y. Zhou, A. M. Johansen and J. A. D. Aston (2016). Toward automatic model comparison: an adaptive
        sequential Monte Carlo approach. *Journal of Computational and Graphical Statistics* 25(3).
    """
    log_weights = log_weights - logsumexp(log_weights)
    first, second = (logsumexp(log_weights + order * log_ratios) for order in (1, 2))
    return jnp.exp(2 * first - second)


def reverse_conditional_ess(log_ratios: Float[Array, " n"]) -> Float[Array, ""]:
    r"""Conditional effective sample size of the step back, from particles that stand before the step.

    $$\frac{n^2}{\sum_i v_i \sum_i v_i^{-1}}$$

    estimates how well the law after a step stands for the law before it: draws of the former are those of
    the latter with weights $v_i$. Where a target has lighter tails than its base law, $v_i$ nearly
    vanishes in the tails, and this is what keeps the first steps short.

    Args:
        log_ratios: Logarithms of the step's weights at equally weighted particles; those of weight 0 are
            outside the support of the law after and do not count.

    Returns:
        A number in $[0, 1]$.
    """
    inside = log_ratios > -jnp.inf
    inverse = logsumexp(jnp.where(inside, -log_ratios, -jnp.inf))
    return jnp.exp(2 * jnp.log(jnp.sum(inside)) - logsumexp(log_ratios) - inverse)


def next_inverse_temperature(
    step_ess: Callable[[Scalar], Scalar], start: Scalar, threshold: Scalar
) -> Scalar:
    r"""The farthest inverse temperature whose conditional effective sample size keeps to a threshold.

    Args:
        step_ess: Maps $\beta'$ to the conditional effective sample size of the step to it.
        start: Where the step begins, $\beta$.
        threshold: Least conditional effective sample size, a share.

    Returns:
        $\beta'$ in $(\beta, 1]$, by bisection.
    """

    def halve(_: Array | int, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = (low + high) / 2
        keeps = step_ess(middle) >= threshold
        return jnp.where(keeps, middle, low), jnp.where(keeps, high, middle)

    one = jnp.ones_like(start)
    _, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (start, one))
    return jnp.where(step_ess(one) >= threshold, one, high)
