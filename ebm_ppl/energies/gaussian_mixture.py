"""Finite mixtures of multivariate normal laws."""

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


class GaussianMixture(AbstractEnergy):
    r"""Energy of a mixture of normal laws, $p(x) = \sum_j w_j N(x; \mu_j, \Sigma_j)$.

    $$E(x) = -\log \sum_{j=1}^{k} w_j\, |\Sigma_j|^{-1/2}
    \exp\left(-\tfrac12 (x-\mu_j)^\top \Sigma_j^{-1} (x-\mu_j)\right),
    \qquad Z = (2\pi)^{d/2}.$$

    The mean is $\bar\mu = \sum_j w_j \mu_j$ and the covariance
    $\sum_j w_j (\Sigma_j + \mu_j \mu_j^\top) - \bar\mu \bar\mu^\top$.

    The weights are stored as logits, and each evaluation normalises them: a common shift of the
    logits changes nothing, so there is no free additive constant. The covariances are stored as
    $W_j = L_j^{-1}$, where $\Sigma_j = L_j L_j^\top$, as in
    [`Gaussian`][ebm_ppl.energies.Gaussian].

    Args:
        weights: Positive weights, shape `(k,)`; divided by their sum.
        locs: Means of the components, shape `(k, dim)`.
        covariance_matrices: Covariances of the components, shape `(k, dim, dim)`.

    Attributes:
        logits: Logarithms of the weights, up to a common constant, shape `(k,)`.
        locs: Means, shape `(k, dim)`.
        whitenings: The matrices $W_j$, shape `(k, dim, dim)`; entries above the diagonals are
            ignored.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, a weight is not positive, or
            a covariance is not symmetric positive definite.

    Examples:
        >>> from ebm_ppl.energies import GaussianMixture
        >>> energy = GaussianMixture([0.3, 0.7], [[-2.0], [2.0]], [[[1.0]], [[0.25]]])
        >>> round(float(energy([2.0])), 3)
        -0.337
    """

    logits: Float[Array, " k"]
    locs: Float[Array, "k dim"]
    whitenings: Float[Array, "k dim dim"]

    def __init__(self, weights: Any, locs: Any, covariance_matrices: Any) -> None:
        mass = as_parameter(weights)
        check_unbatched("weights", mass, ("k",))
        centers = as_parameter(locs)
        check_unbatched("locs", centers, (mass.size, "dim"))
        covariances = covariance_matrices
        if is_traced(covariances):
            covariances = as_parameter(covariances)
        dim = centers.shape[1]
        check_unbatched("covariance_matrices", covariances, (mass.size, dim, dim))
        check_finite("weights", mass)
        check_finite("locs", centers)
        if not is_traced(mass) and min(mass.tolist()) <= 0:
            raise ValueError(f"`weights` must be positive everywhere; got {weights!r}.")
        self.logits = _log(mass)
        self.locs = centers
        self.whitenings = inverse_cholesky("covariance_matrices", covariances)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(dim,)`."""
        return self.locs.shape[1:]

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    @property
    def weights(self) -> Float[Array, " k"]:
        """The normalised weights, shape `(k,)`."""
        return jax.nn.softmax(self.logits)

    def _energy(self, x: Event) -> Scalar:
        # Accelerators would otherwise round the factors of a product to 10 or fewer bits.
        whitened = jnp.einsum(
            "kij,kj->ki",
            jnp.tril(self.whitenings),
            x - self.locs,
            precision=jax.lax.Precision.HIGHEST,
        )
        diagonals = jnp.diagonal(self.whitenings, axis1=-2, axis2=-1)
        half_log_precision = jnp.sum(jnp.log(jnp.abs(diagonals)), axis=-1)
        log_weights = jax.nn.log_softmax(self.logits)
        exponents = log_weights + half_log_precision - 0.5 * jnp.sum(whitened**2, axis=-1)
        return -jax.nn.logsumexp(exponents)


def _log(mass: Float[Array, " k"]) -> Float[Array, " k"]:
    """Logarithm that keeps a concrete value concrete while JAX traces the surrounding code."""
    if is_traced(mass):
        return jnp.log(mass)
    with jax.ensure_compile_time_eval():
        return jnp.log(mass)
