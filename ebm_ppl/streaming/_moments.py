"""Numbers, means and sums of squares of sets of draws, and how those of two sets make those of both."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array


class Moments(NamedTuple):
    """Moments of a set of draws.

    Attributes:
        count: Number of draws.
        mean: Their mean, an array.
        squares: Sum of squared distances from it, of the same shape.
    """

    count: Any
    mean: Any
    squares: Any

    def join(self, other: "Moments") -> "Moments":
        """Moments of both sets together (Chan, Golub & LeVeque 1983, Equation 2.1)."""
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        squares = self.squares + other.squares + gap**2 * (self.count * other.count / count)
        return Moments(count, mean, squares)


def chain_moments(values: Array) -> Moments:
    """Moments of each chain: of an array `(chains, length, ...)`, each of shape `(chains, ...)`."""
    mean = jnp.mean(values, axis=1)
    return Moments(values.shape[1], mean, jnp.sum((values - mean[:, None]) ** 2, axis=1))
