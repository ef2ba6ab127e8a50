"""Metropolis-Hastings with independent proposals."""

import math

import numpyro.distributions as dist

from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers import IndependenceMetropolis
from ebm_ppl.validation.cases._base import KernelCase


def make(potential: EnergyPotential) -> IndependenceMetropolis:
    """A kernel that proposes from a law with heavy tails, in unconstrained coordinates."""
    dim = math.prod(potential.position_shape)
    proposal = dist.StudentT(3.0).expand([dim]).to_event(1)
    return IndependenceMetropolis(potential_fn=potential, proposal=proposal)


CASES = (
    KernelCase(
        name="independence-metropolis",
        make=make,
        exact=True,
        thinning=20,
    ),
)
