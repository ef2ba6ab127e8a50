"""Annealing inside a kernel: the partition function of a base law that has one of its own."""

import math

import jax
import jax.numpy as jnp
import pytest

from ebm_ppl.doubly_intractable import AnnealedLogZ
from ebm_ppl.energies import Quartic, RestrictedBoltzmannMachine
from ebm_ppl.partition import AnnealingSchedule, EnumerationNormalizer

LADDER = AnnealingSchedule(jnp.linspace(0.0, 1.0, 41))


def test_log_z_of_a_machine_is_that_of_the_sum_over_states():
    """At 4,000 chains the standard error is below 0.01: false alarm below 1e-20; a base law whose own
    partition function is left out would be off by 6 log 2."""
    machine = RestrictedBoltzmannMachine.random(jax.random.key(0), 4, 2, weight_scale=1.0)
    estimate = jax.jit(AnnealedLogZ(LADDER, num_chains=4000).__call__)(machine, jax.random.key(1))
    assert math.isclose(float(estimate), EnumerationNormalizer().exact(machine), abs_tol=0.1)


def test_a_kernel_that_takes_a_step_size_needs_one():
    with pytest.raises(ValueError, match="`schedule` must bring step sizes"):
        AnnealedLogZ(LADDER)(Quartic(), jax.random.key(0))
