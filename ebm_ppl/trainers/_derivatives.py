"""Derivatives of an energy with respect to the point, and of energies with respect to parameters."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._types import Event
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.trainers._base import Model
from ebm_ppl.trainers._batch import Batch, energies_of


def gradient_and_products(
    energy: AbstractEnergy, x: Event, directions: Float[Array, "num_directions *event"]
) -> tuple[Event, Float[Array, " num_directions"]]:
    r"""Gradient of the energy and the quadratic forms $v^\top \nabla^2 E\, v$ of its Hessian.

    Args:
        energy: The energy.
        x: A point.
        directions: The vectors $v$.

    Returns:
        The gradient, of the shape of `x`, and one number per direction.
    """
    gradient, hessian_product = jax.linearize(jax.grad(energy), x)

    def product(direction: Event) -> Array:
        return jnp.sum(direction * hessian_product(direction))

    return gradient, jax.vmap(product)(directions)


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
    if base is not constraints.real and base is not constraints.real_vector:
        raise ValueError(
            "`energy` must have a support without boundary for score matching; got "
            f"{support!r}. Change coordinates, or use another objective."
        )
