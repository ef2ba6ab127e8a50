"""A law with provenance: what it is, how to draw from it, and its density."""

import abc
import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey

FloatArray = npt.NDArray[np.float64]
"""An array on the host in double precision."""

_NEGLIGIBLE = 1e-30


class Estimate(NamedTuple):
    """A number from quadrature.

    Attributes:
        value: The number.
        error: Its estimated absolute error.
    """

    value: float
    error: float


@dataclasses.dataclass(frozen=True)
class AbstractLaw(abc.ABC):
    """A probability law on the line or in the plane that is known exactly.

    A subclass says how to draw from it, what its log density is, and which quadrature rule suits
    its density: the integrals follow.

    Attributes:
        name: Unique name.
        bounds: Per coordinate, an interval; together they hold all but `mass_outside`.
        mass_outside: Upper bound of the probability outside `bounds`.
        derivation: What the law is, and where its density comes from.
    """

    name: str
    bounds: tuple[tuple[float, float], ...]
    mass_outside: float
    derivation: str

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.bounds)

    @abc.abstractmethod
    def sample(self, rng_key: PRNGKey, num_samples: int) -> Float[Array, "n dim"]:
        """Draw independently and exactly, in the session's precision; JAX can trace it.

        Args:
            rng_key: Random key.
            num_samples: Number of draws.

        Returns:
            The draws, shape (num_samples, dim).
        """

    @abc.abstractmethod
    def log_density(self, points: FloatArray) -> FloatArray:
        """Normalised log density; minus infinity where the density is 0.

        Args:
            points: Points, shape (n, dim).

        Returns:
            Log densities, shape (n,), in double precision.
        """

    @abc.abstractmethod
    def rule(self, *, coarse: bool = False) -> tuple[FloatArray, FloatArray]:
        """Nodes and weights that integrate this density times a smooth function.

        Args:
            coarse: Whether to take the rule of half the nodes along each axis, whose distance from
                the full rule estimates the error.

        Returns:
            Nodes of shape (n, dim) and their weights against Lebesgue measure, shape (n,).
        """

    def nodes(self, *, coarse: bool = False) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Nodes of `rule` that carry mass, their probabilities, and their log densities."""
        return _nodes(self, coarse)

    def entropy(self) -> Estimate:
        r"""Differential entropy $-\int p \log p$ in nats, by quadrature.

        Examples:
            >>> from ebm_ppl.validation.datasets import two_normals
            >>> print(f"{two_normals().entropy().value:.6f}")
            1.418845
        """
        fine, half = (
            -float(masses @ log_density)
            for _, masses, log_density in (self.nodes(), self.nodes(coarse=True))
        )
        roundoff = 64 * float(np.finfo(np.float64).eps) * abs(fine)
        return Estimate(fine, abs(fine - half) + roundoff)


@functools.lru_cache(maxsize=16)  # one law is compared with many models
def _nodes(law: AbstractLaw, coarse: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    points, weights = law.rule(coarse=coarse)
    log_density = law.log_density(points)
    masses = weights * np.exp(log_density)
    keep = masses > _NEGLIGIBLE
    return points[keep], masses[keep], log_density[keep]


def trapezoid_rule(
    bounds: tuple[tuple[float, float], ...], num_intervals: int
) -> tuple[FloatArray, FloatArray]:
    """Tensor trapezoid rule; it converges exponentially where an analytic density dies at the ends.

    Args:
        bounds: Per coordinate, the range.
        num_intervals: Number of intervals along each axis.

    Returns:
        Nodes of shape (n, dim) and weights of shape (n,).
    """
    axes = [np.linspace(low, high, num_intervals + 1) for low, high in bounds]
    volume = float(np.prod([axis[1] - axis[0] for axis in axes]))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    # The end nodes' half weights are left out: the density is negligible there.
    return points, np.full(len(points), volume)


def widened(
    bounds: tuple[tuple[float, float], ...], factor: float
) -> tuple[tuple[float, float], ...]:
    """Intervals about the same centres, longer by a factor."""
    return tuple(
        ((low + high - factor * (high - low)) / 2, (low + high + factor * (high - low)) / 2)
        for low, high in bounds
    )


def split(rng_key: PRNGKey, num_keys: int) -> list[jax.Array]:
    """Independent keys, one for each source of randomness."""
    return list(jax.random.split(rng_key, num_keys))
