"""A curved ridge in the plane: Rosenbrock's function with a density that is known."""

import equinox as eqx
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars, check_scalars


class Banana(AbstractEnergy):
    r"""Rosenbrock's banana in the plane.

    $$E(x) = \frac{(x_0 - a)^2}{2 s^2} + b\, (x_1 - x_0^2)^2, \qquad Z = \pi s \sqrt{2 / b}.$$

    That is, $x_0 \sim N(a, s^2)$ and $x_1 \mid x_0 \sim N(x_0^2, 1/2b)$. The means are $a$ and
    $a^2 + s^2$, the variances $s^2$ and $2 s^4 + 4 a^2 s^2 + 1/2b$. Rosenbrock's own function is
    $a = 1$, $b = 100$, $s = 1/\sqrt2$; the defaults have a ridge that a sampler and a grid can
    follow.

    Args:
        a: Mean of the first coordinate; off zero the law is asymmetric.
        b: Steepness $b > 0$ of the ridge.
        scale: Standard deviation $s > 0$ of the first coordinate.

    Raises:
        ValueError: If `a` is no finite scalar, or `b` or `scale` no positive scalar.

    Examples:
        >>> from ebm_ppl.energies import Banana
        >>> float(Banana(a=0.5, b=2.0, scale=0.5)([1.0, 0.0]))
        2.5

    References:
        H. H. Rosenbrock (1960). An automatic method for finding the greatest or least value of a
        function. *The Computer Journal* 3(3), 175-184.
    """

    a: Scalar = eqx.field(converter=as_parameter, default=0.5)
    b: Scalar = eqx.field(converter=as_parameter, default=2.0)
    scale: Scalar = eqx.field(converter=as_parameter, default=0.5)

    def __check_init__(self) -> None:
        check_scalars(a=self.a)
        check_positive_scalars(b=self.b, scale=self.scale)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(2,)`."""
        return (2,)

    @property
    def support(self) -> constraints.Constraint:
        """The plane."""
        return constraints.real_vector

    def _energy(self, x: Event) -> Scalar:
        along = (x[0] - self.a) / self.scale
        across = x[1] - x[0] ** 2
        return 0.5 * along**2 + self.b * across**2
