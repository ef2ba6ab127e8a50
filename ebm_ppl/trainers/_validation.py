"""Held-out data: when to evaluate a fit, by what, and when to stop it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ebm_ppl._checks import check_count, check_interval
from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._data import as_batch, split_off
from ebm_ppl.trainers._step import TrainState

Metric = Callable[[Model, Batch], Any]
"""A number to make small, from the model and the held-out examples."""


@dataclasses.dataclass(frozen=True)
class Validation:
    """Evaluation on held-out data during a fit, and early stopping.

    Attributes:
        fraction: Share of the data to hold out; give this or `data`.
        data: Held-out points, shape `(num_examples, *event_shape)`.
        condition: Their conditions, for conditional energies.
        metric: Number to make small, a function of the model and the held-out batch that JAX can
            trace; the objective's own loss if `None`, where it is a criterion.
        every: Number of steps between two evaluations.
        patience: Number of evaluations without a new best value after which the fit stops and returns
            the parameters that were best; `None` to go on to the end with the last ones.

    Raises:
        ValueError: If not exactly one of `fraction` and `data` is given, or a number is outside its
            bounds.
    """

    fraction: float | None = None
    data: Any = None
    condition: Any = None
    metric: Metric | None = None
    every: int = 100
    patience: int | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.data is None):
            raise ValueError(
                "Exactly one of `fraction` and `data` must be given; got "
                f"{'neither' if self.data is None else 'both'}."
            )
        if self.fraction is not None:
            check_interval("fraction", self.fraction, 0.0, 1.0)
        check_count("every", self.every)
        if self.patience is not None:
            check_count("patience", self.patience)

    def hold_out(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[Batch, Batch]:
        """The examples to learn from and those held out."""
        if self.fraction is not None:
            return split_off(data, self.fraction, rng_key)
        return data, as_batch(energy, self.data, self.condition)

    def check_metric(self, objective: AbstractObjective) -> None:
        """Refuse to watch a loss that does not measure the quality of a fit."""
        if self.metric is None and not objective.is_criterion:
            raise ValueError(
                f"`metric` must be given with {objective.name}, whose loss does not measure the "
                "quality of a fit; got None."
            )


class Best(eqx.Module):
    """The best evaluation so far, and the model then."""

    model: Model
    value: float
    num_since: int

    @classmethod
    def none_yet(cls, model: Model) -> "Best":
        """Before the first evaluation."""
        return cls(model, math.inf, 0)

    def after(self, model: Model, value: float) -> "Best":
        """The best after one more evaluation."""
        if value < self.value:
            return Best(model, value, 0)
        return Best(self.model, self.value, self.num_since + 1)


@eqx.filter_jit
def evaluate(
    metric: Metric | None,
    objective: AbstractObjective,
    model: Model,
    state: TrainState,
    held_out: Batch,
    rng_key: PRNGKey,
) -> Any:
    """The metric on held-out data; the same draws at each evaluation, so that values compare."""
    if metric is not None:
        return jnp.asarray(metric(model, held_out))
    key_carried, key_draws = jax.random.split(rng_key)
    carried = objective.for_held_out(held_out, state.carried, key_carried)
    sample = objective.prepare(model, held_out, carried, state.step, key_draws).sample
    return jnp.mean(objective.losses(model, held_out, sample))
