"""NumPyro's No-U-Turn sampler."""

from numpyro.infer import NUTS

from ebm_ppl.validation.cases._base import KernelCase

CASES = (
    KernelCase(
        name="nuts",
        make=lambda potential: NUTS(potential_fn=potential),
        exact=True,
        # its `accept_prob` is an average over the trajectory, not the probability of a move
        reports_acceptance=False,
        adaptation_field="adapt_state",
        evaluations_field="num_steps",
        num_transitions=2,
        thinning=4,
    ),
)
