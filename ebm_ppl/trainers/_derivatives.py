"""Derivatives of an energy with respect to the point, and of energies with respect to parameters."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.trainers._base import Model
from ebm_ppl.trainers._batch import Batch, energies_of

_MOST_UNROLLED = 16


def gradient_and_products(
    energy: AbstractEnergy, x: Event, directions: Float[Array, "num_directions *event"]
) -> tuple[Event, Float[Array, " num_directions"]]:
    r"""Gradient of the energy and the quadratic forms $v^\top \nabla^2 E\, v$ of its Hessian.

    Forward over reverse; what does not depend on a direction is computed once.

    Args:
        energy: The energy.
        x: A point.
        directions: The vectors $v$.

    Returns:
        The gradient, of the shape of `x`, and one number per direction.
    """
    gradient, hessian_product = jax.linearize(jax.grad(energy), x)

    def product(direction: Event) -> Scalar:
        return jnp.sum(direction * hessian_product(direction))

    return gradient, for_each(product, directions)


def slopes_and_products(
    energy: AbstractEnergy, x: Event, directions: Float[Array, "num_directions *event"]
) -> tuple[Float[Array, " num_directions"], Float[Array, " num_directions"]]:
    r"""First and second derivatives $v^\top \nabla E$ and $v^\top \nabla^2 E\, v$ along directions.

    Forward over forward; the gradient itself is never computed.

    Args:
        energy: The energy.
        x: A point.
        directions: The vectors $v$.

    Returns:
        Two numbers per direction.
    """

    def along(direction: Event) -> tuple[Scalar, Scalar]:
        def slope(x: Event) -> Scalar:
            return jax.jvp(energy, (x,), (direction,))[1]

        return jax.jvp(slope, (x,), (direction,))

    return for_each(along, directions)


def for_each(function: Callable[[Event], Any], directions: Array) -> Any:
    """`jax.vmap` over directions; a few of them are taken one by one."""
    if len(directions) > _MOST_UNROLLED:
        return jax.vmap(function)(directions)
    # With directions as a third axis, beside examples and units, XLA's products on a CPU take half as
    # long again.
    return jax.tree.map(lambda *results: jnp.stack(results), *map(function, directions))


def energy_gradients(model: Model, batch: Batch) -> Float[Array, "num_examples num_parameters"]:
    r"""Gradients $\nabla_\theta E_\theta(x_i)$ with respect to all flattened parameters of the model."""
    parameters, constants = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)

    def energies(flat: Array) -> Float[Array, " num_examples"]:
        return energies_of(eqx.combine(unravel(flat), constants).energy, batch)

    return jax.jacfwd(energies)(flat)


def check_no_boundary(energy: Any) -> None:
    """Refuse a support with a boundary, at which integration by parts leaves a term."""
    support = energy.support
    base = support.base_constraint if isinstance(support, constraints.independent) else support
    if base is not constraints.real:
        raise ValueError(
            "`energy` must have a support without boundary for score matching; got "
            f"{support!r}. Change coordinates, or use another objective."
        )
