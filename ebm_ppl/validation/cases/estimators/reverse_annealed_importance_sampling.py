"""Annealed importance sampling back from draws of a machine."""

import jax

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, reverse_annealed_importance_sampling
from ebm_ppl.validation.cases._estimator import EstimatorCase, Work
from ebm_ppl.validation.partition_problems import SWEEPS, machine, machine_draws, machine_log_z

CHAINS, STEPS, MOVES = 1_000, 40, 2


def _estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    key_draws, key_run = jax.random.split(rng_key)
    draws = machine_draws(key_draws, CHAINS)
    return reverse_annealed_importance_sampling(
        machine(), draws, key_run, schedule=STEPS, num_steps=MOVES
    )


CASES = (
    EstimatorCase(
        "reverse_annealed_importance_sampling",
        _estimate,
        machine_log_z,
        "1/Z",
        Work(SWEEPS, CHAINS * STEPS * MOVES),
    ),
)
