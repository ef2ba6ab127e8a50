"""Annealed importance sampling back from draws of a machine."""

import jax

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, reverse_annealed_importance_sampling
from ebm_ppl.validation.cases._estimator import EstimatorCase
from ebm_ppl.validation.partition_problems import machine, machine_draws, machine_log_z


def _estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    key_draws, key_run = jax.random.split(rng_key)
    draws = machine_draws(key_draws, 1_000)
    return reverse_annealed_importance_sampling(machine(), draws, key_run, schedule=40)


CASES = (EstimatorCase("reverse_annealed_importance_sampling", _estimate, machine_log_z, "1/Z"),)
