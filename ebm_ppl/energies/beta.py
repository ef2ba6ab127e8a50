"""The beta law, an energy on a bounded interval."""

import equinox as eqx
from jax.scipy.special import xlog1py, xlogy
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars


class Beta(AbstractEnergy):
    r"""Energy of the beta law on the unit interval.

    $$E(x) = -(\alpha - 1) \log x - (\beta - 1) \log(1 - x), \qquad
    Z = B(\alpha, \beta) = \frac{\Gamma(\alpha)\, \Gamma(\beta)}{\Gamma(\alpha + \beta)}.$$

    With $n = \alpha + \beta$ the mean is $\alpha / n$ and the variance
    $\alpha \beta / \left(n^2 (n + 1)\right)$. With a concentration below 1 the density is unbounded
    at that end, though integrable.

    Args:
        concentration1: Exponent $\alpha > 0$ at 0; NumPyro's name for it.
        concentration0: Exponent $\beta > 0$ at 1; NumPyro's name for it.

    Raises:
        ValueError: If an argument is no positive scalar.

    Examples:
        >>> from ebm_ppl.energies import Beta
        >>> round(float(Beta(3.0, 2.0)(0.5)), 4)
        2.0794
    """

    concentration1: Scalar = eqx.field(converter=as_parameter, default=3.0)
    concentration0: Scalar = eqx.field(converter=as_parameter, default=2.0)

    def __check_init__(self) -> None:
        check_positive_scalars(
            concentration1=self.concentration1, concentration0=self.concentration0
        )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: a scalar."""
        return ()

    @property
    def support(self) -> constraints.Constraint:
        """The unit interval."""
        return constraints.unit_interval

    def _energy(self, x: Event) -> Scalar:
        return -xlogy(self.concentration1 - 1, x) - xlog1py(self.concentration0 - 1, -x)
