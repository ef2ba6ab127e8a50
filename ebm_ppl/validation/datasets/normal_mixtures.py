"""Mixtures of isotropic normal laws: the ring of eight in the plane, and two on the line."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.datasets._base import (
    AbstractLaw,
    FloatArray,
    split,
    trapezoid_rule,
    widened,
)

_WIDENING = 1.3
_NUM_INTERVALS = {1: 2048, 2: 320}


@dataclasses.dataclass(frozen=True)
class NormalMixture(AbstractLaw):
    r"""Equal shares of $N(m_k, s^2 I)$.

    Attributes:
        centers: The means $m_k$, one tuple of coordinates each.
        scale: The standard deviation $s$.
    """

    centers: tuple[tuple[float, ...], ...]
    scale: float

    def sample(self, rng_key: PRNGKey, num_samples: int) -> Float[Array, "n dim"]:
        """Draw a centre and add normal noise."""
        pick, noise = split(rng_key, 2)
        centers = jnp.asarray(self.centers, dtype=float)
        index = jax.random.randint(pick, (num_samples,), 0, len(self.centers))
        return centers[index] + self.scale * jax.random.normal(noise, (num_samples, self.dim))

    def log_density(self, points: FloatArray) -> FloatArray:
        """Closed form."""
        offset = (np.asarray(points)[:, None, :] - np.asarray(self.centers)) / self.scale
        log_terms = -0.5 * np.sum(offset**2, axis=-1)
        normalizer = math.log(len(self.centers)) + self.dim * (
            math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        )
        return np.asarray(special.logsumexp(log_terms, axis=1)) - normalizer

    def rule(self, *, coarse: bool = False) -> tuple[FloatArray, FloatArray]:
        """Trapezoid rule on the widened bounds."""
        num_intervals = _NUM_INTERVALS[self.dim] // (2 if coarse else 1)
        return trapezoid_rule(widened(self.bounds, _WIDENING), num_intervals)


def eight_gaussians() -> NormalMixture:
    r"""Eight normal laws of standard deviation $1/2\sqrt2$ on a circle of radius $2\sqrt2$.

    Examples:
        >>> from ebm_ppl.validation.datasets import eight_gaussians
        >>> print(f"{eight_gaussians().entropy().value:.6f}")
        2.831578
    """
    radius, scale = 2 * math.sqrt(2), 0.5 / math.sqrt(2)
    angles = [2 * math.pi * k / 8 for k in range(8)]
    return NormalMixture(
        name="8_gaussians",
        bounds=((-5.0, 5.0),) * 2,
        # Each coordinate leaves the interval by at least 5 - radius = 6.1 standard deviations.
        mass_outside=4 * float(special.ndtr(-(5 - radius) / scale)),
        derivation=(
            "Radius 4 and noise 0.5, both divided by the square root of 2, as in the toys of "
            "Grathwohl et al., FFJORD (2019)."
        ),
        centers=tuple((radius * math.cos(angle), radius * math.sin(angle)) for angle in angles),
        scale=scale,
    )


def two_normals() -> NormalMixture:
    r"""$\frac12 N(-2, \frac14) + \frac12 N(2, \frac14)$ on the line.

    Examples:
        >>> import jax
        >>> from ebm_ppl.validation.datasets import two_normals
        >>> two_normals().sample(jax.random.key(0), 5000).shape
        (5000, 1)
    """
    return NormalMixture(
        name="two_normals",
        bounds=((-5.0, 5.0),),
        mass_outside=2 * float(special.ndtr(-6.0)),
        derivation="Two well separated modes of equal weight; the density is a sum of two terms.",
        centers=((-2.0,), (2.0,)),
        scale=0.5,
    )
