"""Importance sampling of a normal law by a wider one."""

import numpyro.distributions as dist

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, importance_sampling
from ebm_ppl.validation.cases._estimator import EstimatorCase
from ebm_ppl.validation.partition_problems import normal, normal_log_z


def estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    """One run."""
    proposal = dist.Normal(0.5, 1.6).expand((2,))
    return importance_sampling(normal(), proposal, rng_key, num_draws=5_000)


CASES = (EstimatorCase("importance_sampling", estimate, normal_log_z, "Z"),)
