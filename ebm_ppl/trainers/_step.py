"""One training step, as a pure function of the state and the data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch, Condition


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


class _Checked(NamedTuple):
    """What must be finite, in the order in which it is computed."""

    draws: Any
    loss: Float[Array, ""]
    gradient: Any
    new_parameters: Any
    optimizer_state: Any
    carried: Any


class _Attempt(NamedTuple):
    """A step that is taken only if all of `checked` is finite."""

    model: Model
    optimizer_state: Any
    carried: Any
    checked: _Checked
    metrics: dict[str, Float[Array, ""]]


class Trainer(eqx.Module):
    r"""Initialisation and step of a fit, free of side effects.

    `fit` scans `step`; use the two yourself to map a fit over data sets or seeds with `jax.vmap`. A step
    of which anything is not finite (the objective's draws, the loss, a gradient, a new parameter) is
    refused: the model, the optimiser and the objective's state stay as they were.

    Attributes:
        objective: What is minimised.
        optimizer: An Optax transformation. One that asks for a loss function (line searches, `newton`)
            gets the loss of the step's batch and draws.
        batch_size: Number of examples of a step; `None` for all of them.
        condition_dropout: Probability with which an example's condition is dropped.
        ema_decay: Weight of the old average in the new one, a number or a schedule of the number of
            averaged steps; `None` for no average. With a number, the average starts as a plain mean.

    Example:
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
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True, default=None)
    condition_dropout: float = eqx.field(static=True, default=0.0)
    ema_decay: float | Callable[[Array], Array] | None = eqx.field(static=True, default=None)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> TrainState:
        """The state before the first step.

        Args:
            energy: Energy to start from.
            data: All training examples.
            rng_key: Random key of the fit.

        Returns:
            The state; it shares no array with `energy`.

        Raises:
            ValueError: If the objective does not fit the energy or the data.
        """
        rng_key, key_objective = jax.random.split(rng_key)
        learned, carried = self.objective.init(energy, data, key_objective)
        model = _copied(Model(energy, learned))
        parameters = eqx.filter(model, eqx.is_inexact_array)
        return TrainState(
            step=jnp.asarray(0),
            model=model,
            average=None if self.ema_decay is None else _copied(parameters),
            optimizer_state=self.optimizer.init(parameters),
            carried=carried,
            order=None if self._is_full(data) else jnp.arange(data.num_examples),
            rng_key=rng_key,
            num_refused=jnp.asarray(0),
            refused_in_a_row=jnp.asarray(0),
            first_failure=jnp.zeros(2, dtype=int),
        )

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
        order = self._order(state, data)
        attempt = self._attempt(state, data, order)
        failed = jnp.stack(
            [jnp.any(~jnp.isfinite(leaf)) for leaf in _inexact_leaves(attempt.checked)]
        )
        taken = ~jnp.any(failed)
        failure = jnp.stack([state.step, jnp.argmax(failed)])
        keeps_first = taken | (state.refused_in_a_row > 0)
        model = _select(taken, attempt.model, state.model)
        new = TrainState(
            step=state.step + 1,
            model=model,
            average=self._averaged(state, model, taken),
            optimizer_state=_select(taken, attempt.optimizer_state, state.optimizer_state),
            carried=_select(taken, attempt.carried, state.carried),
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
        checked = eqx.filter_eval_shape(self._attempt, state, data, state.order).checked
        leaves = jax.tree_util.tree_leaves_with_path(checked)
        return [
            jax.tree_util.keystr(path, simple=True, separator=".")
            for path, leaf in leaves
            if jnp.issubdtype(leaf.dtype, jnp.inexact)
        ]

    def _attempt(self, state: TrainState, data: Batch, order: Array | None) -> _Attempt:
        key_steps, _ = jax.random.split(state.rng_key)
        key_dropout, key_objective = jax.random.split(jax.random.fold_in(key_steps, state.step))
        batch = self._batch(data, order, state.step, key_dropout)
        objective, model = self.objective, state.model
        prepared = objective.prepare(model, batch, state.carried, state.step, key_objective)
        parameters, constants = eqx.partition(model, eqx.is_inexact_array)

        def loss_fn(parameters: Any) -> Float[Array, ""]:
            model = eqx.combine(parameters, constants)
            return jnp.mean(objective.losses(model, batch, prepared.sample))

        loss, gradient = jax.value_and_grad(loss_fn)(parameters)
        updates, optimizer_state = optax.with_extra_args_support(self.optimizer).update(
            gradient, state.optimizer_state, parameters, value=loss, grad=gradient, value_fn=loss_fn
        )
        new = optax.apply_updates(parameters, updates)
        return _Attempt(
            model=_as_model(new, constants),
            optimizer_state=optimizer_state,
            carried=prepared.carried,
            checked=_Checked(
                prepared.sample,
                loss,
                gradient,
                new,
                optimizer_state,
                _changed(prepared.carried, state.carried),
            ),
            metrics={"loss": loss, "gradient_norm": optax.tree.norm(gradient), **prepared.metrics},
        )

    def _is_full(self, data: Batch) -> bool:
        return self.batch_size is None or self.batch_size == data.num_examples

    def _order(self, state: TrainState, data: Batch) -> Array | None:
        """The order of the examples: a new permutation at the start of each epoch."""
        if state.order is None or self.batch_size is None:
            return None
        steps_per_epoch = data.num_examples // self.batch_size
        epoch, step_of_epoch = jnp.divmod(state.step, steps_per_epoch)

        def shuffled() -> Array:
            _, key_epochs = jax.random.split(state.rng_key)
            return jax.random.permutation(jax.random.fold_in(key_epochs, epoch), data.num_examples)

        return jax.lax.cond(step_of_epoch == 0, shuffled, lambda: state.order)

    def _batch(self, data: Batch, order: Array | None, step: Array, rng_key: PRNGKey) -> Batch:
        if order is None or self.batch_size is None:
            batch = data
        else:
            start = step % (data.num_examples // self.batch_size) * self.batch_size
            rows = jax.lax.dynamic_slice_in_dim(order, start, self.batch_size)
            batch = jax.tree.map(lambda leaf: leaf[rows], data)
        if self.condition_dropout == 0 or batch.condition is None:
            return batch
        kept = jax.random.bernoulli(rng_key, 1 - self.condition_dropout, (batch.num_examples,))
        return Batch(batch.x, Condition(batch.condition.y, kept), batch.index)

    def _averaged(self, state: TrainState, model: Model, taken: Array) -> Any:
        if self.ema_decay is None:
            return None
        count = state.step - state.num_refused
        if callable(self.ema_decay):
            decay = self.ema_decay(count)
        else:
            decay = jnp.minimum(self.ema_decay, count / (count + 1))
        parameters = eqx.filter(model, eqx.is_inexact_array)

        def mix(old: Array, new: Array) -> Array:
            return jnp.where(taken, new + decay.astype(new.dtype) * (old - new), old)

        return jax.tree.map(mix, state.average, parameters)


def _as_model(parameters: Any, constants: Any) -> Model:
    return eqx.combine(parameters, constants)


def _copied(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, tree)


def _changed(new: Any, old: Any) -> Any:
    """The leaves of a pytree that are not those of another one of the same structure."""
    return jax.tree.map(lambda new, old: None if new is old else new, new, old)


def _select(condition: Array, if_true: Any, if_false: Any) -> Any:
    """Choose between two pytrees of one structure; leaves that are no arrays are those of the first."""

    def choose(new: Any, old: Any) -> Any:
        if new is old or not eqx.is_array(new):
            return new
        if jnp.issubdtype(new.dtype, jax.dtypes.prng_key):
            return jax.lax.select(jnp.broadcast_to(condition, new.shape), new, old)
        return jnp.where(condition, new, old)

    return jax.tree.map(choose, if_true, if_false)


def _inexact_leaves(tree: Any) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
