"""Random-walk Metropolis."""

from ebm_ppl.samplers import RandomWalkMetropolis
from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="random-walk-metropolis",
        make=lambda potential: RandomWalkMetropolis(potential_fn=potential),
        exact=True,
        metropolis=True,
        num_transitions=5,
        thinning=40,
    ),
)
