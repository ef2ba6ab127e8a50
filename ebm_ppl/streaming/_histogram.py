"""Counts of draws in bins, in one pass."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ebm_ppl._checks import check_count, check_finite, check_positive
from ebm_ppl.streaming._base import AbstractReduction, itself


class HistogramResult(NamedTuple):
    """How many draws fell into each bin. The first axes of `counts` are those of the quantity.

    Attributes:
        edges: Ends of the bins, in rising order; shape `(bins + 1,)`.
        counts: Number of draws in each bin, which holds its lower end; shape `(..., bins)`.
        below: Number of draws below the first bin; NaN is counted here.
        above: Number of draws from the end of the last bin on.
    """

    edges: Float[np.ndarray, " edges"]
    counts: Int[np.ndarray, "... bins"]
    below: Int[np.ndarray, "..."]
    above: Int[np.ndarray, "..."]

    def quantile(self, level: float) -> Float[np.ndarray, "..."]:
        """The quantile, by linear interpolation inside its bin; infinite if it lies outside of all.

        Args:
            level: Share of the draws below it, between 0 and 1.

        Returns:
            The quantile of each entry of the quantity.

        Raises:
            ValueError: If `level` is not between 0 and 1.
        """
        if not 0 <= level <= 1:
            raise ValueError(f"`level` must be a number in [0, 1]; got {level!r}.")
        cumulated = np.concatenate([np.zeros_like(self.below)[..., None], self.counts], axis=-1)
        cumulated = self.below[..., None] + np.cumsum(cumulated, axis=-1)
        wanted = level * (cumulated[..., -1] + self.above)
        rows = zip(cumulated.reshape(-1, len(self.edges)), wanted.ravel(), strict=True)
        found = [np.interp(want, row, self.edges, left=-np.inf, right=np.inf) for row, want in rows]
        return np.reshape(found, self.below.shape)


class Histogram(AbstractReduction):
    """Counts of a quantity in bins of equal width.

    Args:
        low: Lower end of the first bin.
        high: Upper end of the last bin.
        num_bins: Number of bins.
        of: Function of one draw to an array or a pytree of arrays; the draw itself by default.

    Raises:
        ValueError: If `high` is not above `low`, an end is not finite, or there is no bin.
    """

    def __init__(self, low: float, high: float, num_bins: int = 100, *, of: Any = itself) -> None:
        super().__init__(of)
        check_finite("low", low)
        check_finite("high", high)
        check_positive("high - low", high - low)
        check_count("num_bins", num_bins, 1)
        self._edges = np.linspace(low, high, num_bins + 1)

    def partial(self, values: Any) -> Any:
        """Counts of each leaf, below, in and above the bins."""
        return jax.tree.map(self._count, values)

    def _count(self, values: Array) -> Array:
        """Counts of shape `(..., bins + 2)` of values of shape `(chains, length, ...)`."""
        low, high, num_bins = self._edges[0], self._edges[-1], len(self._edges) - 1
        share = (values - low) / (high - low)
        guess = jnp.nan_to_num(jnp.floor(share * num_bins), nan=-1.0)
        index = jnp.clip(guess, -1, num_bins).astype(int) + 1
        # Rounding may have put a value beside its bin; the bins at either end reach to infinity.
        ends = jnp.asarray(np.concatenate([[-np.inf], self._edges, [np.inf]]), share.dtype)
        index = index - (values < ends[index]) + (values >= ends[index + 1])
        index = jnp.minimum(index, num_bins + 1)
        rows = index.reshape(index.shape[0] * index.shape[1], -1)
        counts = jax.vmap(lambda row: jnp.bincount(row, length=num_bins + 2), in_axes=1)(rows)
        return counts.reshape(*values.shape[2:], num_bins + 2)

    def merge(self, total: Any, partial: Any, is_second_half: bool) -> Any:  # noqa: ARG002
        """Add the counts."""
        counts = jax.tree.map(lambda leaf: np.asarray(leaf, np.int64), partial)
        return counts if total is None else jax.tree.map(np.add, total, counts)

    def result(self, total: Any) -> Any:
        """A `HistogramResult` for each leaf of what `of` returns."""
        return jax.tree.map(
            lambda counts: HistogramResult(
                self._edges, counts[..., 1:-1], counts[..., 0], counts[..., -1]
            ),
            total,
        )
