"""Gibbs with gradients."""

from ebm_ppl.samplers import GibbsWithGradients
from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="gibbs-with-gradients",
        make=lambda potential: GibbsWithGradients(potential_fn=potential),
        exact=True,
        metropolis=True,
        adaptation_field=None,
        discrete=True,
    ),
)
