"""NumPyro's Barker proposal."""

from numpyro.infer import BarkerMH

from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="barker",
        # Its step-size search turns NaN for good once a proposal lands where the energy overflows
        # (softplus of inf - inf), so the step is fixed in units of the mass matrix, which adapts.
        make=lambda potential: BarkerMH(
            potential_fn=potential, step_size=1.5, adapt_step_size=False
        ),
        exact=True,
        batched=False,  # NumPyro's BarkerMH takes one key only
        adaptation_field="adapt_state",
        thinning=20,
    ),
)
