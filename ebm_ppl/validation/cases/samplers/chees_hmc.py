"""Hamiltonian Monte Carlo with one trajectory length for all chains."""

from ebm_ppl.samplers import ChEESHMC
from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="chees-hmc",
        make=lambda potential: ChEESHMC(potential_fn=potential),
        exact=True,
        evaluations_field="auxiliary.num_steps",
        num_transitions=3,
        thinning=4,
    ),
)
