"""An energy in other units: shifted and scaled coordinates."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_finite, is_traced
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._supports import real_support, same_support
from ebm_ppl.energies._unbatched import check_unbatched


class AffineEnergy(AbstractEnergy):
    r"""The law of $m + s \odot x'$, where $x'$ follows another energy $E'$.

    $$E(x) = E'\!\left(\frac{x - m}{s}\right), \qquad Z = Z' \prod_k s_k.$$

    An energy that was trained on standardised data so gets the units of the data back. $m$ and $s$ are
    constants and no parameters.

    Args:
        energy: The energy $E'$, on all reals.
        loc: The shift $m$, of the energy's event shape.
        scale: The scale $s > 0$, of the energy's event shape.

    Raises:
        ValueError: If the energy's support is not all reals, or `loc` or `scale` has another shape, is
            traced or not finite, or `scale` is not positive.

    Examples:
        >>> from ebm_ppl.energies import AffineEnergy, Quartic
        >>> energy = AffineEnergy(Quartic(a=0.5, gamma=-80.0), loc=10.0, scale=2.0)
        >>> float(energy(14.0))
        2.0
    """

    energy: AbstractEnergy
    _loc: tuple[float, ...] = eqx.field(static=True)
    _scale: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, energy: AbstractEnergy, loc: Any, scale: Any) -> None:
        for name, value in (("loc", loc), ("scale", scale)):
            check_unbatched(name, value, energy.event_shape)
            if is_traced(value):
                raise ValueError(
                    f"`{name}` must be constant, not random, optimised or otherwise traced by JAX; got "
                    f"{value!r}. A NumPyro `TransformedDistribution` takes a random one."
                )
            check_finite(name, value)
        self.energy = energy
        self._loc = tuple(np.ravel(np.asarray(loc, float)).tolist())
        self._scale = tuple(np.ravel(np.asarray(scale, float)).tolist())

    def __check_init__(self) -> None:
        if not same_support(self.energy.support, real_support(self.event_shape)):
            raise ValueError(
                f"`energy` must have all reals for its support; got {self.energy.support!r}."
            )
        loc, scale = self.constants
        check_finite("loc", loc)
        check_finite("scale", scale)
        if not np.all(scale > 0):
            raise ValueError(f"`scale` must be above 0 everywhere; got {scale!r}.")

    @property
    def loc(self) -> Float[Array, "..."]:
        """The shift $m$."""
        return as_parameter(np.reshape(self._loc, self.event_shape))

    @property
    def scale(self) -> Float[Array, "..."]:
        """The scale $s$."""
        return as_parameter(np.reshape(self._scale, self.event_shape))

    @property
    def constants(self) -> tuple[np.ndarray, np.ndarray]:
        """$m$ and $s$ in double precision, which `loc` and `scale` round to that of the energy."""
        shape = self.event_shape
        return np.array(self._loc).reshape(shape), np.array(self._scale).reshape(shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> constraints.Constraint:
        """All reals."""
        return self.energy.support

    def standardise(self, x: Any) -> Float[Array, "..."]:
        """Points, one or a batch, in the coordinates of the inner energy."""
        return (jnp.asarray(x) - self.loc) / self.scale

    def _energy(self, x: Event) -> Scalar:
        return self.energy(self.standardise(x))
