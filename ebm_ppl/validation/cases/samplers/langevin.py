"""Unadjusted overdamped Langevin."""

from ebm_ppl.samplers import Langevin
from ebm_ppl.validation.cases._base import EXPLICIT_STEPS_DIVERGE, KernelCase

CASES = (
    KernelCase(
        name="langevin",
        make=lambda potential: Langevin(
            potential_fn=potential, step_size=0.05, adapt_mass_matrix=True
        ),
        exact=False,
        bias_order=1,
        reports_acceptance=False,
        thinning=40,
        unsuited_for=EXPLICIT_STEPS_DIVERGE,
        bias_step_size=0.1,
    ),
)
