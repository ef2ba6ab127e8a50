"""Sequential Monte Carlo on a machine, by steps long enough for particles to be resampled."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, sequential_monte_carlo
from ebm_ppl.validation.cases._estimator import EstimatorCase, Work
from ebm_ppl.validation.partition_problems import SWEEPS, machine, machine_log_z

PARTICLES, RUNS, STEPS = 200, 40, 8


def _estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    return sequential_monte_carlo(
        machine(), rng_key, num_particles=PARTICLES, num_runs=RUNS, schedule=STEPS
    )


WORK = Work(SWEEPS, PARTICLES * RUNS * STEPS)
CASES = (EstimatorCase("sequential_monte_carlo", _estimate, machine_log_z, "Z", WORK),)
