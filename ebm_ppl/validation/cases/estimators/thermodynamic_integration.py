"""Thermodynamic integration on a machine."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, thermodynamic_integration
from ebm_ppl.validation.cases._estimator import EstimatorCase, Work
from ebm_ppl.validation.partition_problems import SWEEPS, machine, machine_log_z

LADDERS, LEVELS, WARMUP, DRAWS = 16, 15, 50, 100


def estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    """One run."""
    return thermodynamic_integration(
        machine(), rng_key, num_ensembles=LADDERS, num_draws=DRAWS, num_warmup=WARMUP
    )


WORK = Work(SWEEPS, LADDERS * LEVELS * (WARMUP + DRAWS))
CASES = (EstimatorCase("thermodynamic_integration", estimate, machine_log_z, "log Z", WORK),)
