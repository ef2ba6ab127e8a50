"""The black squares of a board of four by four."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.datasets._base import AbstractLaw, FloatArray, split

_SIDE = 2.0
_SQUARES = tuple((i, j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0)
_NUM_NODES = 48


@dataclasses.dataclass(frozen=True)
class Checkerboard(AbstractLaw):
    r"""The uniform law on eight squares of side 2 in $[-4, 4]^2$; its entropy is $\log 32$.

    Examples:
        >>> import math
        >>> from ebm_ppl.validation.datasets import Checkerboard
        >>> abs(Checkerboard().entropy().value - math.log(32)) < 1e-12
        True
    """

    name: str = "checkerboard"
    bounds: tuple[tuple[float, float], ...] = ((-4.0, 4.0),) * 2
    mass_outside: float = 0.0
    derivation: str = (
        "Uniform on the squares [2i, 2i + 2] x [2j, 2j + 2] with i + j even, i and j in -2, ..., "
        "1, as in the toys of Grathwohl et al., FFJORD (2019)."
    )

    def sample(self, rng_key: PRNGKey, num_samples: int) -> Float[Array, "n dim"]:
        """Draw a square and a point of it."""
        pick, place = split(rng_key, 2)
        corners = jnp.asarray(_SQUARES, dtype=float)
        square = corners[jax.random.randint(pick, (num_samples,), 0, len(_SQUARES))]
        return _SIDE * (square + jax.random.uniform(place, (num_samples, 2)))

    def log_density(self, points: FloatArray) -> FloatArray:
        """Minus log 32 on the squares."""
        cell = np.floor(np.asarray(points, np.float64) / _SIDE)
        is_black = (cell.sum(axis=1) % 2 == 0) & np.all((cell >= -2) & (cell < 2), axis=1)
        return np.where(is_black, -math.log(len(_SQUARES) * _SIDE**2), -np.inf)

    def rule(self, *, coarse: bool = False) -> tuple[FloatArray, FloatArray]:
        """Gauss-Legendre rule in each square: no node lies on an edge, where the density jumps."""
        node, weight = np.polynomial.legendre.leggauss(_NUM_NODES // (2 if coarse else 1))
        inside = np.stack(np.meshgrid(node, node, indexing="ij"), axis=-1).reshape(-1, 2)
        points = _SIDE * (np.asarray(_SQUARES, np.float64)[:, None] + (inside + 1) / 2)
        weights = np.tile(np.outer(weight, weight).reshape(-1) * (_SIDE / 2) ** 2, len(_SQUARES))
        return points.reshape(-1, 2), weights
