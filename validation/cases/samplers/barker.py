"""NumPyro's Barker proposal."""

from numpyro.infer import BarkerMH

from validation.cases._base import KernelCase, numpyro_step_size

CASES = (
    KernelCase(
        name="barker",
        make=lambda potential: BarkerMH(potential_fn=potential),
        exact=True,
        batched=False,  # NumPyro's BarkerMH takes one key only
        set_step_size=numpyro_step_size,
        thinning=20,
    ),
)
