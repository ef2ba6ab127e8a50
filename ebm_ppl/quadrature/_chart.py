"""From an energy on its support to a potential on the real line, plane or space, in float64."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpyro.distributions import biject_to, constraints

from ebm_ppl._checks import is_traced
from ebm_ppl._forks import check_not_forked
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies._base import AbstractEnergy

_CHUNK = {1: 4096, 2: 16384, 3: 16384}
"""Batch size of one compiled evaluation, per dimension: one shape, so one compilation.

On CPUs JAX 0.10 mixes up the rows of a batch of more than 16384 products with a 3 x 3 matrix.
"""


def base_constraint(support: constraints.Constraint) -> constraints.Constraint:
    """Constraint of a single coordinate, without `independent` around it."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def support_limits(support: constraints.Constraint) -> tuple[Any, Any]:
    """Lower and upper limit of a support whose coordinates are constrained one by one.

    Raises:
        ValueError: If the coordinates are constrained jointly (a simplex, ordered vectors, ...).
    """
    base = base_constraint(support)
    if isinstance(base, type(constraints.real)):
        return -np.inf, np.inf
    if isinstance(base, constraints.greater_than):
        return base.lower_bound, np.inf
    if isinstance(base, constraints.less_than):
        return -np.inf, base.upper_bound
    if isinstance(base, constraints.interval):
        return base.lower_bound, base.upper_bound
    raise ValueError(
        "`energy.support` must constrain each coordinate by itself (real, positive, interval, "
        f"greater_than, less_than, or `independent` of these); got {support!r}."
    )


def forward(support: constraints.Constraint, z: Float[Array, "*event"]) -> Float[Array, "*event"]:
    r"""Map an unconstrained point to the support by an increasing map of each coordinate."""
    base = base_constraint(support)
    # NumPyro maps a half-line that ends above by upper - exp(z), which decreases.
    return biject_to(base)(-z if isinstance(base, constraints.less_than) else z)


def backward(support: constraints.Constraint, x: Float[Array, "*event"]) -> Float[Array, "*event"]:
    """Map a point of the support to its unconstrained image; the inverse of `forward`."""
    base = base_constraint(support)
    z = biject_to(base).inv(x)
    return -z if isinstance(base, constraints.less_than) else z


def log_density_unconstrained(
    energy: AbstractEnergy, z: Float[Array, "*event"]
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    r"""Unnormalised log density $-E(T(z)) + \sum_i \log |T_i'(z_i)|$ of one unconstrained point.

    The Jacobian comes from differentiating $T$, not from NumPyro's `log_abs_det_jacobian`, for
    which it is a yardstick.

    Returns:
        The log density, and whether floating point still resolves $T(z)$ there (whether $T$ has not
        under- or overflowed or been clipped at the support's edge).
    """
    x, slope = jax.jvp(lambda point: forward(energy.support, point), (z,), (jnp.ones_like(z),))
    resolved = jnp.all(jnp.isfinite(x) & jnp.isfinite(slope) & (slope != 0))
    return -energy(x) + jnp.sum(jnp.log(jnp.abs(slope))), resolved


@eqx.filter_jit
def _evaluate(
    energy: AbstractEnergy, z: Float[Array, "n dim"]
) -> tuple[Float[Array, " n"], Bool[Array, " n"]]:
    points = z.reshape(-1, *energy.event_shape)
    log_density, resolved = jax.vmap(lambda point: log_density_unconstrained(energy, point))(points)
    return -log_density, resolved


@eqx.filter_jit
def _energies(energy: AbstractEnergy, x: Float[Array, "n dim"]) -> Float[Array, " n"]:
    return jax.vmap(energy)(x.reshape(-1, *energy.event_shape))


@eqx.filter_jit
def _forward(support: Any, z: Float[Array, " n *event"]) -> Float[Array, " n *event"]:
    return jax.vmap(lambda point: forward(support, point))(z)


@eqx.filter_jit
def _backward(support: Any, x: Float[Array, " n *event"]) -> Float[Array, " n *event"]:
    return jax.vmap(lambda point: backward(support, point))(x)


class Chart:
    """An energy of one to three coordinates, evaluated in batches of NumPy float64 points.

    Points are rows: every array of points has shape `(n, dim)`.
    """

    def __init__(self, energy: AbstractEnergy) -> None:
        check_not_forked()
        if not isinstance(energy, AbstractEnergy):
            raise ValueError(
                f"`energy` must be an AbstractEnergy; got {in_place_of_energy(energy)}."
            )
        if is_traced(energy):
            raise ValueError(
                "`energy` must have concrete parameters; got traced ones. "
                "QuadratureNormalizer integrates under `jax.jit` and `jax.grad`."
            )
        if energy.support.is_discrete:
            raise ValueError(
                "`energy` must have real coordinates for quadrature; got the discrete support "
                f"{energy.support!r}. Sum over its states: EnumerationNormalizer, enumerate_states."
            )
        if energy.event_size not in (1, 2, 3):
            raise ValueError(
                "`energy` must have one to three coordinates in all for quadrature; "
                f"got event_shape {energy.event_shape}."
            )
        with float64():
            self.energy = to_float64(energy)
        self.dim = energy.event_size
        self.name = type(energy).__name__
        lower, upper = support_limits(energy.support)
        self.lower = self._per_coordinate(lower)
        self.upper = self._per_coordinate(upper)
        self._identity = bool(np.all(np.isinf(self.lower)) and np.all(np.isinf(self.upper)))

    def _per_coordinate(self, limit: Any) -> np.ndarray:
        shape = self.energy.event_shape
        return np.broadcast_to(np.asarray(limit, np.float64), shape).reshape(-1).copy()

    def _in_chunks(self, function: Any, leading: Any, points: np.ndarray) -> list[Any]:
        size = _CHUNK[self.dim]
        pieces = []
        with float64():
            for start in range(0, len(points), size):
                piece = points[start : start + size]
                count = len(piece)
                padded = np.concatenate([piece, np.repeat(piece[-1:], size - count, axis=0)])
                result = jax.tree.map(np.asarray, function(leading, jnp.asarray(padded)))
                pieces.append(jax.tree.map(lambda leaf, count=count: leaf[:count], result))
        return pieces

    def potential(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Potential U(z) = E(T(z)) - log T'(z) at points (n, dim), and where T(z) is resolved.

        NaN stays NaN; where T(z) is not resolved the potential is +inf.
        """
        if len(z) == 0:
            return np.zeros(0), np.zeros(0, bool)
        pieces = self._in_chunks(_evaluate, self.energy, np.asarray(z, np.float64))
        potential = np.concatenate([piece[0] for piece in pieces])
        resolved = np.concatenate([piece[1] for piece in pieces])
        return np.where(resolved, potential, np.inf), resolved

    def energies(self, x: np.ndarray, energy: AbstractEnergy | None = None) -> np.ndarray:
        """Energies at points (n, dim) of the support, of this or another energy."""
        if len(x) == 0:
            return np.zeros(0)
        with float64():
            energy = self.energy if energy is None else to_float64(energy)
        return np.concatenate(self._in_chunks(_energies, energy, np.asarray(x, np.float64)))

    def _transport(self, function: Any, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, np.float64)
        if self._identity or len(points) == 0:
            return points
        shaped = points.reshape(-1, *self.energy.event_shape)
        moved = np.concatenate(self._in_chunks(function, self.energy.support, shaped))
        return moved.reshape(-1, self.dim)

    def to_support(self, z: np.ndarray) -> np.ndarray:
        """Points (n, dim) of the support from unconstrained ones."""
        return self._transport(_forward, z)

    def from_support(self, x: np.ndarray) -> np.ndarray:
        """Unconstrained images of points (n, dim); the support's own edges go to -inf and inf."""
        x = np.asarray(x, np.float64)
        moved = self._transport(_backward, x)
        return np.where(x <= self.lower, -np.inf, np.where(x >= self.upper, np.inf, moved))

    def as_points(self, x: Any) -> tuple[np.ndarray, tuple[int, ...]]:
        """Flatten `batch_shape + event_shape` to (n, dim); returns the batch shape as well."""
        x = np.asarray(x, np.float64)
        shape = self.energy.event_shape
        if x.shape[x.ndim - len(shape) :] != shape or x.ndim < len(shape):
            raise ValueError(f"Expected `x` of shape (..., *{shape}); got {x.shape}.")
        batch = x.shape[: x.ndim - len(shape)]
        return x.reshape(-1, self.dim), batch
