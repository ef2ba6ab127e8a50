"""Bridge sampling from draws of a normal law and three times as many of a law that is too wide."""

import jax
import numpyro.distributions as dist

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, bridge_sampling
from ebm_ppl.validation.cases._estimator import EstimatorCase, Work
from ebm_ppl.validation.partition_problems import BRIDGE, normal, normal_draws, normal_log_z

CHAINS, DRAWS, PROPOSED = 4, 250, 3_000
PROPOSAL = dist.Normal(0.5, 1.6).expand((2,)).to_event(1)


def _estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    key_draws, key_bridge = jax.random.split(rng_key)
    draws = normal_draws(key_draws, CHAINS * DRAWS).reshape(CHAINS, DRAWS, 2)
    return bridge_sampling(
        normal(), draws, key_bridge, proposal=PROPOSAL, num_proposal_draws=PROPOSED
    )


WORK = Work(BRIDGE, CHAINS * DRAWS + PROPOSED)
CASES = (EstimatorCase("bridge_sampling", _estimate, normal_log_z, "log Z", WORK),)
