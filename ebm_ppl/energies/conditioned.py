"""Conditioning an energy on some of its coordinates."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_finite, check_shape, is_traced
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._supports import coordinate_support
from ebm_ppl.energies._unbatched import check_unbatched


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

    Examples:
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

    def __check_init__(self) -> None:
        dim = self.energy.event_size
        if sorted(self.fixed + self.free) != list(range(dim)):
            raise ValueError(
                f"`fixed` and `free` must name each of {dim} coordinates once; got {self.fixed} and "
                f"{self.free}."
            )
        check_unbatched("values", self.values, (len(self.fixed),))
        check_finite("values", self.values)
        support = self.energy.support
        inside = coordinate_support(support, self.fixed, dim)(self.values)
        if not is_traced(inside) and not bool(np.all(inside)):
            raise ValueError(
                f"`values` must lie in the energy's support {support!r}; got {self.values!r}."
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
