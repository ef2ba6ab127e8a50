"""Do two samples follow one law? A test by a classifier that is to tell them apart."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float
from scipy.spatial.distance import cdist

from ebm_ppl._checks import check_choice, check_count, check_interval, check_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.tasks._permutations import p_value_of_first, permuted_rows
from ebm_ppl.tasks._samples import Features, as_features, share_interval

CLASSIFIERS = ("nearest_neighbours", "logistic")

NEIGHBOURS = 5
"""Neighbours that vote: an odd number, so that no vote is a draw."""

RIDGE = 0.01
"""Penalty of half the squared weights, beside the mean loss.

Without it the weights grow for ever where a hyperplane separates two small samples.
"""

NUM_STEPS = 50
"""Steps of the iteration, after which no prediction changes on samples of some hundred points."""


class ClassifierTest(NamedTuple):
    """Whether a classifier tells two samples apart.

    Attributes:
        accuracy: Share of points that it assigns to their sample, trained without them; 1/2 on average, or
            slightly below, where the samples are alike.
        p_value: Probability of one as large under one law, by permutation.
        interval: Confidence interval for the accuracy, of points that are independent given the classifier.
        num_points: Number of points of each sample that took part.
    """

    accuracy: float
    p_value: float
    interval: tuple[float, float]
    num_points: int


def classifier_two_sample_test(
    x: Any,
    y: Any,
    *,
    rng_key: PRNGKey,
    classifier: str = "nearest_neighbours",
    features: Features | None = None,
    num_folds: int = 5,
    num_permutations: int = 999,
    confidence: Any = 0.95,
) -> ClassifierTest:
    r"""Test whether two samples follow one law, by a classifier's accuracy on points it has not seen.

    As many points of either sample are split into folds, and each fold is classified by a classifier
    that is trained on the others:

    - `"nearest_neighbours"`: the majority among the five nearest points. It sees any difference that is large
      where there are points.
    - `"logistic"`: a linear logistic regression, with a small penalty, of standardised features. It sees
      differences in the means, and those well.

    Errors of different folds depend on one another, as classifiers share points; so the binomial law of
    their number, which Lopez-Paz & Oquab (2017) use for one split, does not hold. Instead labels are permuted
    $B$ times within folds and everything is trained again, $p = (1 + \#\{b : a_b \ge a\}) / (1 + B)$: for
    independent points $P(p \le \alpha) \le \alpha$ at any size of the samples.

    Args:
        x: The first sample, shape `(num, *event_shape)`.
        y: The second sample, shape `(num2, *event_shape)`. Of the larger one a random part is used, as large
            as the other, so that 1/2 is the accuracy of guessing.
        rng_key: Key of the choice of points, the folds and the permutations.
        classifier: The classifier, as above.
        features: A function from a batch of points to features of shape `(num, num_features)`; by default the
            points themselves, flattened.
        num_folds: Number of folds.
        num_permutations: Number $B$ of permutations. The p-value is at least $1 / (1 + B)$.
        confidence: Confidence of the interval for the accuracy, by Clopper and Pearson.

    Returns:
        The accuracy with its p-value and interval.

    Raises:
        ValueError: If an argument is outside its bounds, a sample has less than ten points or
            two for each fold, is not finite, or the points differ in shape.

    Examples:
        >>> import jax
        >>> from ebm_ppl.tasks import classifier_two_sample_test
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 200, 2))
        >>> found = classifier_two_sample_test(x, 2.0 * y, rng_key=jax.random.key(1))
        >>> found.p_value, found.accuracy > 0.55
        (0.001, True)

    References:
        D. Lopez-Paz and M. Oquab (2017). Revisiting classifier two-sample tests. *International Conference on
        Learning Representations*.
        I. Kim, A. Ramdas, A. Singh and L. Wasserman (2021). Classification accuracy as a proxy for two-sample
        testing. *Annals of Statistics* 49, section 9.
        D. Böhning and B. G. Lindsay (1988). Monotonicity of quadratic-approximation algorithms. *Annals of
        the Institute of Statistical Mathematics* 40.
    """
    check_key("rng_key", rng_key)
    check_choice("classifier", classifier, CLASSIFIERS)
    check_count("num_folds", num_folds, 2)
    check_count("num_permutations", num_permutations)
    check_interval("confidence", confidence, 0.0, 1.0)
    first, second = as_features(("x", "y"), (x, y), features, least=max(10, 2 * num_folds))
    key_folds, key_labels = jax.random.split(rng_key)
    folds = _folds(key_folds, first, second, num_folds)
    in_fold = folds.shape[1] // 2
    labels = np.tile(np.repeat([1.0, 0.0], in_fold), (num_folds, 1))
    splits = permuted_rows(key_labels, labels, num_permutations)
    num_right = _NUM_RIGHT[classifier](folds, splits)
    num_all = 2 * num_folds * in_fold
    observed = int(num_right[0])
    return ClassifierTest(
        observed / num_all,
        p_value_of_first(num_right.astype(np.float64)),
        share_interval(observed, num_all, float(confidence)),
        num_folds * in_fold,
    )


def _folds(
    rng_key: PRNGKey,
    first: Float[np.ndarray, "num dim"],
    second: Float[np.ndarray, "num2 dim"],
    num_folds: int,
) -> Float[np.ndarray, "folds points dim"]:
    """Random folds, each with as many points of the first sample, which come first, as of the second."""
    in_fold = min(len(first), len(second)) // num_folds
    chosen = [
        sample[np.asarray(jax.random.permutation(key, len(sample)))[: num_folds * in_fold]]
        for key, sample in zip(jax.random.split(rng_key), (first, second), strict=True)
    ]
    parts = [sample.reshape(num_folds, in_fold, -1) for sample in chosen]
    return np.concatenate(parts, axis=1)


def _right_of_neighbours(
    folds: Float[np.ndarray, "folds points dim"], splits: Float[np.ndarray, "splits folds points"]
) -> np.ndarray:
    """Number of points that their neighbours in other folds assign right, for each split."""
    num_folds, in_fold = folds.shape[:2]
    pooled = folds.reshape(num_folds * in_fold, -1)
    distances = cdist(pooled, pooled, "sqeuclidean")
    fold = np.repeat(np.arange(num_folds), in_fold)
    distances[fold[:, None] == fold] = np.inf
    nearest = np.argpartition(distances, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    labels = splits.reshape(len(splits), -1)
    votes = sum(labels[:, column] for column in nearest.T)
    return np.sum((votes > NEIGHBOURS / 2) == labels, axis=1)


def _right_of_logistic(
    folds: Float[np.ndarray, "folds points dim"], splits: Float[np.ndarray, "splits folds points"]
) -> np.ndarray:
    """Number of points that logistic regression on the other folds assigns right, for each split."""
    pooled = folds.reshape(-1, folds.shape[2])
    spread = pooled.std(axis=0)
    standard = (folds - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    with_intercept = np.concatenate([standard, np.ones((*folds.shape[:2], 1))], axis=2)
    total = np.zeros(len(splits), int)
    for held_out in range(len(folds)):
        others = np.arange(len(folds)) != held_out
        train = with_intercept[others].reshape(-1, with_intercept.shape[2])
        labels = splits[:, others].reshape(len(splits), -1)
        logits = _logits(*map(jnp.asarray, (train, labels, with_intercept[held_out])))
        total += np.sum((np.asarray(logits) > 0) == splits[:, held_out], axis=1)
    return total


@jax.jit
def _logits(
    train: Float[Array, "num dim"],
    labels: Float[Array, "splits num"],
    held_out: Float[Array, "points dim"],
) -> Float[Array, "splits points"]:
    """Logits of points by regressions of many labels on the same features.

    The curvature of the loss is at most a quarter at every logit. With this bound in place of the curvature
    itself all regressions share one factorised matrix, and each step lowers the loss (Böhning & Lindsay).
    """
    num, dim = train.shape
    penalty = RIDGE * jnp.eye(dim).at[-1, -1].set(1e-6 / RIDGE)  # the intercept goes free
    factor = cho_factor(0.25 * train.T @ train / num + penalty)

    def step(_: Any, weights: Float[Array, "splits dim"]) -> Float[Array, "splits dim"]:
        residuals = jax.nn.sigmoid(weights @ train.T) - labels
        gradient = residuals @ train / num + weights @ penalty
        return weights - cho_solve(factor, gradient.T).T

    start = jnp.zeros((len(labels), dim))
    return jax.lax.fori_loop(0, NUM_STEPS, step, start) @ held_out.T


_NUM_RIGHT = {"nearest_neighbours": _right_of_neighbours, "logistic": _right_of_logistic}
