"""Block Gibbs on discrete energies."""

from ebm_ppl.energies import AbstractBlockwiseEnergy
from ebm_ppl.samplers import BlockGibbs
from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="block-gibbs",
        make=lambda potential: BlockGibbs(potential_fn=potential),
        exact=True,
        reversible=False,
        reports_acceptance=False,
        adaptation_field=None,
        discrete=True,
        energies=AbstractBlockwiseEnergy,
    ),
)
