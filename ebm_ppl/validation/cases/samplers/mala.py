"""The Metropolis-adjusted Langevin algorithm."""

from ebm_ppl.samplers import MALA
from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="mala",
        make=lambda potential: MALA(potential_fn=potential),
        exact=True,
        metropolis=True,
        thinning=20,
    ),
)
