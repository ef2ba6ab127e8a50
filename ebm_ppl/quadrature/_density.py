"""The normalised density that quadrature yields: the ground truth of the package."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._precision import float64
from ebm_ppl._types import PRNGKey
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.quadrature._line import LineGrid
from ebm_ppl.quadrature._marginal import Marginal, swapped
from ebm_ppl.quadrature._plane import PlaneGrid
from ebm_ppl.quadrature._rules import Rule
from ebm_ppl.quadrature._space import SpaceGrid

Bounds = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class QuadratureDensity:
    r"""A density $p(x) = \exp(-E(x)) / Z$ with its partition function from quadrature, in float64.

    `normalize` makes it. It lives on the host: every method takes and returns NumPy float64 arrays,
    with batch axes first, then the energy's `event_shape`. With three coordinates there are densities,
    moments, entropy and divergences, but neither distribution functions nor draws.

    Attributes:
        energy: The energy, as it was given.
        dim: Number of coordinates, 1 to 3.
        log_z: Log partition function.
        log_z_error: Estimated absolute error of `log_z`, that is, the relative error of $Z$.
        rule: `"simpson"` or `"trapezoid"`: whichever has the smaller estimated error.
        num_intervals: Number of grid intervals along each axis.
        bounds: Per coordinate, the range of the support to which the density is confined.
        other_log_z: The other rule's log partition function, for comparison.
        other_log_z_error: Its estimated error.
    """

    energy: AbstractEnergy
    dim: int
    log_z: float
    log_z_error: float
    rule: Rule
    num_intervals: int
    bounds: Bounds
    other_log_z: float
    other_log_z_error: float
    _chart: Chart = dataclasses.field(repr=False)
    _grid: LineGrid | PlaneGrid | SpaceGrid = dataclasses.field(repr=False)

    def _is_inside(self, points: np.ndarray) -> np.ndarray:
        low, high = np.array(self.bounds).T
        return np.all((points >= low) & (points <= high), axis=-1)

    def log_density(self, x: Any) -> np.ndarray:
        """Normalised log density; minus infinity outside the support and the bounds.

        Args:
            x: Points, shape batch + event_shape.

        Returns:
            Log densities, shape batch.
        """
        points, batch = self._chart.as_points(x)
        inside = self._is_inside(points)
        value = np.full(len(points), -np.inf)
        value[inside] = -self._chart.energies(points[inside]) - self.log_z
        return value.reshape(batch)

    def density(self, x: Any) -> np.ndarray:
        """Normalised density, shape batch, at points of shape batch + event_shape."""
        return np.asarray(np.exp(self.log_density(x)))

    def cdf(self, x: Any) -> np.ndarray:
        """Cumulative distribution function of a one-dimensional density, shape batch.

        Raises:
            ValueError: If the density has two coordinates; `rosenblatt` generalises the CDF.
        """
        self._check_dim(1, "cdf", "rosenblatt")
        return np.asarray(self.rosenblatt(x)[..., 0])

    def quantile(self, probability: Any) -> np.ndarray:
        """Inverse of `cdf`: points of shape batch + event_shape.

        Raises:
            ValueError: If the density has two coordinates, or a probability is outside [0, 1].
        """
        self._check_dim(1, "quantile", "inverse_rosenblatt")
        return self.inverse_rosenblatt(np.asarray(probability, np.float64)[..., None])

    def rosenblatt(self, x: Any) -> np.ndarray:
        r"""Rosenblatt transform: $F_1(x_1)$ and $F(x_2 \mid x_1)$.

        Under the density itself they are uniform and independent.

        Args:
            x: Points, shape batch + event_shape.

        Returns:
            Probabilities, shape batch + (dim,).

        Raises:
            ValueError: If the density has three coordinates.

        References:
            Rosenblatt, "Remarks on a multivariate transformation", Ann. Math. Statist. 23 (1952).
        """
        points, batch = self._chart.as_points(x)
        low, high = np.array(self.bounds).T
        z = self._chart.from_support(np.clip(points, low, high))
        return self._tabulated("rosenblatt").rosenblatt(z).reshape(*batch, self.dim)

    def inverse_rosenblatt(self, probability: Any) -> np.ndarray:
        """Inverse of `rosenblatt`: points of shape batch + event_shape.

        Args:
            probability: Probabilities, shape batch + (dim,).

        Raises:
            ValueError: If a probability is outside [0, 1], the last axis is not `dim`, or the density
                has three coordinates.
        """
        probability = np.asarray(probability, np.float64)
        if probability.ndim == 0 or probability.shape[-1] != self.dim:
            raise ValueError(
                f"Expected `probability` of shape (..., {self.dim}); got {probability.shape}."
            )
        if not np.all((probability >= 0) & (probability <= 1)):
            raise ValueError("`probability` must be in [0, 1] everywhere.")
        grid = self._tabulated("inverse_rosenblatt")
        z = grid.inverse_rosenblatt(probability.reshape(-1, self.dim))
        x = self._chart.to_support(z)
        return x.reshape(*probability.shape[:-1], *self.energy.event_shape)

    def sample(self, rng_key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> np.ndarray:
        """Draw independently and exactly, by inverse transform of uniforms.

        Args:
            rng_key: Random key.
            sample_shape: Shape of the batch of draws.

        Returns:
            Draws, shape sample_shape + event_shape.

        Raises:
            ValueError: If the density has three coordinates.
        """
        with float64():
            uniform = jax.random.uniform(rng_key, (*sample_shape, self.dim), jnp.float64)
        return self.inverse_rosenblatt(np.asarray(uniform))

    def marginal(self, axis: int) -> Marginal:
        """Marginal density of one coordinate.

        Args:
            axis: Index of the coordinate, 0 or 1.

        Raises:
            ValueError: If there is no such coordinate, or the density has three.
        """
        grid = self._tabulated("marginal")
        if axis not in range(self.dim):
            raise ValueError(f"`axis` must be an integer below {self.dim}; got {axis!r}.")
        if axis == 1:
            return self._swapped.marginal(0)
        return Marginal(self._chart, grid)

    @functools.cached_property
    def _swapped(self) -> "QuadratureDensity":
        from ebm_ppl.quadrature._normalize import normalize

        return normalize(swapped(self.energy), bounds=self.bounds[::-1])

    @functools.cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes in the support that carry mass, shape (n, dim), and their probabilities."""
        masses = self._grid.masses
        keep = masses > 1e-25
        return self._chart.to_support(self._grid.points[keep]), masses[keep]

    @functools.cached_property
    def extent(self) -> np.ndarray:
        """Lowest and highest place, per coordinate, at which quadrature has found mass, shape (dim, 2)."""
        points = self._nodes[0]
        return np.stack([points.min(0), points.max(0)], 1)

    def expectation(self, fn: Callable[[Any], Any]) -> np.ndarray:
        """Expectation of a function under the density.

        Args:
            fn: JAX function of one point of shape event_shape; its result is an array of any shape.

        Returns:
            The expectation, of the shape of the function's result.
        """
        points, masses = self._nodes
        total: Any = 0.0
        apply = jax.jit(jax.vmap(fn))
        with float64():
            for start in range(0, len(points), 65536):
                piece = points[start : start + 65536].reshape(-1, *self.energy.event_shape)
                values = np.asarray(apply(jnp.asarray(piece)), np.float64)
                total = total + np.tensordot(masses[start : start + 65536], values, axes=1)
        return np.asarray(total)

    def mean(self) -> np.ndarray:
        """Mean, shape event_shape."""
        points, masses = self._nodes
        return (masses @ points).reshape(self.energy.event_shape)

    def variance(self) -> np.ndarray:
        """Variance of each coordinate, shape event_shape."""
        return np.diag(self.covariance()).reshape(self.energy.event_shape)

    def covariance(self) -> np.ndarray:
        """Covariance matrix of the coordinates, shape (dim, dim)."""
        points, masses = self._nodes
        centered = points - masses @ points
        return (centered * masses[:, None]).T @ centered

    def entropy(self) -> float:
        r"""Differential entropy $-\int p \log p$ in nats."""
        points, masses = self._nodes
        return float(masses @ self._chart.energies(points)) + self.log_z

    def kl(self, other: "AbstractEnergy | QuadratureDensity") -> float:
        r"""Kullback-Leibler divergence $\int p \log(p / q)$ of this density from another, in nats.

        Args:
            other: The density $q$, or its energy, which is then normalised first.

        Returns:
            The divergence; infinite where the other density is 0 and this one is not.
        """
        if not isinstance(other, QuadratureDensity):
            from ebm_ppl.quadrature._normalize import normalize

            other = normalize(other)
        if other.energy.event_shape != self.energy.event_shape:
            raise ValueError(
                f"Expected `other` of event_shape {self.energy.event_shape}; "
                f"got {other.energy.event_shape}."
            )
        points, masses = self._nodes
        own = -self._chart.energies(points) - self.log_z
        theirs = other.log_density(points.reshape(-1, *self.energy.event_shape))
        return float(masses @ (own - theirs))

    def tabulate(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Nodes and densities of the grid, for `GridTable`.

        Returns:
            Unconstrained positions z1 of the rows, shape (n,); z2 of the nodes, shape (n, m), or
            `None` for one coordinate; densities of the grid coordinates up to a factor, shape (n,)
            or (n, m).
        """
        return self._tabulated("tabulate").tabulate()

    def _tabulated(self, method: str) -> LineGrid | PlaneGrid:
        """The grid, where it has cumulative tables."""
        if isinstance(self._grid, SpaceGrid):
            raise ValueError(
                f"`{method}` needs a density of one or two coordinates; got {self.dim}."
            )
        return self._grid

    def _check_dim(self, dim: int, method: str, instead: str) -> None:
        if self.dim != dim:
            raise ValueError(f"`{method}` needs a density of {dim} coordinate; use `{instead}`.")
