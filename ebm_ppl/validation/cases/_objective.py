"""What an objective's case tells the suite about it."""

import dataclasses

import numpy as np

from ebm_ppl.trainers import AbstractObjective
from ebm_ppl.validation.estimation import AbstractEstimator


@dataclasses.dataclass(frozen=True)
class ObjectiveCase:
    """An objective with the theory that it is held against.

    Attributes:
        name: Name on the command line and in the report.
        objective: The objective, for an energy on the line; its own claims decide what else is asked.
        theory: Its population gradient there, by quadrature that shares no code with it.
        plane_gradient: Its expected gradient on the plane problem; `None` if it is not asked there.
        burn_in: Number of draws of the objective before the one that counts, for chains to arrive.
        num_examples: Examples of one batch.
        recovers: Whether the parameters are to be recovered in a fit, within the standard errors. Left
            out where the fixed point is not the truth, with the reason beside it.
        holds_chains: Whether chains persist, so that their share in each mode must be conserved. They are
            shared by the examples of a batch; without them each example must have draws of its own.
    """

    name: str
    objective: AbstractObjective
    theory: AbstractEstimator
    plane_gradient: np.ndarray | None = None
    burn_in: int = 0
    num_examples: int = 2048
    recovers: bool = True
    holds_chains: bool = False
