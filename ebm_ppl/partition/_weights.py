"""Weights of points, from their logarithms."""

import numpy as np
from jaxtyping import Float


def shares(log_weights: Float[np.ndarray, " n"] | None, count: int) -> Float[np.ndarray, " n"]:
    """Weights that add up to 1.

    Args:
        log_weights: Logarithms of the weights, up to a constant; `None` if all points are alike.
        count: Number of points.

    Returns:
        The weights.
    """
    weights = np.ones(count) if log_weights is None else np.exp(log_weights - np.max(log_weights))
    return weights / weights.sum()


def effective_sample_size(weights: Float[np.ndarray, " n"]) -> float:
    """How many points alike tell as much as these; of weights that add up to 1."""
    return float(1 / np.sum(weights**2))
