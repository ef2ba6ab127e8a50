"""Unadjusted underdamped Langevin (BAOAB)."""

from ebm_ppl.samplers import UnderdampedLangevin
from ebm_ppl.validation.cases._base import EXPLICIT_STEPS_DIVERGE, KernelCase

CASES = (
    KernelCase(
        name="underdamped-langevin",
        make=lambda potential: UnderdampedLangevin(
            potential_fn=potential, step_size=0.15, adapt_mass_matrix=True
        ),
        exact=False,
        bias_order=2,
        reversible=False,
        reports_acceptance=False,
        thinning=40,
        unsuited_for=EXPLICIT_STEPS_DIVERGE,
        bias_step_size=0.4,
    ),
)
