"""A look at a running fit from Python: what a function is shown, and when."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array

from ebm_ppl._checks import check_count
from ebm_ppl.trainers._base import Model
from ebm_ppl.trainers._history import History, Recorder
from ebm_ppl.trainers._step import Trainer, TrainState
from ebm_ppl.trainers._units import Units


@dataclasses.dataclass(frozen=True)
class FitProgress:
    """Where a fit stands.

    Attributes:
        step: Number of steps taken.
        model: The energy and what is learned beside it, with averaged parameters if there is an average.
        current: The same with the parameters of the last step.
        metrics: What was recorded since the function was called last.
        chains: Points of the chains that the objective carries, the event shape last; `None` if it carries
            none.
    """

    step: int
    model: Model
    current: Model
    metrics: History
    chains: Array | np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Callback:
    """A function that a fit calls every so many steps, and after the last.

    The function looks on: what it is shown are copies, or arrays that nobody can change, and the fit ends
    with the same bits as without it. What it raises ends the fit, and leaves the checkpoint of that step, if
    one was due, and else the last.

    A fit that goes on from a checkpoint calls at the same steps as one that was never stopped, with the same
    metrics. One over several processes calls the function in each of them.

    Attributes:
        function: Function of a `FitProgress`; what it returns is not used.
        every: Number of steps between two calls.

    Raises:
        ValueError: If `function` is not callable or `every` not positive.

    Examples:
        >>> from ebm_ppl.trainers import Callback
        >>> losses = []
        >>> callback = Callback(lambda now: losses.append(now.metrics["loss"].mean()), every=50)
    """

    function: Callable[[FitProgress], Any]
    every: int = 100

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(
                f"`function` must be a function of a `FitProgress`; got {self.function!r}."
            )
        check_count("every", self.every)

    def is_due(self, step: int) -> bool:
        """Whether to call after this step, be it the last or not."""
        return step % self.every == 0

    def show(
        self,
        trainer: Trainer,
        state: TrainState,
        recorder: Recorder,
        units: Units | None,
    ) -> None:
        """Call the function after a step.

        Args:
            trainer: The trainer.
            state: The state after the step.
            recorder: What was recorded so far.
            units: Units in which the fit learns, if they are not those of the data.
        """
        step = int(state.step)
        model, current = trainer.averaged_model(state), state.model
        chains = trainer.objective.chains(state.carried)
        if units is not None:
            model, current = units.restored(model), units.restored(current)
            chains = None if chains is None else units.restore(chains)
        metrics = recorder.since((step - 1) // self.every * self.every)
        self.function(FitProgress(step, model, current, metrics, chains))
