r"""Learning problems whose expected gradients are known, by quadrature or in closed form.

A problem is an energy with parameters away from those of the data, and exact draws of the data. So
expected gradients are not 0, and a wrong sign, factor or scale in an objective shows.
"""

import dataclasses
import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractEnergy, as_parameter
from ebm_ppl.validation.estimation import QUARTIC, GridLaw, line

Parameters = Float[np.ndarray, " p"]


class PolynomialEnergy(AbstractEnergy):
    r"""The energy $\theta \cdot T(x)$ of `ebm_ppl.validation.estimation`: $T_i(x) = x^{r_i}$."""

    theta: Float[Array, " p"] = eqx.field(converter=as_parameter)
    powers: tuple[int, ...] = eqx.field(static=True, default=QUARTIC.powers)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: a scalar."""
        return ()

    @property
    def support(self) -> constraints.Constraint:
        """The real line."""
        return constraints.real

    def _energy(self, x: Event) -> Scalar:
        return sum((t * x**r for t, r in zip(self.theta, self.powers, strict=True)), jnp.zeros(()))


class PrecisionEnergy(AbstractEnergy):
    r"""The natural parameters of a normal law: $E(x) = \tfrac12 x^\top P x - h^\top x$, $P$ symmetrised."""

    precision: Float[Array, "dim dim"] = eqx.field(converter=as_parameter)
    shift: Float[Array, " dim"] = eqx.field(converter=as_parameter)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(dim,)`."""
        return self.shift.shape

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    def _energy(self, x: Event) -> Scalar:
        return 0.5 * x @ self.precision @ x - self.shift @ x


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """An energy to train and data to train it on.

    Attributes:
        name: Name in the report.
        energy: The energy, away from the law of the data.
        draw: Exact independent draws of the data: key and number to points.
    """

    name: str
    energy: AbstractEnergy
    draw: Callable[[PRNGKey, int], Array]


LINE_THETA = np.array([-0.3, 0.5, 0.15])
"""Where gradients are questioned: a quartic with two unequal wells, which a random walk connects."""

TRUE_THETA = np.array([-1.0, -0.2, 0.3])
"""Parameters that are to be recovered."""


@functools.cache
def line_law() -> GridLaw:
    """Data on the line: an asymmetric mixture of two normal laws, in no quartic family."""
    nodes = line(bound=7.0, step=0.02)
    return GridLaw.of(
        lambda x: 0.35 * stats.norm.pdf(x, -1.2, 0.6) + 0.65 * stats.norm.pdf(x, 1.0, 0.5), nodes
    )


@functools.cache
def line_problem() -> Problem:
    """The quartic family on the mixture."""

    def draw(rng_key: PRNGKey, count: int) -> Array:
        key_side, key_noise = jax.random.split(rng_key)
        left = jax.random.bernoulli(key_side, 0.35, (count,))
        noise = jax.random.normal(key_noise, (count,))
        return jnp.where(left, -1.2 + 0.6 * noise, 1.0 + 0.5 * noise)

    return Problem("mixture on the line", PolynomialEnergy(LINE_THETA), draw)


PLANE_MEAN = np.array([0.5, -1.0])
PLANE_COVARIANCE = np.array([[1.5, 0.6], [0.6, 0.8]])


@functools.cache
def plane_problem() -> Problem:
    """The normal family in the plane, on correlated normal data."""
    factor = jnp.asarray(np.linalg.cholesky(PLANE_COVARIANCE), dtype=float)

    def draw(rng_key: PRNGKey, count: int) -> Array:
        noise = jax.random.normal(rng_key, (count, 2))
        return jnp.asarray(PLANE_MEAN, dtype=float) + noise @ factor.T

    energy = PrecisionEnergy([[1.2, 0.3], [0.3, 0.7]], [0.2, 0.4])
    return Problem("normal law in the plane", energy, draw)


def plane_score_matching_gradient(noise_variance: float = 0.0) -> Parameters:
    r"""Expected gradient of score matching in the plane, on data under normal noise.

    With $s = -(Px - h)$, $\nabla_h = -\mathbb{E}(Px - h)$ and $\nabla_P$ is the symmetric part of
    $\mathbb{E}(Px - h) x^\top - I$.

    Args:
        noise_variance: Variance of the noise in each coordinate; 0 for none.

    Returns:
        The gradient, in the order of the energy's flattened leaves.
    """
    energy = plane_problem().energy
    assert isinstance(energy, PrecisionEnergy)
    precision, shift = np.asarray(energy.precision, float), np.asarray(energy.shift, float)
    second = PLANE_COVARIANCE + np.outer(PLANE_MEAN, PLANE_MEAN) + noise_variance * np.eye(2)
    cross = precision @ second - np.outer(shift, PLANE_MEAN)
    to_precision = (cross + cross.T) / 2 - np.eye(2)
    return np.concatenate([to_precision.ravel(), shift - precision @ PLANE_MEAN])


@functools.cache
def true_problem() -> Problem:
    """The quartic family on data that it holds: what is to be recovered."""
    nodes = line(bound=7.0, step=0.002)
    law = QUARTIC.law(TRUE_THETA, nodes)
    edges = jnp.asarray(np.append(nodes, nodes[-1] + law.step) - law.step / 2)
    below = np.concatenate([[0.0], np.cumsum(law.mass)])
    below = jnp.asarray(below / below[-1])

    def draw(rng_key: PRNGKey, count: int) -> Array:
        return jnp.interp(jax.random.uniform(rng_key, (count,)), below, edges)

    return Problem("quartic law", PolynomialEnergy(LINE_THETA), draw)
