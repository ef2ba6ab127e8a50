"""Five bent arms about the origin."""

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

_NUM_ARMS = 5
_RADIAL, _TANGENTIAL = 0.3, 0.1
_TWIST = 0.25
_SCALE = 2.0
_WIDENING = 1.3
_NUM_INTERVALS = 512


@dataclasses.dataclass(frozen=True)
class Pinwheel(AbstractLaw):
    r"""Normal blobs beside the origin, twisted the more the further out, in five directions.

    $$x = 2\, R\!\left(\tfrac{2\pi k}{5} + \tfrac14 e^{\|f\|}\right) f, \qquad
    f \sim N\big((1, 0), \mathrm{diag}(0.3^2, 0.1^2)\big),$$

    with $k$ uniform and $R(\alpha)$ the rotation by $\alpha$. A rotation by an angle that depends on
    the radius alone preserves areas and radii, so that $f = R(-\cdot)\, x / 2$ with $\|f\| = \|x\|/2$, and
    the density is a sum of five normal densities divided by $2^2$.

    Examples:
        >>> from ebm_ppl.validation.datasets import Pinwheel
        >>> print(f"{Pinwheel().entropy().value:.6f}")
        2.320588
    """

    name: str = "pinwheel"
    bounds: tuple[tuple[float, float], ...] = ((-5.0, 5.0),) * 2
    # The radius of f exceeds 2.5: five standard deviations in one direction.
    mass_outside: float = 1e-6
    derivation: str = (
        "Johnson et al., Composing graphical models with neural networks (2016), twisted by the "
        "radius instead of the first coordinate, which makes the map invertible in closed form; "
        "scaled by 2 as in the toys of Grathwohl et al., FFJORD (2019)."
    )

    def sample(self, rng_key: PRNGKey, num_samples: int) -> Float[Array, "n dim"]:
        """Draw an arm and a normal point, and twist it."""
        pick, noise = split(rng_key, 2)
        arm = jax.random.randint(pick, (num_samples,), 0, _NUM_ARMS)
        first, second = jax.random.normal(noise, (2, num_samples))
        first, second = 1 + _RADIAL * first, _TANGENTIAL * second
        radius = jnp.hypot(first, second)
        angle = jnp.arctan2(second, first) + 2 * math.pi * arm / _NUM_ARMS
        angle = angle + _TWIST * jnp.exp(radius)
        return _SCALE * radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)

    def log_density(self, points: FloatArray) -> FloatArray:
        """Closed form: undo the twist, and average over the arms."""
        points = np.asarray(points, np.float64) / _SCALE
        radius = np.hypot(points[:, 0], points[:, 1])
        untwisted = np.arctan2(points[:, 1], points[:, 0]) - _TWIST * np.exp(radius)
        angle = untwisted[:, None] - 2 * math.pi * np.arange(_NUM_ARMS) / _NUM_ARMS
        first = (radius[:, None] * np.cos(angle) - 1) / _RADIAL
        second = radius[:, None] * np.sin(angle) / _TANGENTIAL
        normalizer = math.log(_NUM_ARMS * 2 * math.pi * _RADIAL * _TANGENTIAL * _SCALE**2)
        log_terms = -0.5 * (first**2 + second**2)
        return np.asarray(special.logsumexp(log_terms, axis=1)) - normalizer

    def rule(self, *, coarse: bool = False) -> tuple[FloatArray, FloatArray]:
        """Trapezoid rule on the widened bounds; the ends of the arms are thin."""
        num_intervals = _NUM_INTERVALS // (2 if coarse else 1)
        return trapezoid_rule(widened(self.bounds, _WIDENING), num_intervals)
