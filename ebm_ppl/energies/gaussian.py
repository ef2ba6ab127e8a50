"""The multivariate normal law with a full covariance matrix."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_finite, is_traced
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import inverse_cholesky
from ebm_ppl.energies._unbatched import check_unbatched


class Gaussian(AbstractEnergy):
    r"""Quadratic energy of the multivariate normal law $N(\mu, \Sigma)$.

    $$E(x) = \tfrac12 (x - \mu)^\top \Sigma^{-1} (x - \mu) = \tfrac12 \|W (x - \mu)\|^2,
    \qquad Z = (2\pi)^{d/2} |\Sigma|^{1/2}.$$

    The covariance is factorised once, at construction: the parameters are $\mu$ and the lower
    triangular $W = L^{-1}$, where $\Sigma = L L^\top$. Gradient steps on $W$ keep the precision
    matrix $W^\top W$ symmetric and positive semi-definite, which steps on $\Sigma$ would not.

    Args:
        loc: Mean $\mu$, shape `(dim,)`.
        covariance_matrix: Covariance $\Sigma$, symmetric positive definite, shape `(dim, dim)`.

    Attributes:
        loc: Mean, shape `(dim,)`.
        whitening: The matrix $W$, shape `(dim, dim)`; entries above the diagonal are ignored.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, or the covariance is not
            symmetric positive definite.

    Examples:
        >>> from ebm_ppl.energies import Gaussian
        >>> energy = Gaussian(loc=[1.0, 0.0], covariance_matrix=[[4.0, 0.0], [0.0, 1.0]])
        >>> float(energy([3.0, 1.0]))
        1.0
    """

    loc: Float[Array, " dim"]
    whitening: Float[Array, "dim dim"]

    def __init__(self, loc: Any, covariance_matrix: Any) -> None:
        location = as_parameter(loc)
        check_unbatched("loc", location, ("dim",))
        covariance = covariance_matrix
        if is_traced(covariance):
            covariance = as_parameter(covariance)
        check_unbatched("covariance_matrix", covariance, (location.size, location.size))
        check_finite("loc", location)
        self.loc = location
        self.whitening = inverse_cholesky("covariance_matrix", covariance)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(dim,)`."""
        return self.loc.shape

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    def _energy(self, x: Event) -> Scalar:
        return half_squared_norm(self.whitening, x - self.loc)


def half_squared_norm(
    whitening: Float[Array, "dim dim"], deviation: Float[Array, " dim"]
) -> Scalar:
    r"""Half the squared length $\tfrac12 \|W v\|^2$ with the lower triangle $W$ of a matrix.

    Args:
        whitening: Matrix whose lower triangle is $W$.
        deviation: The vector $v$.

    Returns:
        A scalar.
    """
    # Accelerators would otherwise round the factors of a product to 10 or fewer bits.
    # In this order, as XLA of JAX 0.10.2 loses rows of large batches of a matrix of 3 x 3 times a vector.
    whitened = jnp.matmul(deviation, jnp.tril(whitening).T, precision=jax.lax.Precision.HIGHEST)
    return 0.5 * jnp.sum(whitened**2)
