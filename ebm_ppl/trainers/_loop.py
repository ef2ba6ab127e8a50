"""The compiled part of the loop: many steps in one call, and when to come back to Python."""

import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ebm_ppl._errors import TrainingDivergedError
from ebm_ppl._processes import on_host
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl.trainers._base import AbstractObjective
from ebm_ppl.trainers._batch import Batch, levels_are_open, per_example
from ebm_ppl.trainers._step import Trainer, TrainState

CHUNK = 1024
"""Largest number of steps of one call; the length of the buffers that take its metrics."""

_SECONDS = 0.2  # of a chunk while a progress bar is shown


@SharedJit
def run_chunk(
    trainer: Trainer, state: TrainState, data: Batch, num_steps: Array, max_refused: Array
) -> tuple[TrainState, Array, dict[str, Array]]:
    """Take up to `num_steps` steps; stop early after `max_refused` refusals in a row.

    The number of steps is traced: chunks of any length run one and the same program, so where a run is
    cut into chunks, to report or to write a checkpoint, does not change a bit of its result.

    Returns:
        The state, the number of steps taken, and the metrics in buffers of length `CHUNK`.
    """
    dynamic, static = eqx.partition(state, eqx.is_array)
    shapes = eqx.filter_eval_shape(trainer.step, state, data)[1]
    buffers = jax.tree.map(lambda leaf: jnp.zeros((CHUNK, *leaf.shape), leaf.dtype), shapes)

    def goes_on(carry: tuple[Array, Any, Any]) -> Array:
        count, dynamic, _ = carry
        return (count < num_steps) & (dynamic.refused_in_a_row < max_refused)

    def body(carry: tuple[Array, Any, Any]) -> tuple[Array, Any, Any]:
        count, dynamic, buffers = carry
        state, metrics = trainer.step(eqx.combine(dynamic, static), data)
        buffers = jax.tree.map(lambda buffer, value: buffer.at[count].set(value), buffers, metrics)
        return count + 1, eqx.filter(state, eqx.is_array), buffers

    count, dynamic, buffers = jax.lax.while_loop(goes_on, body, (jnp.asarray(0), dynamic, buffers))
    return eqx.combine(dynamic, static), count, buffers


class ChunkLengths:
    """How many steps to take before the next look: until the next boundary, and not for too long."""

    def __init__(self, boundaries: list[int], num_steps: int, hurried: bool) -> None:
        self._boundaries = boundaries
        self._num_steps = num_steps
        self._limit = 16 if hurried else CHUNK
        self._hurried = hurried
        self._began = time.perf_counter()

    def next(self, step: int) -> int:
        """Number of steps to take from `step` on."""
        self._began = time.perf_counter()
        ends = [self._num_steps, *((step // every + 1) * every for every in self._boundaries)]
        return min(min(ends) - step, self._limit)

    def took(self, count: int) -> None:
        """Adapt to how long `count` steps took."""
        if self._hurried:
            rate = count / max(time.perf_counter() - self._began, 1e-6)
            self._limit = max(1, min(CHUNK, 4 * self._limit, int(rate * _SECONDS)))


def raise_diverged(trainer: Trainer, state: TrainState, data: Batch) -> None:
    """Stop a fit whose steps are refused one after the other, and say what went wrong first."""
    step, number = (int(value) for value in state.first_failure)
    raise TrainingDivergedError(
        f"{trainer.objective.name} stopped after {int(state.refused_in_a_row)} refused steps in a row: "
        f"at step {step} `{trainer.failure_names(state, data)[number]}` was the first thing not "
        f"finite. The parameters are those before that step.{_bad_example(state, data)}",
        state,
    )


def _bad_example(state: TrainState, data: Batch) -> str:
    """The first example at which the energy, or its slope, is not finite, in a sentence; or nothing."""
    if levels_are_open(state.model.energy, data):
        return ""  # never taken at the examples themselves

    def both(energy: Any, x: Array) -> tuple[Array, Array]:
        return jax.value_and_grad(energy)(x)

    values, slopes = eqx.filter_jit(per_example)(both, state.model.energy, data)
    slopes = slopes.reshape(len(slopes), -1)
    bad = on_host(~(jnp.isfinite(values) & jnp.isfinite(slopes).all(axis=1)))
    if not bad.any():
        return ""
    row = int(np.argmax(bad))
    example, slope = (on_host(leaf[row]).tolist() for leaf in (data.x, slopes))
    return (
        f" The energy of the example in row {row}, {example!r}, is {on_host(values[row]):.3g} and its "
        f"slope there {slope!r}: leave such rows out, or move them inside the support."
    )


def raise_troubled(
    objective: AbstractObjective, metrics: Mapping[str, np.ndarray], state: TrainState
) -> None:
    """Stop a fit if its objective sees in the metrics that it has gone wrong."""
    cause = objective.trouble(metrics)
    if cause is not None:
        raise TrainingDivergedError(
            f"{objective.name} stopped by step {int(state.step)}: {cause}.", state
        )
