"""Precision and recall of draws: how much of them is real, and how much of what is real they reach."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

from ebm_ppl._checks import check_count, check_interval
from ebm_ppl.tasks._samples import Features, as_features, share_interval


class PrecisionRecall(NamedTuple):
    """How two samples overlap.

    Attributes:
        precision: Share of draws that lie where real points are.
        recall: Share of real points that lie where draws are.
        precision_interval: Confidence interval for the precision, given the real points.
        recall_interval: Confidence interval for the recall, given the draws.
    """

    precision: float
    recall: float
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]


def precision_recall(
    real: Any,
    draws: Any,
    *,
    k: int = 3,
    features: Features | None = None,
    confidence: Any = 0.95,
) -> PrecisionRecall:
    r"""Precision and recall of draws, by the nearest neighbours of real points and of draws.

    Each point of a sample $A$ stands for the ball about it that reaches its $k$-th nearest neighbour in $A$;
    the balls together stand for where the law of $A$ has mass. With the radii $r_k$,

    $$\text{precision} = \frac{1}{m} \sum_{j=1}^m \mathbf{1}\left[\exists i : \lVert y_j - x_i \rVert \le
    r_k(x_i)\right], \qquad
    \text{recall} = \frac{1}{n} \sum_{i=1}^n \mathbf{1}\left[\exists j : \lVert x_i - y_j \rVert \le
    r_k(y_j)\right]$$

    of real points $x_i$ and draws $y_j$. Draws that are not real lower the precision, modes that they miss
    lower the recall. Two samples of one law do not reach 1: on the line, with $k = 1$ and many
    points, both are 3/4. So compare with two samples of real points, of the same sizes.

    Intervals are those of Clopper and Pearson: they hold for the share of one sample's law that the other
    covers, and leave the chance in that other sample out.

    Args:
        real: Real points, shape `(num, *event_shape)`.
        draws: Draws, shape `(num2, *event_shape)`.
        k: The neighbour that a ball reaches; Kynkäänniemi et al. take 3.
        features: A function from a batch of points to features of shape `(num, num_features)`; by default the
            points themselves, flattened.
        confidence: Confidence of each interval.

    Returns:
        Precision and recall with an interval for each.

    Raises:
        ValueError: If an argument is outside its bounds, a sample has no more than `k` points or is not
            finite, or the points differ in shape.

    Examples:
        >>> import numpy as np
        >>> from ebm_ppl.tasks import precision_recall
        >>> rng = np.random.default_rng(0)
        >>> real, draws = (
        ...     rng.uniform(0, 1, (2000, 1)),
        ...     rng.uniform(0, 0.5, (2000, 1)),
        ... )  # half is missed
        >>> found = precision_recall(real, draws)
        >>> found.precision > 0.9, found.recall < 0.55
        (True, True)

    References:
        T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen and T. Aila (2019). Improved precision and recall
        metric for assessing generative models. *Advances in Neural Information Processing Systems* 32,
        equations 1 and 2.
    """
    check_count("k", k)
    check_interval("confidence", confidence, 0.0, 1.0)
    first, second = as_features(("real", "draws"), (real, draws), features, least=k + 1)
    across = cdist(first, second)
    is_real = np.any(across <= _radii(first, k)[:, None], axis=0)
    is_reached = np.any(across <= _radii(second, k), axis=1)
    return PrecisionRecall(
        float(is_real.mean()),
        float(is_reached.mean()),
        _interval(is_real, float(confidence)),
        _interval(is_reached, float(confidence)),
    )


def _radii(sample: Float[np.ndarray, "num dim"], k: int) -> Float[np.ndarray, " num"]:
    """Distance of each point to its k-th nearest neighbour; it is itself the nearest of all."""
    return np.partition(cdist(sample, sample), k, axis=1)[:, k]


def _interval(is_inside: Bool[np.ndarray, " num"], confidence: float) -> tuple[float, float]:
    return share_interval(int(is_inside.sum()), len(is_inside), confidence)
