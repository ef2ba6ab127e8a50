r"""Two wells along the first coordinate, equally deep or tilted, and springs along the others."""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import constraints

from ebm_ppl._checks import check_count
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars, check_scalars


def _double_well(x: Event, barrier_height: Scalar, separation: Scalar) -> Scalar:
    """Energy of the symmetric double well, shared by the two classes below."""
    well = barrier_height * ((2 * x[0] / separation) ** 2 - 1) ** 2
    return well + 0.5 * jnp.sum(x[1:] ** 2)


class DoubleWell(AbstractEnergy):
    r"""Two equally deep wells at $x_0 = \pm c$ with a barrier of height $h$ between them.

    $$E(x) = h \left(\frac{x_0^2}{c^2} - 1\right)^2 + \frac12 \sum_{i \ge 1} x_i^2,
    \qquad c = \text{separation} / 2.$$

    The coordinates are independent, and with the modified Bessel functions $I$,

    $$Z = \frac{\pi c}{2} e^{-h/2} \left[I_{-1/4}(h/2) + I_{1/4}(h/2)\right] (2\pi)^{(d-1)/2}.$$

    Every mean is 0, and the variance of $x_i$, $i \ge 1$, is 1.

    Args:
        dim: Number of coordinates $d$.
        barrier_height: Height $h > 0$ of the barrier above the wells, in nats.
        separation: Distance $2c > 0$ between the two minima.

    Raises:
        ValueError: If `dim` is no positive integer or another argument no positive scalar.

    Examples:
        >>> from ebm_ppl.energies import DoubleWell
        >>> energy = DoubleWell(dim=2, barrier_height=2.0, separation=2.5)
        >>> float(energy([0.0, 0.0])), float(energy([1.25, 0.0]))
        (2.0, 0.0)
    """

    dim: int = eqx.field(static=True, default=1)
    barrier_height: Scalar = eqx.field(converter=as_parameter, default=2.0)
    separation: Scalar = eqx.field(converter=as_parameter, default=2.5)

    def __check_init__(self) -> None:
        check_count("dim", self.dim)
        check_positive_scalars(barrier_height=self.barrier_height, separation=self.separation)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(dim,)`."""
        return (self.dim,)

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    def _energy(self, x: Event) -> Scalar:
        return _double_well(x, self.barrier_height, self.separation)


class TiltedDoubleWell(AbstractEnergy):
    r"""Two wells of unequal depth: a double well in a constant field.

    $$E(x) = h \left(\frac{x_0^2}{c^2} - 1\right)^2 + t\, x_0 + \frac12 \sum_{i \ge 1} x_i^2,
    \qquad c = \text{separation} / 2.$$

    A positive tilt $t$ favours the left well; the wells differ in depth by about $2 c t$ nats, and
    both exist while $|t| < 8 h / (3 \sqrt3\, c)$. The law of $x_0$ is that of a
    [`Quartic`][ebm_ppl.energies.Quartic] with $a = -2h/c^2$, $b = t$ and $\lambda = h/c^4$, whose
    series gives $Z$. No symmetry hides a wrong sign here, which makes it a good target for tests.

    Args:
        dim: Number of coordinates $d$.
        barrier_height: Height $h > 0$ of the barrier above the wells before the tilt, in nats.
        separation: Distance $2c > 0$ between the two minima before the tilt.
        tilt: Slope $t$, of either sign, in nats per unit length.

    Raises:
        ValueError: If `dim` is no positive integer, `barrier_height` or `separation` no positive
            scalar, or `tilt` no finite scalar.

    Examples:
        >>> from ebm_ppl.energies import TiltedDoubleWell
        >>> energy = TiltedDoubleWell(tilt=0.5)
        >>> float(energy([1.25])), float(energy([-1.25]))
        (0.625, -0.625)
    """

    dim: int = eqx.field(static=True, default=1)
    barrier_height: Scalar = eqx.field(converter=as_parameter, default=2.0)
    separation: Scalar = eqx.field(converter=as_parameter, default=2.5)
    tilt: Scalar = eqx.field(converter=as_parameter, default=0.5)

    def __check_init__(self) -> None:
        check_count("dim", self.dim)
        check_positive_scalars(barrier_height=self.barrier_height, separation=self.separation)
        check_scalars(tilt=self.tilt)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(dim,)`."""
        return (self.dim,)

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    def _energy(self, x: Event) -> Scalar:
        return _double_well(x, self.barrier_height, self.separation) + self.tilt * x[0]
