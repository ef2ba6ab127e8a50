"""Weight decay, and what it must leave alone."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ebm_ppl._shared_jit import SharedJit
from ebm_ppl.trainers._base import Model


def sparing_learned(
    optimizer: optax.GradientTransformation | optax.MultiSteps, model: Model
) -> optax.GradientTransformation | optax.MultiSteps:
    """An optimiser whose weight decay leaves alone what is learned beside the energy.

    A log partition function is no weight: pulled to 0, it takes the normalisation with it.

    Args:
        optimizer: The optimiser.
        model: The model that it is to change.

    Returns:
        The optimiser itself, where it does not move what has no gradient.
    """
    parameters = eqx.filter(model, eqx.is_inexact_array)
    if not jax.tree.leaves(parameters.learned) or not _decays(optimizer, parameters):
        return optimizer
    return _sparing(optimizer)


def _decays(optimizer: Any, parameters: Model) -> bool:
    """Whether an update moves what is learned where no gradient does."""
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), parameters)
    try:
        moved = _moved(optimizer, ones)
    except (TypeError, ValueError):  # asks for the loss, to search along a line
        return False
    return any(np.any(leaf) for leaf in jax.tree.leaves(moved))


@SharedJit
def _moved(optimizer: Any, parameters: Model) -> Any:
    """The update of what is learned, without any gradient; XLA leaves out the rest."""
    optimizer = optax.with_extra_args_support(_transformation(optimizer))
    gradient = jax.tree.map(jnp.zeros_like, parameters)
    return optimizer.update(gradient, optimizer.init(parameters), parameters)[0].learned


def _sparing(optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """The same optimiser, for which all that is learned beside the energy is 0."""
    inner = optax.with_extra_args_support(_transformation(optimizer))

    def update_fn(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        learned = jax.tree.map(jnp.zeros_like, params.learned)
        return inner.update(updates, state, params._replace(learned=learned), **extra_args)

    return optax.GradientTransformationExtraArgs(inner.init, update_fn)


def _transformation(optimizer: Any) -> optax.GradientTransformation:
    is_several = isinstance(optimizer, optax.MultiSteps)
    return optimizer.gradient_transformation() if is_several else optimizer
