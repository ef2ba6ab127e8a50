"""How heavy the tail of importance weights is: the shape of a generalised Pareto law."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

_FEWEST_IN_TAIL = 5
# A prior of weight ten at one half steadies the shape of short tails.
_PRIOR_WEIGHT, _PRIOR_SHAPE = 10, 0.5


@dataclasses.dataclass(frozen=True)
class Tail:
    """The largest weights of a sample, divided by the largest, and the law fitted to them.

    Attributes:
        threshold: Weight above which the tail begins.
        excess: By how much the weights of the tail exceed it, in ascending order.
        shape: Shape of the generalised Pareto law of the excess.
    """

    threshold: float
    excess: Float[np.ndarray, " size"]
    shape: float

    @property
    def shape_error(self) -> float:
        """Standard error of the shape, that of maximum likelihood with the prior's weight."""
        return (1 + self.shape) / math.sqrt(len(self.excess) + _PRIOR_WEIGHT)


def pareto_k(log_weights: Float[np.ndarray, " n"]) -> float:
    r"""Tail shape $\hat k$ of importance weights.

    The largest $M = \lceil \min(n / 5, 3 \sqrt n) \rceil$ weights, less the next one, are taken for draws
    of a generalised Pareto law with density proportional to $(1 + k y / \sigma)^{-1/k - 1}$. Its moments of
    order $1/k$ and above do not exist: the mean of $n$ weights has a variance if $k < 1/2$, converges
    too slowly to be of use if $k > 0.7$, and does not exist if $k \ge 1$.

    Args:
        log_weights: Logarithms of the weights, up to a constant; $-\infty$ where a weight is 0.

    Returns:
        The shape, shrunk a little towards one half; NaN for fewer than 21 weights, and
        $-\infty$ if
        the largest weights are equal, since then there is no tail.

    References:
        J. Zhang and M. A. Stephens (2009). A new and efficient estimation method for the generalized
        Pareto distribution. *Technometrics* 51(3), 316-325.
        A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry (2024). Pareto smoothed importance sampling.
        *Journal of Machine Learning Research* 25(72).
    """
    if _tail_size(len(log_weights)) < _FEWEST_IN_TAIL:
        return math.nan
    tail = fit_tail(log_weights)
    return -math.inf if tail is None else tail.shape


def fit_tail(log_weights: Float[np.ndarray, " n"]) -> Tail | None:
    """Fit the tail of weights, as `pareto_k` describes; `None` where there is none or too little of it."""
    size = _tail_size(len(log_weights))
    if size < _FEWEST_IN_TAIL:
        return None
    ordered = np.sort(log_weights)[-size - 1 :]
    weights = np.exp(ordered - ordered[-1])
    excess = weights[1:] - weights[0]
    excess = excess[excess > 0]
    if len(excess) == 0 or excess[0] == excess[-1]:
        return None
    size, shape = len(excess), _fit_shape(excess)
    shape = (size * shape + _PRIOR_WEIGHT * _PRIOR_SHAPE) / (size + _PRIOR_WEIGHT)
    return Tail(float(weights[0]), excess, shape)


def _tail_size(count: int) -> int:
    return math.ceil(min(0.2 * count, 3 * math.sqrt(count)))


def _fit_shape(excess: Float[np.ndarray, " n"]) -> float:
    """Zhang and Stephens' mean of the profile likelihood over a grid of the ratio of the parameters."""
    count = len(excess)
    size = 30 + math.isqrt(count)
    quartile = excess[max(int(count / 4 + 0.5) - 1, 0)]
    nodes = np.arange(1, size + 1) - 0.5
    ratio = 1 / excess[-1] + (1 - np.sqrt(size / nodes)) / (3 * quartile)
    shape = np.mean(np.log1p(-np.outer(ratio, excess)), axis=1)
    log_likelihood = count * (np.log(-ratio / shape) - shape - 1)
    mass = np.exp(log_likelihood - log_likelihood.max())
    mean_ratio = np.sum(ratio * mass) / np.sum(mass)
    return float(np.mean(np.log1p(-mean_ratio * excess)))
