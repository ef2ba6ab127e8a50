"""Annealed importance sampling, by Metropolis moves in the plane and by Gibbs sweeps of a machine."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, annealed_importance_sampling
from ebm_ppl.validation.cases._estimator import EstimatorCase, Work
from ebm_ppl.validation.partition_problems import (
    MOVES,
    SCHEDULE,
    SWEEPS,
    machine,
    machine_log_z,
    normal,
    normal_log_z,
)

CHAINS, STEPS = 1_000, 40


def _in_the_plane(rng_key: PRNGKey) -> LogPartitionEstimate:
    return annealed_importance_sampling(normal(), rng_key, num_chains=CHAINS, schedule=SCHEDULE)


def _of_a_machine(rng_key: PRNGKey) -> LogPartitionEstimate:
    return annealed_importance_sampling(machine(), rng_key, num_chains=CHAINS, schedule=STEPS)


CASES = (
    EstimatorCase(
        "annealed_importance_sampling",
        _in_the_plane,
        normal_log_z,
        "Z",
        Work(MOVES, CHAINS * SCHEDULE.num_steps),
    ),
    EstimatorCase(
        "annealed_importance_sampling, Gibbs",
        _of_a_machine,
        machine_log_z,
        "Z",
        Work(SWEEPS, CHAINS * STEPS),
    ),
)
