"""Held-out data: when to evaluate a fit, by what, and when to stop it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ebm_ppl._checks import check_count, check_interval, check_shape
from ebm_ppl._programs import program_of
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._data import as_batch, split_off
from ebm_ppl.trainers._units import Units

Metric = Callable[[Model, Batch], Any]
"""A number to make small, from the model and the held-out examples."""


@dataclasses.dataclass(frozen=True)
class Validation:
    """Evaluation on held-out data during a fit, and early stopping.

    Attributes:
        fraction: Share of the data to hold out; give this or `data`.
        data: Held-out points, shape `(num_examples, *event_shape)`.
        condition: Conditions of `data`, for conditional energies.
        sigma: Standard deviation of the noise that is in each point of `data`, for energies that depend
            on it.
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
    sigma: Any = None
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
            for name in ("condition", "sigma"):
                value = getattr(self, name)
                if value is not None:
                    raise ValueError(
                        f"`{name}` must be None where `fraction` is given, since the examples held out "
                        f"have their own; got {type(value).__name__}."
                    )
        if self.metric is not None and not callable(self.metric):
            raise ValueError(
                f"`metric` must be a function of a model and a batch; got {self.metric!r}."
            )
        check_count("every", self.every)
        if self.patience is not None:
            check_count("patience", self.patience)

    def hold_out(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[Batch, Batch]:
        """The examples to learn from and those held out."""
        if self.fraction is not None:
            return split_off(data, self.fraction, rng_key)
        return data, as_batch(energy, self.data, self.condition, self.sigma)

    def in_units(self, units: Units) -> "Validation":
        """The same with held-out points in other units."""
        if self.data is None:
            return self
        return dataclasses.replace(self, data=units.standardise(self.data))


class Best(eqx.Module):
    """The best evaluation so far, and the model then; arrays, so that checkpoints hold them."""

    model: Model
    value: Scalar
    num_since: Int[Array, ""]

    @classmethod
    def none_yet(cls, model: Model) -> "Best":
        """Before the first evaluation."""
        return cls(model, jnp.asarray(math.inf, dtype=float), jnp.asarray(0, dtype=int))

    def after(self, model: Model, value: Scalar) -> "Best":
        """The best after one more evaluation."""
        if value < self.value:
            return Best(model, value, jnp.zeros_like(self.num_since))
        return Best(self.model, self.value, self.num_since + 1)


@dataclasses.dataclass(frozen=True)
class Watch:
    """The evaluations of one fit.

    Attributes:
        settings: What the user asked for.
        held_out: The held-out examples.
        objective: The objective of the fit.
        num_steps: Number of steps of the fit.
        rng_key: Random key of every evaluation.

    Raises:
        ValueError: If the loss, which is to be watched, does not measure the quality of a fit, or no
            evaluation would ever be due.
    """

    settings: Validation
    held_out: Batch
    objective: AbstractObjective
    num_steps: int
    rng_key: PRNGKey

    def __post_init__(self) -> None:
        if self.settings.metric is None and not self.objective.is_criterion:
            raise ValueError(
                f"`metric` must be given with {self.objective.name}, whose loss does not measure the "
                "quality of a fit; got None."
            )
        if self.settings.every > self.num_steps:
            raise ValueError(
                f"`every` must be at most the number of steps, {self.num_steps}, for a validation; got "
                f"{self.settings.every}."
            )

    def is_due(self, step: int) -> bool:
        """Whether to evaluate after this step."""
        return step % self.settings.every == 0

    def value(self, model: Model, carried: Any) -> Scalar:
        """The metric now."""
        return _evaluate(*self._arguments(model, carried))

    def is_over(self, best: Best) -> bool:
        """Whether the fit is to stop."""
        patience = self.settings.patience
        # Where nothing was finite yet, there is no best value that later ones could miss.
        if patience is None or not bool(jnp.isfinite(best.value)):
            return False
        return int(best.num_since) >= patience

    def chosen(self, best: Best, last: Model) -> Model:
        """The model to return."""
        returns_best = self.settings.patience is not None and bool(jnp.isfinite(best.value))
        return best.model if returns_best else last

    def program(self, model: Model, carried: Any) -> Any:
        """What JAX makes of an evaluation."""
        return program_of(_evaluate, *self._arguments(model, carried))

    def _arguments(self, model: Model, carried: Any) -> tuple[Any, ...]:
        last_step = jnp.asarray(self.num_steps, dtype=int)
        settings = (self.settings.metric, self.objective, model, carried)
        return (*settings, self.held_out, last_step, self.rng_key)


@SharedJit
def _evaluate(
    metric: Metric | None,
    objective: AbstractObjective,
    model: Model,
    carried: Any,
    held_out: Batch,
    last_step: Array,
    rng_key: PRNGKey,
) -> Scalar:
    """The metric on held-out data.

    The draws are the same at each evaluation and schedules stand where they end, so that values compare.
    """
    if metric is not None:
        value = metric(model, held_out)
        check_shape("metric(model, held_out)", value, ())
        return jnp.asarray(value, dtype=float)
    key_carried, key_draws = jax.random.split(rng_key)
    carried = objective.for_held_out(held_out, carried, key_carried)
    sample = objective.prepare(model, held_out, carried, last_step, key_draws).sample
    return jnp.mean(objective.losses(model, held_out, sample))
