"""A partition function that JAX can trace and differentiate, on a grid that stays where it is."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_count, check_positive
from ebm_ppl._types import Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.quadrature._chart import (
    backward,
    base_constraint,
    log_density_unconstrained,
    support_limits,
)
from ebm_ppl.quadrature._normalize import mass_range, normalize

_DEFAULT_INTERVALS = {1: 512, 2: 128, 3: 64}
_EDGE_SHARE = 32
_MISMATCH = 1e-4
_THRESHOLD = 25.0  # Nats; far below `edge_tolerance`, and short enough for a uniform grid.


def _as_pairs(bounds: Any) -> tuple[tuple[float, float], ...]:
    """Read a pair, or a sequence of pairs, of finite increasing numbers."""
    pairs = np.asarray(bounds, np.float64)
    if pairs.ndim == 1:
        pairs = pairs[None]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) not in (1, 2, 3):
        raise ValueError(
            f"Expected `bounds` of shape (2,) or (dim, 2) with dim 1 to 3; got {pairs.shape}."
        )
    if not (np.isfinite(pairs).all() and np.all(pairs[:, 0] < pairs[:, 1])):
        raise ValueError(f"`bounds` must be finite with lower end below upper; got {bounds!r}.")
    return tuple((float(low), float(high)) for low, high in pairs)


def _resolved_range(support: constraints.Constraint) -> tuple[float, float]:
    """Range of z in which floats of the session's precision resolve the support's edges."""
    base = base_constraint(support)
    double = jax.config.read("jax_enable_x64")
    if isinstance(base, type(constraints.real)):
        return -np.inf, np.inf
    tiny = 690.0 if double else 80.0
    if isinstance(base, constraints.interval):
        return -tiny, 36.0 if double else 15.9
    return -tiny, tiny


class QuadratureNormalizer(eqx.Module):
    r"""Log partition function on a fixed grid, by the trapezoid rule, for use inside JAX.

    A normaliser maps an energy to $\log Z$ and can be traced, batched and differentiated with
    respect to the energy's parameters, so NUTS can sample them:
    $\partial \log Z / \partial \theta = -\mathbb{E}[\partial E / \partial \theta]$. It computes in
    the precision of the session. The nodes are uniform in the unconstrained coordinate between the
    images of `bounds`; since the integrand has to vanish at both ends, the trapezoid rule converges
    exponentially.

    Mass beyond the grid is never dropped in silence: where the outermost 1/32 of the grid carries
    more than `edge_tolerance` of the mass at either end, or no mass is found, or the energy is NaN
    at a node, the result is $+\infty$, so the log density is $-\infty$ and a sampler rejects; its
    gradient is 0.

    Attributes:
        bounds: Per coordinate, the range of the support that the grid spans.
        num_intervals: Number of intervals along each axis; by default 512 for one coordinate, 128
            for two and 64 for three.
        edge_tolerance: Largest share of the mass in the outermost 1/32 of the grid at an end.

    Raises:
        ValueError: If an argument is out of range; on use, if the energy does not have one
            coordinate per pair of bounds.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.quadrature import QuadratureNormalizer
        >>> normalizer = QuadratureNormalizer(bounds=(-6.0, 6.0))
        >>> log_z = lambda a: normalizer(Quartic(a=a))
        >>> value, slope = jax.value_and_grad(log_z)(0.5)
        >>> print(f"{value:.4f} {slope:.4f}")
        0.4414 -0.2788
    """

    bounds: tuple[tuple[float, float], ...] = eqx.field(static=True, converter=_as_pairs)
    num_intervals: int | None = eqx.field(static=True, default=None)
    edge_tolerance: float = eqx.field(static=True, default=1e-5)

    def __check_init__(self) -> None:
        check_positive("edge_tolerance", self.edge_tolerance)
        if self.num_intervals is not None:
            check_count("num_intervals", self.num_intervals, minimum=64)

    @classmethod
    def for_energy(
        cls, energy: AbstractEnergy, *, num_intervals: int | None = None, widening: float = 1.5
    ) -> "QuadratureNormalizer":
        """Make a normaliser whose grid fits a concrete energy, with room to spare.

        Args:
            energy: An energy with typical parameters.
            num_intervals: Number of intervals along each axis.
            widening: Factor by which the range that holds the mass is widened, in the unconstrained
                coordinate.

        Raises:
            ValueError: If the fixed grid does not reproduce the energy's partition function (for a
                heavy tail, say), or the energy cannot be normalised.
        """
        check_positive("widening", widening)
        density = normalize(energy)
        normalizer = cls(mass_range(energy, _THRESHOLD, widening), num_intervals)
        mismatch = abs(float(normalizer(energy)) - density.log_z)
        if not mismatch <= _MISMATCH * max(1.0, abs(density.log_z)):
            raise ValueError(
                f"`num_intervals` must be enough for {type(energy).__name__}: log Z on the uniform "
                f"grid over {normalizer.bounds} is off by {mismatch:.1e}; give `bounds` or more "
                "intervals."
            )
        return normalizer

    def nodes(
        self,
        energy: AbstractEnergy,
        refinement: int = 1,
        shift: Float[Array, " dim"] | None = None,
    ) -> tuple[Float[Array, " n"], ...]:
        """Nodes of each coordinate in the unconstrained space of an energy.

        Args:
            energy: The energy.
            refinement: Factor by which the number of intervals is multiplied.
            shift: How far to move the grid along each axis, in intervals; not at all by default.

        Returns:
            Per coordinate, shape (refinement * num_intervals + 1,).

        Raises:
            ValueError: If the energy's number of coordinates is not that of `bounds`.
        """
        if energy.event_size != len(self.bounds):
            raise ValueError(
                f"`bounds` must have one pair per coordinate ({energy.event_size}); "
                f"got {self.bounds!r}."
            )
        support_limits(energy.support)
        count = refinement * (self.num_intervals or _DEFAULT_INTERVALS[len(self.bounds)])
        corners = jnp.asarray(self.bounds, dtype=float).T.reshape(2, *energy.event_shape)
        ends = jax.vmap(lambda x: backward(energy.support, x))(corners).reshape(2, -1)
        ends = jnp.clip(ends, *_resolved_range(energy.support))
        fraction = jnp.linspace(0.0, 1.0, count + 1)
        moved = jnp.zeros(len(self.bounds)) if shift is None else shift / count
        return tuple(
            low + (high - low) * (fraction + move)
            for (low, high), move in zip(ends.T, moved, strict=True)
        )

    def log_density_table(
        self,
        energy: AbstractEnergy,
        refinement: int = 1,
        shift: Float[Array, " dim"] | None = None,
    ) -> tuple[tuple[Float[Array, " n"], ...], Float[Array, "..."]]:
        """Nodes, as `nodes` gives them, and the unnormalised log density of z at them."""
        nodes = self.nodes(energy, refinement, shift)
        mesh = jnp.stack(jnp.meshgrid(*nodes, indexing="ij"), -1)
        points = mesh.reshape(-1, *energy.event_shape)
        values, resolved = jax.vmap(lambda z: log_density_unconstrained(energy, z))(points)
        return nodes, jnp.where(resolved, values, -jnp.inf).reshape(mesh.shape[:-1])

    def __call__(
        self,
        energy: AbstractEnergy,
        shift: Float[Array, " dim"] | None = None,
        refinement: int = 1,
    ) -> Scalar:
        r"""Log partition function $\log Z$; $+\infty$ where the grid does not hold the mass.

        Args:
            energy: The energy; its parameters may be traced.
            shift: How far to move the grid along each axis, in intervals; not at all by default. Over
                uniform shifts the mean of $Z$ is the integral, whatever lies between the nodes.
            refinement: Factor by which the number of intervals is multiplied.

        Returns:
            The log partition function, a scalar.
        """
        nodes, log_density = self.log_density_table(energy, refinement, shift)
        is_usable = jnp.any(log_density > -jnp.inf) & ~jnp.any(
            jnp.isnan(log_density) | (log_density == jnp.inf)
        )
        # Harmless values where the result is discarded keep NaN out of its gradient.
        log_density = jnp.where(is_usable, log_density, 0.0)
        for axis, ticks in enumerate(nodes):
            # From the ends: neighbouring nodes differ by too little for float32.
            step = jnp.log((ticks[-1] - ticks[0]) / (len(ticks) - 1))
            weights = jnp.full(len(ticks), step).at[jnp.array([0, -1])].add(-jnp.log(2.0))
            shape = [1] * log_density.ndim
            shape[axis] = len(ticks)
            log_density = log_density + weights.reshape(shape)
        log_z = logsumexp(log_density)
        is_held = is_usable & (self._edge_share(log_density - log_z) <= self.edge_tolerance)
        return jnp.where(is_held, log_z, jnp.inf)

    def _edge_share(self, log_mass: Float[Array, "..."]) -> Scalar:
        """Largest share of the mass at one end of one axis."""
        mass = jnp.exp(jax.lax.stop_gradient(log_mass))
        shares = []
        for axis in range(mass.ndim):
            line = mass.sum(tuple(other for other in range(mass.ndim) if other != axis))
            width = len(line) // _EDGE_SHARE  # there are at least 65 nodes
            shares += [line[:width].sum(), line[-width:].sum()]
        return jnp.max(jnp.stack(shares))
