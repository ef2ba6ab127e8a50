"""What a control of training is."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ebm_ppl.trainers import AbstractObjective, Trainer


@dataclasses.dataclass(frozen=True)
class ObjectiveControl:
    """A training objective or loop with one planted bug, or a variant that only looks like one.

    Attributes:
        name: Name in the report.
        wrong_because: What is wrong, in one sentence; for an equivalent variant, why nothing is.
        like: Name of the objective case whose checks it meets.
        objective: The altered objective; that of the case if the bug is in the loop.
        step: The training step.
        equivalent: Whether it is correct after all and must pass.
        quick: Whether the quick report runs it.
    """

    name: str
    wrong_because: str
    like: str
    objective: AbstractObjective | None = None
    step: Callable[..., Any] = Trainer.step
    equivalent: bool = False
    quick: bool = False
