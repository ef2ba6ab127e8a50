"""Contrastive divergence from the data, whose expected gradient depends on the kernel and its steps."""

import functools

from ebm_ppl.samplers import MALA, RandomWalkMetropolis
from ebm_ppl.trainers import ContrastiveDivergence
from ebm_ppl.validation import estimation
from ebm_ppl.validation.cases._objective import ObjectiveCase
from ebm_ppl.validation.estimation import QUARTIC

CASES = (
    ObjectiveCase(
        name="contrastive_divergence",
        objective=ContrastiveDivergence(functools.partial(MALA, step_size=0.05), num_steps=5),
        theory=estimation.ContrastiveDivergence(QUARTIC, estimation.Mala(0.05), 5),
    ),
    ObjectiveCase(
        name="contrastive_divergence_random_walk",
        objective=ContrastiveDivergence(
            functools.partial(RandomWalkMetropolis, step_size=2.0),
            num_steps=2,
            num_chains_per_example=2,
        ),
        theory=estimation.ContrastiveDivergence(QUARTIC, estimation.RandomWalk(2.0), 2),
    ),
)
