"""Batches of examples, and how an objective looks at one example of them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl.energies import AbstractConditionalEnergy


class Condition(eqx.Module):
    """What examples are conditioned on.

    Attributes:
        y: Conditions, one per example along the leading axis; `None` if they have none.
        sigma: Standard deviation of the noise that is in each example, where its energy depends on it.
        kept: Whether each example keeps its condition; where it does not, a conditional energy uses
            its null condition. `None` if all do.
    """

    y: Array | None = None
    sigma: Float[Array, "*examples"] | None = None
    kept: Bool[Array, "*examples"] | None = None


class Batch(eqx.Module):
    """Examples to learn from.

    Attributes:
        x: Points, shape `(num_examples, *event_shape)`.
        condition: What they are conditioned on, or `None`.
        index: Their rows in the data set, shape `(num_examples,)`.
    """

    x: Float[Array, "num_examples *event"]
    condition: Condition | None
    index: Int[Array, " num_examples"]

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return self.x.shape[0]


def at(energy: Any, condition: Condition | None) -> Any:
    """The energy of one example: a conditional energy is taken at the example's condition.

    An energy, unless it depends on a level of noise that the example does not have.
    """
    if condition is None:
        return energy
    return energy.at(y=condition.y, sigma=condition.sigma, kept=condition.kept)


def levels_are_open(energy: Any, batch: Batch) -> bool:
    """Whether an energy depends on a level of noise that the examples do not have."""
    takes_levels = isinstance(energy, AbstractConditionalEnergy) and energy.noise_conditional
    return takes_levels and (batch.condition is None or batch.condition.sigma is None)


def per_example(function: Callable, energy: Any, batch: Batch, *rest: Any) -> Any:
    """Evaluate `function(energy, x, *rest)` for each example, with the energy at its condition.

    Args:
        function: Function of one example.
        energy: An energy, or a conditional one if the batch has conditions.
        batch: The examples.
        *rest: Further pytrees with a leading axis over the examples.

    Returns:
        The results, with a leading axis over the examples.
    """

    def one(x: Array, condition: Condition | None, *rest: Any) -> Any:
        return function(at(energy, condition), x, *rest)

    return jax.vmap(one)(batch.x, batch.condition, *rest)


def energies_of(energy: Any, batch: Batch) -> Float[Array, " num_examples"]:
    """Energy of each example."""
    return per_example(lambda energy, x: energy(x), energy, batch)
