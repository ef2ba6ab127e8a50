"""One training step, as a pure function of the state and the data."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ebm_ppl._checks import check_count, check_interval
from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.energies._described import described
from ebm_ppl.trainers import _refusal
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch, levels_are_open
from ebm_ppl.trainers._minibatch import minibatch, order_at, with_dropped_conditions
from ebm_ppl.trainers._refusal import Checked, changed, taken_or_kept, where_finite_before
from ebm_ppl.trainers._transform import Transform, first_look, key_of_transform, transformed

Optimizer: TypeAlias = optax.GradientTransformation | optax.MultiSteps

_OWN_METRICS = ("loss", "gradient_norm", "refused", "validation")


class TrainState(eqx.Module):
    """Everything that one step hands to the next.

    Attributes:
        step: Number of steps taken, refused ones included.
        model: The energy and what is learned beside it.
        average: Averaged parameters, a model without its other leaves; `None` if nothing is averaged.
        optimizer_state: State of the optimiser.
        carried: State of the objective: chains, a buffer, an adversary.
        order: Order of the examples in this epoch; `None` if each step sees them all.
        rng_key: Key of the whole fit; each step derives its own from it and `step`.
        num_refused: Number of refused steps.
        refused_in_a_row: Number of refused steps since the last one that was taken.
        first_failure: Step and number of the first thing not finite since the last step taken.
    """

    step: Int[Array, ""]
    model: Model
    average: Any
    optimizer_state: Any
    carried: Any
    order: Int[Array, " num_examples"] | None
    rng_key: PRNGKey
    num_refused: Int[Array, ""]
    refused_in_a_row: Int[Array, ""]
    first_failure: Int[Array, "2"]


class _Attempt(NamedTuple):
    """A step that is taken only if all of `checked` is finite."""

    model: Model
    optimizer_state: Any
    carried: Any
    checked: Checked
    metrics: dict[str, Float[Array, ""]]


class Trainer(eqx.Module):
    r"""Initialisation and step of a fit, free of side effects.

    `fit` scans `step`; use the two yourself to map a fit over data sets or seeds with `jax.vmap`. A step
    of which anything is not finite (the objective's draws, the loss, the square of a gradient, a new
    parameter) is refused: the model, the optimiser and the objective's state stay as they were.

    Attributes:
        objective: What is minimised.
        optimizer: An Optax transformation. One that asks for a loss function (line searches, `newton`)
            gets the loss of the step's batch and draws.
        batch_size: Number of examples of a step; `None` for all of them.
        condition_dropout: Probability with which an example's condition is dropped.
        ema_decay: Weight of the old average in the new one, a number or a schedule of the number of
            averaged steps; `None` for no average. With a number, the average starts as a plain mean.
        transform: What is done to the points of each step, a pure function of a key and of any number of
            points; `None` for nothing.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.trainers import ScoreMatching, Trainer, as_batch
        >>> energy = Gaussian(jnp.zeros(1), jnp.eye(1))
        >>> trainer = Trainer(ScoreMatching(), optax.sgd(0.1))
        >>> data = as_batch(energy, jnp.array([[1.0], [3.0]]))
        >>> state = trainer.init(energy, data, jax.random.key(0))
        >>> state, metrics = trainer.step(state, data)
        >>> int(state.step), state.model.energy.loc.tolist()
        (1, [0.2...])
    """

    objective: AbstractObjective
    optimizer: Optimizer = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True, default=None)
    condition_dropout: float = eqx.field(static=True, default=0.0)
    ema_decay: float | Callable[[Array], Any] | None = eqx.field(static=True, default=None)
    transform: Transform | None = None

    def __check_init__(self) -> None:
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size)
        check_interval("condition_dropout", self.condition_dropout, 0.0, 1.0, closed=True)
        if callable(self.ema_decay):
            check_interval("ema_decay", self.ema_decay(jnp.asarray(0)), 0.0, 1.0, closed=True)
        elif self.ema_decay is not None:
            check_interval("ema_decay", self.ema_decay, 0.0, 1.0)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> TrainState:
        """The state before the first step.

        Args:
            energy: Energy to start from.
            data: All training examples.
            rng_key: Random key of the fit.

        Returns:
            The state.

        Raises:
            ValueError: If the batch is larger than the data, conditions are to be dropped where there
                are none, or the objective does not fit the energy or the data; also if the energy depends
                on a level of noise that the examples do not have and the objective does not set, or both do;
                or if the transform does not keep shapes and types, or leads to points that are not finite
                or outside the energy's support.
        """
        if self.batch_size is not None and self.batch_size > data.num_examples:
            raise ValueError(
                f"`batch_size` must be at most the number of examples, {data.num_examples}; got "
                f"{self.batch_size}."
            )
        if self.condition_dropout > 0 and (data.condition is None or data.condition.y is None):
            raise ValueError(
                "`condition_dropout` must be 0 where examples have no condition; got "
                f"{self.condition_dropout!r}."
            )
        _check_levels(self.objective, energy, data)
        rng_key, key_objective = jax.random.split(rng_key)
        key_objective, key_transform = key_of_transform(self.transform, key_objective)
        seen = first_look(self.transform, energy, data, key_transform)
        learned, carried = self.objective.init(energy, seen, key_objective)
        model = _owned(Model(energy, _trainable(learned)))
        parameters = eqx.filter(model, eqx.is_inexact_array)
        is_full = self.batch_size is None or self.batch_size == data.num_examples
        state = TrainState(
            step=jnp.asarray(0),
            model=model,
            average=None if self.ema_decay is None else parameters,
            optimizer_state=self.optimizer.init(parameters),
            carried=carried,
            order=None if is_full else jnp.arange(data.num_examples),
            rng_key=rng_key,
            num_refused=jnp.asarray(0),
            refused_in_a_row=jnp.asarray(0),
            first_failure=jnp.zeros(2, dtype=int),
        )
        return _owned(state)

    def step(
        self, state: TrainState, data: Batch
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """Take one step, or refuse it.

        Args:
            state: The state before.
            data: All training examples; the step gathers its batch from them.

        Returns:
            The state after, and the metrics of the step: `loss`, `gradient_norm`, `refused`, and those
            of the objective.
        """
        order = self._order(state)
        attempt = self._attempt(state, data, order)
        failures = _refusal.are_failures(attempt.checked)
        taken = ~jnp.any(failures)
        failure = jnp.stack([state.step, jnp.argmax(failures)])
        keeps_first = taken | (state.refused_in_a_row > 0)
        model = taken_or_kept(taken, attempt.model, state.model)
        new = TrainState(
            step=state.step + 1,
            model=model,
            average=self._averaged(state, model, taken),
            optimizer_state=taken_or_kept(taken, attempt.optimizer_state, state.optimizer_state),
            carried=taken_or_kept(taken, attempt.carried, state.carried),
            order=order,
            rng_key=state.rng_key,
            num_refused=state.num_refused + ~taken,
            refused_in_a_row=jnp.where(taken, 0, state.refused_in_a_row + 1),
            first_failure=jnp.where(keeps_first, state.first_failure, failure),
        )
        return new, attempt.metrics | {"refused": (~taken).astype(float)}

    def averaged_model(self, state: TrainState) -> Model:
        """The model with averaged parameters, where there are any."""
        return state.model if state.average is None else eqx.combine(state.average, state.model)

    def failure_names(self, state: TrainState, data: Batch) -> list[str]:
        """Names of the things that must be finite, in the order in which they are looked at."""
        return _refusal.names(
            eqx.filter_eval_shape(self._attempt, state, data, state.order).checked
        )

    def _attempt(self, state: TrainState, data: Batch, order: Array | None) -> _Attempt:
        key_steps, _ = jax.random.split(fast_key(state.rng_key))
        key_dropout, key_objective = jax.random.split(jax.random.fold_in(key_steps, state.step))
        batch = data
        if order is not None and self.batch_size is not None:
            batch = minibatch(data, order, state.step, self.batch_size)
        key_dropout, key_transform = key_of_transform(self.transform, key_dropout)
        batch = transformed(self.transform, batch, key_transform)
        batch = with_dropped_conditions(batch, self.condition_dropout, key_dropout)
        objective, model = self.objective, state.model
        prepared = objective.prepare(model, batch, state.carried, state.step, key_objective)
        parameters, constants = eqx.partition(model, eqx.is_inexact_array)

        def total_fn(parameters: Any) -> Float[Array, ""]:
            model = eqx.combine(parameters, constants)
            return jnp.sum(objective.losses(model, batch, prepared.sample))

        def loss_fn(parameters: Any) -> Float[Array, ""]:
            return total_fn(parameters) / batch.num_examples

        # Of the sum, not of the mean: an example's energy then enters with the factor 1, as in the
        # gradient that a chain from that example begins with, and XLA computes what they share once.
        total, gradient = jax.value_and_grad(total_fn)(parameters)
        loss, gradient = jax.tree.map(lambda leaf: leaf / batch.num_examples, (total, gradient))
        updates, optimizer_state = _with_extra_args(self.optimizer).update(
            gradient, state.optimizer_state, parameters, value=loss, grad=gradient, value_fn=loss_fn
        )
        new: Any = optax.apply_updates(parameters, updates)
        squares = jax.tree.map(lambda leaf: jnp.sum(jnp.square(leaf)), gradient)
        own = {"loss": loss, "gradient_norm": jnp.sqrt(optax.tree.sum(squares))}
        return _Attempt(
            model=eqx.combine(new, constants),
            optimizer_state=optimizer_state,
            carried=prepared.carried,
            checked=Checked(
                None if self.transform is None else batch.x,
                prepared.sample,
                loss,
                squares,
                new,
                where_finite_before(optimizer_state, state.optimizer_state),
                changed(prepared.carried, state.carried),
            ),
            metrics=own | _checked_metrics(prepared.metrics),
        )

    def _order(self, state: TrainState) -> Array | None:
        if state.order is None or self.batch_size is None:
            return None
        _, key_epochs = jax.random.split(fast_key(state.rng_key))
        return order_at(state.step, state.order, self.batch_size, key_epochs)

    def _averaged(self, state: TrainState, model: Model, taken: Array) -> Any:
        if self.ema_decay is None:
            return None
        count = state.step - state.num_refused
        if callable(self.ema_decay):
            decay = jnp.asarray(self.ema_decay(count), dtype=float)
        else:
            decay = jnp.minimum(self.ema_decay, count / (count + 1))
        parameters = eqx.filter(model, eqx.is_inexact_array)

        def mix(old: Array, new: Array) -> Array:
            return jnp.where(taken, new + decay.astype(new.dtype) * (old - new), old)

        return jax.tree.map(mix, state.average, parameters)


def _check_levels(objective: AbstractObjective, energy: Any, data: Batch) -> None:
    """Refuse examples without the levels of noise that are asked for, or with some and an objective's too."""
    if objective.adds_noise and data.condition is not None and data.condition.sigma is not None:
        raise ValueError(
            f"`sigma` must be None with {objective.name}, which adds noise to the points and sets its level; "
            "got levels of noise that is in them already."
        )
    if levels_are_open(energy, data) and not objective.adds_noise:
        raise ValueError(
            f"`sigma` must be given to {objective.name} with {described(energy)}: the standard deviation of "
            "the noise that is in each point; got None. `AnnealedDenoisingScoreMatching` and "
            "`DenoisingScoreMatching` add noise to points themselves."
        )


def _with_extra_args(optimizer: Optimizer) -> optax.GradientTransformationExtraArgs:
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    return optax.with_extra_args_support(optimizer)


def _checked_metrics(metrics: dict[str, Array]) -> dict[str, Array]:
    """The metrics of an objective, under names of their own."""
    for name in metrics:
        if name in _OWN_METRICS:
            raise ValueError(
                f"A metric of an objective must not be called one of {_OWN_METRICS}; got {name!r}."
            )
    return metrics


def _owned(tree: Any) -> Any:
    """The same with JAX arrays alone, none of weak type, for which JAX would compile once more."""

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):  # the owner of a NumPy array may change it
            return jnp.array(leaf) if eqx.is_array(leaf) else leaf
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf if is_key else jnp.asarray(leaf, dtype=leaf.dtype)

    return jax.tree.map(convert, tree)


def _trainable(learned: Any) -> Any:
    """What an objective learns, with arrays for Python's floats, so that it is learned."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype=float) if isinstance(leaf, float) else leaf, learned
    )
