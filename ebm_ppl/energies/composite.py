"""Energies from energies: sums, tempering and conditioning."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_finite, check_shape, is_traced
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars
from ebm_ppl.energies._supports import coordinate_support, same_support


class SumEnergy(AbstractEnergy):
    r"""Product of experts: the energies of all members add up.

    $$E(x) = \sum_j E_j(x), \qquad p(x) \propto \prod_j p_j(x).$$

    The sum normalises if one member does and the others are bounded below.

    Args:
        *energies: The members, with one event shape and one support.

    Raises:
        ValueError: If there is no member, or their event shapes or supports differ.

    Example:
        >>> from ebm_ppl.energies import Quartic, SumEnergy
        >>> energy = SumEnergy(Quartic(a=0.5), Quartic(a=0.0, b=1.0))
        >>> float(energy(1.0))
        3.5

    References:
        G. E. Hinton (2002). Training products of experts by minimizing contrastive divergence.
        *Neural Computation* 14(8), 1771-1800.
    """

    energies: tuple[AbstractEnergy, ...]

    def __init__(self, *energies: AbstractEnergy) -> None:
        if not energies:
            raise ValueError("`energies` must have at least one member; got none.")
        first = energies[0]
        for other in energies[1:]:
            if other.event_shape != first.event_shape:
                raise ValueError(
                    f"`energies` must share one event shape; got {first.event_shape} and "
                    f"{other.event_shape}."
                )
            if not same_support(first.support, other.support):
                raise ValueError(
                    f"`energies` must share one support; got {first.support!r} and "
                    f"{other.support!r}."
                )
        self.energies = energies

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, which the members share."""
        return self.energies[0].event_shape

    @property
    def support(self) -> constraints.Constraint:
        """Support of the members."""
        return self.energies[0].support

    def _energy(self, x: Event) -> Scalar:
        total = self.energies[0](x)
        for energy in self.energies[1:]:
            total = total + energy(x)
        return total


class TemperedEnergy(AbstractEnergy):
    r"""An energy at another temperature.

    $$E_\beta(x) = \beta\, E(x), \qquad p_\beta(x) \propto p(x)^\beta.$$

    A small inverse temperature $\beta$ flattens the law, a large one concentrates it at its modes.

    Args:
        energy: The energy at $\beta = 1$.
        inverse_temperature: The factor $\beta > 0$.

    Raises:
        ValueError: If `inverse_temperature` is no positive scalar.

    Example:
        >>> from ebm_ppl.energies import DoubleWell, TemperedEnergy
        >>> float(TemperedEnergy(DoubleWell(barrier_height=2.0), 0.25)([0.0]))
        0.5
    """

    energy: AbstractEnergy
    inverse_temperature: Scalar = eqx.field(converter=as_parameter)

    def __check_init__(self) -> None:
        check_positive_scalars(inverse_temperature=self.inverse_temperature)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> constraints.Constraint:
        """Support of the energy at the reference temperature."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        return self.inverse_temperature * self.energy(x)


class ConditionedEnergy(AbstractEnergy):
    r"""An energy on vectors with some coordinates fixed: the conditional law of the others.

    $$E(x_F \mid x_C) = E(x_F, x_C), \qquad p(x_F \mid x_C) = \frac{\exp(-E(x_F, x_C))}{Z(x_C)},
    \quad Z(x_C) = \int \exp(-E(x_F, x_C))\, dx_F.$$

    Args:
        energy: The joint energy, on vectors of `dim` coordinates.
        values: Values of the fixed coordinates, in the order in which `fixed` names them, or in
            ascending order if it is a mask; shape `(num_fixed,)`.
        fixed: Indices of the fixed coordinates, or a Boolean mask of shape `(dim,)`; at least one
            coordinate is fixed and at least one is free.

    Attributes:
        energy: The joint energy.
        values: Values of the fixed coordinates.
        fixed: Their indices.
        free: Indices of the other coordinates, ascending.

    Raises:
        ValueError: If `energy` is not on vectors, its support ties coordinates to one another,
            `fixed` is no such selection, or `values` does not fit it or lies outside the support.

    Example:
        >>> from ebm_ppl.energies import Banana, ConditionedEnergy
        >>> energy = ConditionedEnergy(Banana(b=2.0), values=[0.5], fixed=(0,))
        >>> float(energy([1.25]))
        2.0
    """

    energy: AbstractEnergy
    values: Float[Array, " num_fixed"]
    fixed: tuple[int, ...] = eqx.field(static=True)
    free: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, energy: AbstractEnergy, values: Any, fixed: Any) -> None:
        if len(energy.event_shape) != 1:
            raise ValueError(
                "`energy` must have event shape (dim,) to be conditioned; got "
                f"{energy.event_shape}."
            )
        dim = energy.event_size
        self.energy = energy
        self.fixed = _as_indices(fixed, dim)
        self.free = tuple(index for index in range(dim) if index not in self.fixed)
        self.values = as_parameter(values)
        check_shape("values", self.values, (len(self.fixed),))
        check_finite("values", self.values)
        inside = coordinate_support(energy.support, self.fixed, dim)(self.values)
        if not is_traced(inside) and not bool(np.all(inside)):
            raise ValueError(
                f"`values` must lie in the energy's support {energy.support!r}; got {values!r}."
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(num_free,)`."""
        return (len(self.free),)

    @property
    def support(self) -> constraints.Constraint:
        """Support of the free coordinates."""
        return coordinate_support(self.energy.support, self.free, self.energy.event_size)

    def _energy(self, x: Event) -> Scalar:
        order = np.argsort(np.array(self.free + self.fixed))
        joined = jnp.concatenate([x, self.values])
        return self.energy(joined[order])


def _as_indices(fixed: Any, dim: int) -> tuple[int, ...]:
    """Read a selection of coordinates, given as indices or as a mask."""
    selection = np.atleast_1d(np.asarray(fixed))
    if selection.dtype == bool:
        check_shape("fixed", selection, (dim,))
        selection = np.flatnonzero(selection)
    valid = (
        selection.ndim == 1
        and np.issubdtype(selection.dtype, np.integer)
        and 0 < selection.size < dim
        and np.all((selection >= -dim) & (selection < dim))
        and np.unique(selection % dim).size == selection.size
    )
    if not valid:
        raise ValueError(
            f"`fixed` must select at least one and fewer than all of the {dim} coordinates, "
            f"each once; got {fixed!r}."
        )
    return tuple(int(index) for index in selection % dim)
