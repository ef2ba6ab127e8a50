"""A training loop that stops looking at new data."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from ebm_ppl.trainers import Batch, Trainer, TrainState
from ebm_ppl.validation.controls._objective import ObjectiveControl


def _stuck(trainer: Trainer, state: TrainState, data: Batch) -> tuple[TrainState, Any]:
    """Take every step as if it were the first of an epoch."""
    count = state.step
    state = eqx.tree_at(lambda state: state.step, state, jnp.zeros_like(count))
    state, metrics = trainer.step(state, data)
    return eqx.tree_at(lambda state: state.step, state, count + 1), metrics


def _unshuffled(trainer: Trainer, state: TrainState, data: Batch) -> tuple[TrainState, Any]:
    """Undo the shuffling: every epoch visits the examples in the order of the data set."""
    size = trainer.batch_size
    assert size is not None
    start = state.step % (data.num_examples // size) * size
    rows = (start + jnp.arange(size)) % data.num_examples
    batch = Batch(data.x[rows], None, data.index[rows])
    whole = eqx.tree_at(lambda state: state.order, state, None)
    full = Trainer(trainer.objective, trainer.optimizer)
    new, metrics = full.step(whole, batch)
    return eqx.tree_at(
        lambda state: state.order, new, state.order, is_leaf=lambda leaf: leaf is None
    ), metrics


CONTROLS = (
    ObjectiveControl(
        name="loop: minibatch never advanced",
        wrong_because="every step sees the first batch of the epoch",
        like="score_matching",
        step=_stuck,
        quick=True,
    ),
    ObjectiveControl(
        name="loop: never shuffled",
        wrong_because="every epoch has the same order, so batches never mix",
        like="score_matching",
        step=_unshuffled,
    ),
)
