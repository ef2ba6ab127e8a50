"""Thermodynamic integration on a machine."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, thermodynamic_integration
from ebm_ppl.validation.cases._estimator import EstimatorCase
from ebm_ppl.validation.partition_problems import machine, machine_log_z


def estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    """One run."""
    return thermodynamic_integration(
        machine(), rng_key, num_ensembles=16, num_draws=100, num_warmup=50
    )


CASES = (EstimatorCase("thermodynamic_integration", estimate, machine_log_z, "log Z"),)
