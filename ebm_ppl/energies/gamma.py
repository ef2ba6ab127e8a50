"""The gamma law, an energy on the positive half-line."""

import equinox as eqx
from jax.scipy.special import xlogy
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars


class Gamma(AbstractEnergy):
    r"""Energy of the gamma law on the positive numbers.

    $$E(x) = \beta x - (\alpha - 1) \log x, \qquad Z = \Gamma(\alpha) / \beta^{\alpha}.$$

    The mean is $\alpha / \beta$, the variance $\alpha / \beta^2$. With a concentration below 1 the
    density is unbounded at 0, though integrable.

    Args:
        concentration: Shape $\alpha > 0$.
        rate: Rate $\beta > 0$, in inverse units of $x$.

    Raises:
        ValueError: If an argument is no positive scalar.

    Examples:
        >>> from ebm_ppl.energies import Gamma
        >>> float(Gamma(concentration=3.0, rate=2.0)(1.0))
        2.0
    """

    concentration: Scalar = eqx.field(converter=as_parameter, default=3.0)
    rate: Scalar = eqx.field(converter=as_parameter, default=2.0)

    def __check_init__(self) -> None:
        check_positive_scalars(concentration=self.concentration, rate=self.rate)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: a scalar."""
        return ()

    @property
    def support(self) -> constraints.Constraint:
        """The positive numbers."""
        return constraints.positive

    def _energy(self, x: Event) -> Scalar:
        return self.rate * x - xlogy(self.concentration - 1, x)
