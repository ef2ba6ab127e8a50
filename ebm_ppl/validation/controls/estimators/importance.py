"""Planted bugs in importance sampling."""

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, importance_sampling
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.controls._estimator import EstimatorControl
from ebm_ppl.validation.partition_problems import normal, normal_log_z


class _Unlike(dist.Normal):
    """Draws with a deviation 15% larger than its density has."""

    def sample(self, key: PRNGKey | None = None, sample_shape: tuple[int, ...] = ()) -> Array:
        centre = jnp.asarray(self.mean)
        return centre + 1.15 * (jnp.asarray(super().sample(key, sample_shape)) - centre)


def _estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    proposal = _Unlike(0.5, 1.6).expand((2,)).to_event(1)
    return importance_sampling(normal(), proposal, rng_key, num_draws=5_000)


CONTROLS = (
    EstimatorControl(
        "proposal draws wider than its density",
        "draws have a deviation 15% above that of the density that weighs them",
        EstimatorCase("control", _estimate, normal_log_z, "Z"),
    ),
)
