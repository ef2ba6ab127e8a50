"""Metropolis-Hastings with independent proposals."""

import math

import jax.numpy as jnp
import numpyro.distributions as dist

from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers import IndependenceMetropolis
from ebm_ppl.validation.cases._base import KernelCase


def make(potential: EnergyPotential) -> IndependenceMetropolis:
    """A kernel that proposes from a wide normal law, and as often from one with heavy tails.

    Its draws cost a tenth of Student's, which are made of gamma variates.
    """
    shape = (math.prod(potential.position_shape),)
    bulk, tails = (law.expand(shape).to_event(1) for law in (dist.Normal(0.0, 1.5), dist.Cauchy()))
    proposal = dist.MixtureGeneral(dist.Categorical(jnp.full(2, 0.5)), [bulk, tails])
    return IndependenceMetropolis(potential_fn=potential, proposal=proposal)


CASES = (
    KernelCase(
        name="independence-metropolis",
        make=make,
        exact=True,
        thinning=20,
        unsuited_for=dict.fromkeys(
            ("neural", "neural_noise_conditional"),
            "its proposals know nothing of the energy, whose mass takes up too little of their room",
        ),
    ),
)
