"""Exact draws from a tabulated density, in JAX: under `jit` and `vmap`, in any precision."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpyro.distributions.constraints import Constraint

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.quadrature._chart import forward
from ebm_ppl.quadrature._density import QuadratureDensity
from ebm_ppl.quadrature._implicit import follow
from ebm_ppl.quadrature._normalizer import QuadratureNormalizer

_REFINEMENT = {1: 4, 2: 2}
"""Cells for draws per cell of the normaliser: interpolation needs more nodes than the integral."""


def draw_linear(
    uniform: Float[Array, "*n"], left: Float[Array, "*n"], right: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """Draw from the density on [0, 1] that is linear between the values `left` and `right`.

    It is the root of the quadratic CDF in the form that does not cancel.

    Args:
        uniform: Uniform variates.
        left: Density at 0, up to a factor.
        right: Density at 1, up to the same factor.

    Returns:
        The draws.
    """
    root = jnp.sqrt(left**2 + uniform * (right**2 - left**2))
    denominator = left + root
    ratio = uniform * (left + right) / jnp.where(denominator > 0, denominator, 1.0)
    return jnp.where(denominator > 0, jnp.minimum(ratio, 1.0), uniform)


def _pick(
    cumulative: Float[Array, "rows cells"], row: Int[Array, " n"], uniform: Float[Array, " n"]
) -> Int[Array, " n"]:
    """Draw a cell in the given row with probability in proportion to its mass, by binary search."""
    cells = cumulative.shape[1]
    # A uniform of exactly 0 must not pick a first cell without mass, so "at most" moves right.
    target = uniform * cumulative[row, -1]

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) // 2
        right = cumulative[row, middle] <= target
        return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

    start = (jnp.zeros_like(row), jnp.full_like(row, cells - 1))
    return jax.lax.fori_loop(0, int(np.ceil(np.log2(cells))) + 1, halve, start)[0]


class GridTable(eqx.Module):
    r"""A tabulated density, and exact draws from its piecewise (bi)linear interpolant.

    In each cell of the grid the density of the cell's own coordinates in $[0, 1]^d$ is (bi)linear
    between its corners, and the position in unconstrained space is so too. A draw picks a row of
    cells, a cell in it, and a point in the cell, each from its exact distribution. The interpolant
    differs from the density by the square of the cell's width relative to the density's own scale.

    Attributes:
        support: Constraint that the draws satisfy.
        event_shape: Shape of one draw.
        first: Positions z1 of the rows, shape (n,).
        second: Positions z2 of the nodes, shape (n, m); `None` for one coordinate.
        density: Densities of the grid coordinates at the nodes up to a factor, shape (n,) or (n,
            m).
        cumulative: Cumulative masses of the cells, shape (1, n - 1) or (n - 1, m - 1).
    """

    support: Constraint
    event_shape: tuple[int, ...] = eqx.field(static=True)
    first: Float[Array, " n"]
    second: Float[Array, "n m"] | None
    density: Float[Array, "..."]
    cumulative: Float[Array, "rows cells"]

    def __init__(self, energy: AbstractEnergy, first: Any, second: Any, density: Any) -> None:
        """Tabulate a density.

        Args:
            energy: The energy.
            first: Positions z1 of the rows, shape (n,).
            second: Positions z2 of the nodes, shape (n, m), or `None` for one coordinate.
            density: Densities of the grid coordinates at the nodes, shape (n,) or (n, m).
        """
        # Only the support is kept: a draw needs no parameters, in whichever precision they are.
        self.support = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, dtype=float) if eqx.is_array(leaf) else leaf,
            energy.support,
        )
        self.event_shape = tuple(energy.event_shape)
        self.first = jnp.asarray(first, dtype=float)
        self.second = None if second is None else jnp.asarray(second, dtype=float)
        self.density = jnp.asarray(density, dtype=float)
        rows = self.density if self.second is not None else self.density[None]
        if self.second is not None:
            rows = rows[:-1] + rows[1:]
        self.cumulative = jnp.cumsum(rows[:, :-1] + rows[:, 1:], axis=1)

    @classmethod
    def from_density(cls, density: QuadratureDensity) -> "GridTable":
        """Tabulate a density that quadrature has normalised.

        Args:
            density: The density.

        Returns:
            The table, in the precision of the session.
        """
        first, second, values = density.tabulate()
        limit = np.finfo(np.float32).max / 8
        clip = lambda z: None if z is None else np.clip(z, -limit, limit)  # noqa: E731
        return cls(density.energy, clip(first), clip(second), values)

    @classmethod
    def from_normalizer(
        cls, energy: AbstractEnergy, normalizer: QuadratureNormalizer
    ) -> "GridTable":
        """Tabulate an energy, whose parameters may be traced, on a normaliser's grid.

        Args:
            energy: The energy.
            normalizer: The normaliser.

        Returns:
            The table.

        Raises:
            ValueError: If the energy has more than two coordinates.
        """
        if energy.event_size not in _REFINEMENT:
            raise ValueError(
                f"`energy` must have one or two coordinates for a table; got {energy.event_size}."
            )
        nodes, log_density = normalizer.log_density_table(energy, _REFINEMENT[energy.event_size])
        density = jnp.exp(log_density - jnp.max(log_density))
        second = None
        if len(nodes) == 2:
            second = jnp.broadcast_to(nodes[1], density.shape)
        return cls(energy, nodes[0], second, density)

    def sample(self, rng_key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        """Draw independently from the interpolated density.

        Draws have implicit gradients in what the densities depend on.

        Args:
            rng_key: Random key.
            sample_shape: Shape of the batch of draws.

        Returns:
            Draws in the support, shape sample_shape + event_shape.
        """
        size = int(np.prod(sample_shape, dtype=int))
        drawn = jax.lax.stop_gradient(self)._draw(jax.random.uniform(rng_key, (4, size)))
        nodes = (self.first, self.second, self.density)
        points = jax.vmap(lambda z: follow(nodes, z))(drawn).reshape(size, *self.event_shape)
        x = jax.vmap(lambda point: forward(self.support, point))(points)
        return x.reshape(*sample_shape, *self.event_shape)

    def _draw(self, uniforms: Float[Array, "4 k"]) -> Float[Array, "k dim"]:
        """Turn uniform variates into unconstrained positions."""
        pick_row, pick_cell, place_first, place_second = uniforms
        zero = jnp.zeros(pick_row.size, int)
        if self.second is None:
            cell = _pick(self.cumulative, zero, pick_row)
            s = draw_linear(place_first, self.density[cell], self.density[cell + 1])
            return (self.first[cell] * (1 - s) + self.first[cell + 1] * s)[:, None]
        row = _pick(jnp.cumsum(self.cumulative[:, -1])[None], zero, pick_row)
        cell = _pick(self.cumulative, row, pick_cell)
        return self._place(row, cell, place_first, place_second)

    def _place(
        self,
        row: Int[Array, " k"],
        cell: Int[Array, " k"],
        place_first: Float[Array, " k"],
        place_second: Float[Array, " k"],
    ) -> Float[Array, "k 2"]:
        """Draw points inside the given cells from the bilinear density."""
        assert self.second is not None
        corner = [self.density[row + i, cell + j] for i in (0, 1) for j in (0, 1)]
        s = draw_linear(place_first, corner[0] + corner[1], corner[2] + corner[3])
        left, right = (corner[j] * (1 - s) + corner[2 + j] * s for j in (0, 1))
        t = draw_linear(place_second, left, right)
        edge = [
            self.second[row + i, cell] * (1 - t) + self.second[row + i, cell + 1] * t
            for i in (0, 1)
        ]
        first = self.first[row] * (1 - s) + self.first[row + 1] * s
        return jnp.stack([first, edge[0] * (1 - s) + edge[1] * s], -1)
