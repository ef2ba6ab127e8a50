"""How judges of draws read two samples, and their features."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ebm_ppl._checks import check_finite

Features = Callable[[Any], Any]
"""Maps a batch of points to features of shape `(num, num_features)`."""


def as_features(
    names: tuple[str, str], samples: tuple[Any, Any], features: Features | None, least: int
) -> tuple[Float[np.ndarray, "num dim"], Float[np.ndarray, "num2 dim"]]:
    """Features of two samples, in double precision; of the points themselves, flattened, by default.

    Args:
        names: Names of the two arguments.
        samples: The samples, each of shape `(num, *event_shape)`.
        features: What maps a sample to its features, or `None`.
        least: Least number of points of each.

    Raises:
        ValueError: If a sample is too small or not finite, their points differ in shape, or `features` does
            not give as many finite vectors.
    """
    first, second = (_as_sample(*pair, least) for pair in zip(names, samples, strict=True))
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"Points of `{names[0]}` and `{names[1]}` must have one shape; got {first.shape[1:]} and "
            f"{second.shape[1:]}."
        )
    return _features_of(first, features), _features_of(second, features)


def _as_sample(name: str, sample: Any, least: int) -> np.ndarray:
    check_finite(name, sample)
    array = np.asarray(sample)
    if array.ndim == 0 or len(array) < least:
        raise ValueError(
            f"Expected `{name}` of shape (num, *event_shape) with num >= {least}; got {array.shape}."
        )
    return array


def _features_of(sample: np.ndarray, features: Features | None) -> Float[np.ndarray, "num dim"]:
    found = sample.reshape(len(sample), -1) if features is None else features(sample)
    check_finite("features", found)
    vectors = np.asarray(found, np.float64)
    if vectors.ndim != 2 or len(vectors) != len(sample):
        raise ValueError(
            f"`features` must map {len(sample)} points to an array of shape ({len(sample)}, "
            f"num_features); got {vectors.shape}."
        )
    return vectors


def share_interval(count: int, num: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, of which `count` of `num` independent points tell."""
    from scipy import stats

    interval = stats.binomtest(count, num).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)
