"""Gibbs with gradients."""

from ebm_ppl.samplers import GibbsWithGradients
from validation.cases._base import KernelCase

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
