"""Do two samples follow one law? A test by the mean distance that a kernel sees."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from ebm_ppl._checks import check_count, check_key, check_positive
from ebm_ppl._types import PRNGKey
from ebm_ppl.tasks._permutations import p_value_of_first, permuted_rows
from ebm_ppl.tasks._samples import Features, as_features

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Bandwidths in units of the median distance; their mixture sees differences of several sizes."""


class KernelTest(NamedTuple):
    r"""Whether two samples follow one law, by a kernel.

    Attributes:
        squared_mmd: Unbiased estimate of the squared maximum mean discrepancy; it may be negative.
        p_value: Probability of one as large under one law, by permutation.
        bandwidths: Standard deviations of the Gaussian kernels whose mean is the kernel.
    """

    squared_mmd: float
    p_value: float
    bandwidths: tuple[float, ...]


def kernel_two_sample_test(
    x: Any,
    y: Any,
    *,
    rng_key: PRNGKey,
    features: Features | None = None,
    bandwidths: Any = None,
    num_permutations: int = 999,
) -> KernelTest:
    r"""Test whether two samples follow one law, by their maximum mean discrepancy.

    With the kernel $k$, a mean of Gaussian kernels of several bandwidths $h$, the statistic is

    $$\widehat{\text{MMD}}^2 = \frac{1}{n (n - 1)} \sum_{i \ne j} k(x_i, x_j)
    + \frac{1}{m (m - 1)} \sum_{i \ne j} k(y_i, y_j) - \frac{2}{n m} \sum_{i, j} k(x_i, y_j), \qquad
    k(a, b) = \frac{1}{|H|} \sum_{h \in H} e^{-\lVert a - b \rVert^2 / 2 h^2},$$

    an unbiased estimate of a distance that is 0 for equal laws alone. The p-value compares it with $B$ random
    splits of all points into samples of these sizes, $p = (1 + \#\{b : T_b \ge T\}) / (1 + B)$: for
    independent points $P(p \le \alpha) \le \alpha$ at any size of the samples. Draws of a chain depend on one
    another; take end states of many chains, or thin them.

    Args:
        x: The first sample, shape `(num, *event_shape)`.
        y: The second sample, shape `(num2, *event_shape)`.
        rng_key: Key of the permutations.
        features: A function from a batch of points to features of shape `(num, num_features)`; by default the
            points themselves, flattened.
        bandwidths: Standard deviations $H$ of the kernels, in units of the features; by default 1/4, 1/2, 1,
            2 and 4 times the median distance between any two points of both samples.
        num_permutations: Number $B$ of permutations. The p-value is at least $1 / (1 + B)$.

    Returns:
        The statistic and its p-value.

    Raises:
        ValueError: If an argument is outside its bounds, a sample has less than two points or is not
            finite, the points differ in shape, or half of all pairs are the same point.

    Examples:
        >>> import jax
        >>> from ebm_ppl.tasks import kernel_two_sample_test
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 100, 2))
        >>> kernel_two_sample_test(x, y + 1.0, rng_key=jax.random.key(1)).p_value
        0.001

    References:
        A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schölkopf and A. Smola (2012). A kernel two-sample test.
        *Journal of Machine Learning Research* 13, lemma 6.
        B. Phipson and G. K. Smyth (2010). Permutation p-values should never be zero. *Statistical
        Applications in Genetics and Molecular Biology* 9.
    """
    check_key("rng_key", rng_key)
    check_count("num_permutations", num_permutations)
    first, second = as_features(("x", "y"), (x, y), features, least=2)
    pooled = np.concatenate([first, second])
    squares = cdist(pooled, pooled, "sqeuclidean")
    widths = _bandwidths(bandwidths, squares)
    kernel = np.mean([np.exp(-0.5 * squares / width**2) for width in widths], axis=0)
    np.fill_diagonal(kernel, 0.0)  # a point with itself
    labels = np.repeat([1.0, 0.0], [len(first), len(second)])
    splits = permuted_rows(rng_key, labels[None], num_permutations)[:, 0]
    statistics = _squared_mmd(kernel, splits)
    return KernelTest(float(statistics[0]), p_value_of_first(statistics), widths)


def _bandwidths(bandwidths: Any, squares: Float[np.ndarray, "num num"]) -> tuple[float, ...]:
    if bandwidths is not None:
        widths = np.atleast_1d(bandwidths)
        for width in widths.tolist():
            check_positive("bandwidths", width)
        return tuple(float(width) for width in widths)
    median = float(np.median(np.sqrt(squares[np.triu_indices(len(squares), 1)])))
    if median == 0:
        raise ValueError(
            "`bandwidths` must be given where half of all pairs of points are one point, as the median "
            "distance is 0; got None."
        )
    return tuple(scale * median for scale in SCALES)


def _squared_mmd(
    kernel: Float[np.ndarray, "num num"], labels: Float[np.ndarray, "splits num"]
) -> Float[np.ndarray, " splits"]:
    """The statistic for each split, of which 1 marks the first sample."""
    num_first = labels[0].sum()
    num_second = len(kernel) - num_first
    rows = labels @ kernel
    within_first = np.sum(rows * labels, axis=1)
    across = np.sum(rows, axis=1) - within_first
    within_second = kernel.sum() - within_first - 2 * across
    return (
        within_first / (num_first * (num_first - 1))
        + within_second / (num_second * (num_second - 1))
        - 2 * across / (num_first * num_second)
    )
