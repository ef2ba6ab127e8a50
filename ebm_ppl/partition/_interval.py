"""Confidence intervals for the logarithm of a mean of positive, skewed weights."""

import numpy as np
from jaxtyping import Float
from scipy import special

from ebm_ppl.partition._replicates import log_mean, replicate_size, studentised_replicates

_DISAGREEMENT = 2.0  # standard errors


def log_mean_interval(log_weights: Float[np.ndarray, " n"], level: float) -> tuple[float, float]:
    r"""Interval for $\log E[w]$ by a smoothed, studentised bootstrap.

    The delta method takes $t = (\log \bar w - \log E[w]) / s$ for normal. But skewed weights give too
    small a mean together with too small an error: $t$ has a long left tail, and the interval misses
    from below. Here the quantiles of $t$ come from replicates. Resampling the weights themselves would
    know of no weight larger than those seen, so replicates are drawn from fitted laws, of which there are
    two, and each end of the interval is the farther one of the two that they give.

    The first is a law of all *log* weights: a shifted gamma law with their variance and skewness, of either
    sign. Normal log weights are its limit; its weights have a tail of Pareto's form if it leans right, and
    $E[w]$ in closed form. It is exact for the work of quadratic energies. The second is a law of the
    largest weights, the generalised Pareto law by which
    [`pareto_k`][ebm_ppl.partition.pareto_k] judges them, above resampled ones; it needs 21 weights. The
    parameters vary from one replicate to the next as far as $n$ weights leave them uncertain.

    A law whose mean is more than two standard errors from that of the weights does not describe them, and
    is left out. Where neither serves, replicates resample the weights.

    Args:
        log_weights: Logarithms of at least two independent weights; $-\infty$ where a weight is 0.
        level: Probability that the interval is to cover $\log E[w]$.

    Returns:
        Lower and upper end. The random numbers are always the same, so weights determine them.

    References:
        P. Hall (1988). Theoretical comparison of bootstrap confidence intervals. *Annals of
        Statistics* 16(3).
        A. C. Davison and D. V. Hinkley (1997). *Bootstrap Methods and their Application*, sections 3.3 and
        5.2. Cambridge University Press.
    """
    estimate, error = (float(value) for value in log_mean(log_weights))
    if not error > 0:
        return estimate, estimate
    count = len(log_weights)
    probabilities = np.array([(1 - level) / 2, (1 + level) / 2])
    normal = special.ndtri(probabilities)
    low, high = np.inf, -np.inf
    for studentised in studentised_replicates(log_weights, _DISAGREEMENT):
        quantiles = np.quantile(studentised, probabilities)
        quantiles = normal + (quantiles - normal) * np.sqrt(replicate_size(count) / count)
        low = min(low, estimate - float(quantiles[1]) * error)
        high = max(high, estimate - float(quantiles[0]) * error)
    return low, high
