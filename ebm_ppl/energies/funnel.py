"""A scale that is itself random: the geometry of hierarchical models."""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import constraints

from ebm_ppl._checks import check_count
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars


class Funnel(AbstractEnergy):
    r"""Neal's funnel: $v = x_0 \sim N(0, s^2)$ and $x_i \mid v \sim N(0, e^v)$ for $i \ge 1$.

    $$E(x) = \frac{v^2}{2 s^2} + \frac{d-1}{2} v + \frac12 e^{-v} \sum_{i \ge 1} x_i^2,
    \qquad Z = (2\pi)^{d/2} s.$$

    Every mean is 0; the variances are $s^2$ and, for $i \ge 1$, $e^{s^2/2}$. The curvature varies
    by orders of magnitude along $v$, so no single step size suits the whole law.

    Args:
        dim: Number of coordinates $d \ge 2$.
        scale: Standard deviation $s > 0$ of $v$; Neal's example has 3.

    Raises:
        ValueError: If `dim` is no integer of at least 2, or `scale` no positive scalar.

    Examples:
        >>> from ebm_ppl.energies import Funnel
        >>> float(Funnel(dim=3, scale=3.0)([0.0, 1.0, 2.0]))
        2.5

    References:
        R. M. Neal (2003). Slice sampling. *The Annals of Statistics* 31(3), 705-767, section 8.
    """

    dim: int = eqx.field(static=True, default=2)
    scale: Scalar = eqx.field(converter=as_parameter, default=3.0)

    def __check_init__(self) -> None:
        check_count("dim", self.dim, minimum=2)
        check_positive_scalars(scale=self.scale)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(dim,)`."""
        return (self.dim,)

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    def _energy(self, x: Event) -> Scalar:
        v, others = x[0], x[1:]
        # exp(-v/2) may overflow where others = 0, and inf * 0 is NaN. The bound acts only where the
        # conditional standard deviation is below the smallest normal number.
        largest_exponent = jnp.log(jnp.finfo(others.dtype).max) - 1
        standardised = others * jnp.exp(jnp.minimum(-v / 2, largest_exponent))
        prior = 0.5 * (v / self.scale) ** 2 + 0.5 * (self.dim - 1) * v
        return prior + 0.5 * jnp.sum(standardised**2)
