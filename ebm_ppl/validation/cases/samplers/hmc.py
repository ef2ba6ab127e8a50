"""NumPyro's Hamiltonian Monte Carlo."""

from numpyro.infer import HMC

from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="hmc",
        # a quarter of a Gaussian's period; NumPyro's default of a whole one leads back to the start
        make=lambda potential: HMC(potential_fn=potential, trajectory_length=1.5),
        exact=True,
        adaptation_field="adapt_state",
        evaluations_field="num_steps",
        num_transitions=3,
        thinning=4,
    ),
)
