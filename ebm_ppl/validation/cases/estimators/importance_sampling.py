"""Importance sampling of a normal law by a wider one."""

import numpyro.distributions as dist

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, importance_sampling
from ebm_ppl.validation.cases._estimator import EstimatorCase, Work
from ebm_ppl.validation.partition_problems import PROPOSAL, normal, normal_log_z

DRAWS = 5_000


def estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    """One run."""
    proposal = dist.Normal(0.5, 1.6).expand((2,))
    return importance_sampling(normal(), proposal, rng_key, num_draws=DRAWS)


WORK = Work(PROPOSAL, DRAWS)
CASES = (EstimatorCase("importance_sampling", estimate, normal_log_z, "Z", WORK),)
