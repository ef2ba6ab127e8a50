"""Two interleaved half circles with normal noise."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.datasets._base import AbstractLaw, FloatArray, split, trapezoid_rule

_RADIUS = 2.0
_CENTERS = ((-1.0, -0.2), (1.0, 0.8))
_NUM_INTERVALS = 240
_CHUNK = 8192


@dataclasses.dataclass(frozen=True)
class TwoMoons(AbstractLaw):
    r"""A uniform point of the upper or the lower half circle, plus $N(0, s^2 I)$ with $s = 0.2$.

    With $\theta$ uniform on $[0, \pi]$, the upper moon is $c_1 + 2(\cos\theta, \sin\theta)$ and the
    lower one $c_2 - 2(\cos\theta, \sin\theta)$. The density is an average over $\theta$, here by
    Gauss-Legendre quadrature: 128 nodes give the log density to 1e-11 within `bounds`.

    Attributes:
        scale: The standard deviation $s$ of the noise.
        num_angles: Number of nodes in $\theta$.

    Examples:
        >>> from ebm_ppl.validation.datasets import TwoMoons
        >>> print(f"{TwoMoons().entropy().value:.6f}")
        2.393879
    """

    name: str = "two_moons"
    bounds: tuple[tuple[float, float], ...] = ((-5.0, 5.0),) * 2
    mass_outside: float = 4 * float(special.ndtr(-2.0 / 0.2))  # no centre is beyond |x| = 3
    derivation: str = (
        "The moons of scikit-learn with noise 0.1 and independent uniform angles, scaled by 2 and "
        "shifted by (-1, -0.2), as in the toys of Grathwohl et al., FFJORD (2019)."
    )
    scale: float = 0.2
    num_angles: int = 128

    def sample(self, rng_key: PRNGKey, num_samples: int) -> Float[Array, "n dim"]:
        """Draw a moon, an angle and the noise."""
        pick, turn, noise = split(rng_key, 3)
        moon = jax.random.randint(pick, (num_samples,), 0, 2)
        angle = math.pi * jax.random.uniform(turn, (num_samples,))
        arc = _RADIUS * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        centers = jnp.asarray(_CENTERS, dtype=float)
        point = centers[moon] + (1 - 2 * moon)[:, None] * arc
        return point + self.scale * jax.random.normal(noise, (num_samples, 2))

    def log_density(self, points: FloatArray) -> FloatArray:
        """Log of the average over both moons and all angles."""
        node, weight = np.polynomial.legendre.leggauss(self.num_angles)
        angle = 0.5 * math.pi * (node + 1)
        arc = _RADIUS * np.stack([np.cos(angle), np.sin(angle)])
        log_weight = np.log(weight / 4) - math.log(2 * math.pi * self.scale**2)

        def moon(points: FloatArray, center: tuple[float, float], sign: float) -> FloatArray:
            offset = points - np.asarray(center)
            squared = np.sum(offset**2, axis=1)[:, None] + _RADIUS**2 - 2 * sign * offset @ arc
            return np.asarray(special.logsumexp(log_weight - 0.5 * squared / self.scale**2, axis=1))

        points = np.asarray(points, np.float64)
        pieces = [
            np.logaddexp(moon(piece, _CENTERS[0], 1.0), moon(piece, _CENTERS[1], -1.0))
            for piece in np.array_split(points, max(1, len(points) // _CHUNK))
        ]
        return np.concatenate(pieces)

    def rule(self, *, coarse: bool = False) -> tuple[FloatArray, FloatArray]:
        """Trapezoid rule on the bounds, where the density is below e^-50 of its maximum."""
        return trapezoid_rule(self.bounds, _NUM_INTERVALS // (2 if coarse else 1))
