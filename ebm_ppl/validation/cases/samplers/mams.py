"""The Metropolis-adjusted microcanonical sampler."""

from ebm_ppl.samplers import MAMS
from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="mams",
        make=lambda potential: MAMS(potential_fn=potential),
        exact=True,
        evaluations_field="auxiliary.num_steps",
        num_transitions=3,
        thinning=4,
    ),
)
