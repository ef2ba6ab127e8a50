"""A circle with a blurred edge: a law whose modes form a curve."""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars


class Ring(AbstractEnergy):
    r"""A ring of radius $R$ and width $w$ around the origin of the plane.

    $$E(x) = \frac{(\|x\| - R)^2}{2 w^2}, \qquad
    Z = 2\pi \left[w^2 e^{-R^2/2w^2} + R w \sqrt{2\pi}\, \Phi(R/w)\right].$$

    The angle is uniform and independent of the radius, so both means are 0. At the origin itself
    the energy has a cone-shaped peak; its gradient there is taken to be 0, the mean over all
    directions.

    Args:
        radius: Radius $R > 0$.
        width: Width $w > 0$, in units of length.

    Raises:
        ValueError: If an argument is no positive scalar.

    Examples:
        >>> from ebm_ppl.energies import Ring
        >>> energy = Ring(radius=2.0, width=0.5)
        >>> float(energy([0.0, 2.0])), float(energy([3.0, 0.0]))
        (0.0, 2.0)
    """

    radius: Scalar = eqx.field(converter=as_parameter, default=2.0)
    width: Scalar = eqx.field(converter=as_parameter, default=0.375)

    def __check_init__(self) -> None:
        check_positive_scalars(radius=self.radius, width=self.width)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(2,)`."""
        return (2,)

    @property
    def support(self) -> constraints.Constraint:
        """The plane."""
        return constraints.real_vector

    def _energy(self, x: Event) -> Scalar:
        squared = jnp.sum(x**2)
        away = squared > 0
        # The inner selection keeps the infinite slope of the root at 0 out of the gradient: zero
        # times infinity would make it NaN.
        norm = jnp.where(away, jnp.sqrt(jnp.where(away, squared, 1)), 0)
        return 0.5 * ((norm - self.radius) / self.width) ** 2
