"""The anharmonic oscillator, a quartic polynomial on the line."""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import constraints

from ebm_ppl._checks import check_positive
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_scalars


class Quartic(AbstractEnergy):
    r"""Quartic energy on the real line.

    $$E(x) = a x^2 + b x + \lambda x^4, \qquad \lambda = e^{\gamma} > 0.$$

    It normalises for every $(a, b, \gamma)$, with two wells if $a < 0$ and $b$ is small. With the
    parabolic cylinder functions $D$, the partition function is the convergent series

    $$Z = \sum_{k \ge 0} \frac{b^{2k}}{(2k)!} M_k, \qquad
    M_k = \int x^{2k} e^{-a x^2 - \lambda x^4} dx = (2\lambda)^{-\frac{2k+1}{4}}\,
    \Gamma(k + \tfrac12)\, e^{a^2/8\lambda}\, D_{-k-\frac12}\!\left(a/\sqrt{2\lambda}\right).$$

    Args:
        a: Quadratic coefficient.
        b: Linear coefficient.
        gamma: Logarithm of the quartic coefficient.

    Raises:
        ValueError: If a parameter is no finite scalar, or $e^\gamma$ is not representable.

    Examples:
        >>> from ebm_ppl.energies import Quartic
        >>> energy = Quartic(a=0.5, b=0.0, gamma=0.0)
        >>> float(energy(2.0))
        18.0

    References:
        I. S. Gradshteyn and I. M. Ryzhik (2007). *Table of Integrals, Series, and Products*,
        7th edition, 3.462.1 (the integral behind $M_k$, with $t = x^2$).
    """

    a: Scalar = eqx.field(converter=as_parameter, default=1.0)
    b: Scalar = eqx.field(converter=as_parameter, default=0.0)
    gamma: Scalar = eqx.field(converter=as_parameter, default=0.0)

    def __check_init__(self) -> None:
        check_scalars(a=self.a, b=self.b, gamma=self.gamma)
        check_positive("exp(gamma)", self.quartic_coefficient)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: a scalar."""
        return ()

    @property
    def support(self) -> constraints.Constraint:
        """The real line."""
        return constraints.real

    @property
    def quartic_coefficient(self) -> Scalar:
        r"""The coefficient $\lambda = e^\gamma$ of $x^4$."""
        return jnp.exp(self.gamma)

    def _energy(self, x: Event) -> Scalar:
        # Horner's scheme overflows to +inf at both ends; a x² + λ x⁴ would give inf − inf there.
        return x * (self.b + x * (self.a + self.quartic_coefficient * x**2))
