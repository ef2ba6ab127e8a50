"""Linear regression with normal errors, the conditional law in closed form."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_finite, is_traced
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._conditions import as_null_condition
from ebm_ppl.energies._parameters import inverse_cholesky
from ebm_ppl.energies._unbatched import check_unbatched
from ebm_ppl.energies.conditional import AbstractConditionalEnergy
from ebm_ppl.energies.gaussian import half_squared_norm


class ConditionalGaussian(AbstractConditionalEnergy):
    r"""Linear regression, $x \mid y \sim N(A y + b, \Sigma)$.

    $$E(x \mid y) = \tfrac12 \left\|W (x - A y - b)\right\|^2, \qquad
    W^\top W = \Sigma^{-1}, \qquad Z = (2\pi)^{d/2} |\Sigma|^{1/2}.$$

    $Z$ does not depend on $y$, and under guidance the law is again normal, with the same covariance
    and mean $A (y + w (y - y_\varnothing)) + b$.

    Args:
        coefficients: The matrix $A$, shape `(dim, condition_dim)`.
        intercept: The vector $b$, shape `(dim,)`.
        covariance_matrix: Covariance $\Sigma$ of the errors, shape `(dim, dim)`.
        null_condition: The condition that stands for none, shape `(condition_dim,)`; `None` if the
            condition cannot be dropped.

    Attributes:
        coefficients: The matrix $A$.
        intercept: The vector $b$.
        whitening: The matrix $W$, as in [`Gaussian`][ebm_ppl.energies.Gaussian].
        null_condition: The condition that stands for none, or `None`.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, or the covariance is not
            symmetric positive definite.

    Examples:
        >>> from ebm_ppl.energies import ConditionalGaussian
        >>> energy = ConditionalGaussian([[1.0], [2.0]], [0.0, 1.0], [[1.0, 0.0], [0.0, 1.0]])
        >>> float(energy([1.0, 1.0], [1.0]))  # the mean is (1, 3)
        2.0
    """

    coefficients: Float[Array, "dim condition_dim"]
    intercept: Float[Array, " dim"]
    whitening: Float[Array, "dim dim"]
    null_condition: Float[Array, " condition_dim"] | None
    noise_conditional = False

    def __init__(
        self,
        coefficients: Any,
        intercept: Any,
        covariance_matrix: Any,
        null_condition: Any = None,
    ) -> None:
        matrix = as_parameter(coefficients)
        check_unbatched("coefficients", matrix, ("dim", "condition_dim"))
        dim, condition_dim = matrix.shape
        check_unbatched("intercept", intercept, (dim,))
        covariance = covariance_matrix
        if is_traced(covariance):
            covariance = as_parameter(covariance)
        check_unbatched("covariance_matrix", covariance, (dim, dim))
        check_finite("coefficients", matrix)
        check_finite("intercept", intercept)
        self.coefficients = matrix
        self.intercept = as_parameter(intercept)
        self.whitening = inverse_cholesky("covariance_matrix", covariance)
        self.null_condition = as_null_condition(null_condition, (condition_dim,))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(dim,)`."""
        return self.intercept.shape

    @property
    def condition_shape(self) -> tuple[int, ...]:
        """Shape of one condition, `(condition_dim,)`."""
        return self.coefficients.shape[1:]

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    def _energy(self, x: Event, y: Float[Array, "..."], sigma: None) -> Scalar:
        mean = jnp.matmul(self.coefficients, y, precision=jax.lax.Precision.HIGHEST)
        return half_squared_norm(self.whitening, x - mean - self.intercept)
