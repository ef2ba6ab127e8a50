"""Unadjusted microcanonical Langevin dynamics."""

from ebm_ppl.samplers import MCLMC
from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="mclmc",
        make=lambda potential: MCLMC(potential_fn=potential),
        exact=False,
        bias_order=2,
        reversible=False,
        reports_acceptance=False,
        thinning=20,
        bias_step_size=0.25,
    ),
)
