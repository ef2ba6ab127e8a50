"""Replica exchange.

The target and a law from which draws are independent make a ladder on which any exact draw of the target
is in equilibrium, as exact invariance asks; longer ones are held to it by their mixing.
"""

from numpyro.infer import NUTS

from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers import MALA, ReplicaExchange
from ebm_ppl.validation.cases._base import KernelCase


def _two_levels(potential: EnergyPotential) -> ReplicaExchange:
    return ReplicaExchange(MALA(potential_fn=potential), num_replicas=2)


def _four_levels(potential: EnergyPotential) -> ReplicaExchange:
    return ReplicaExchange(NUTS(potential_fn=potential), num_replicas=4)


CASES = (
    KernelCase(
        name="replica-exchange",
        make=_two_levels,
        exact=True,
        reversible=False,
        # an exchange moves the chain, too
        reports_acceptance=False,
        thinning=20,
    ),
    KernelCase(
        name="replica-exchange, nuts",
        make=_four_levels,
        exact=True,
        reversible=False,
        reports_acceptance=False,
        adaptation_field=None,
        thinning=4,
    ),
)
