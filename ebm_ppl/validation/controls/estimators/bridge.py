"""Planted bugs in bridge sampling."""

import functools

import jax
import numpy as np

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate, bridge_sampling
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.cases.estimators.bridge_sampling import (
    CHAINS,
    DRAWS,
    PROPOSAL,
    PROPOSED,
    WORK,
)
from ebm_ppl.validation.controls._estimator import EstimatorControl, restated
from ebm_ppl.validation.partition_problems import normal, normal_draws, normal_log_z

_SIZE = CHAINS * DRAWS
_START = -10.0  # from nearby one iteration would do: the bridge's error is of second order in it


@jax.jit
def _log_ratios(points: jax.Array) -> jax.Array:
    return jax.vmap(lambda x: -normal()(x) - PROPOSAL.log_prob(x))(points)


def _bridge(rng_key: PRNGKey, *, iterations: int, counts: bool) -> LogPartitionEstimate:
    """The bridge's iteration, written out, with the error bar of the correct one."""
    key_draws, key_bridge = jax.random.split(rng_key)
    draws = normal_draws(key_draws, _SIZE)
    correct = bridge_sampling(
        normal(),
        draws.reshape(CHAINS, DRAWS, 2),
        key_bridge,
        proposal=PROPOSAL,
        num_proposal_draws=PROPOSED,
    )
    ours = np.asarray(_log_ratios(draws), np.float64)
    proposed = PROPOSAL.sample(key_bridge, (PROPOSED,))
    theirs = np.asarray(_log_ratios(proposed), np.float64)
    share = np.log([_SIZE / (_SIZE + PROPOSED), PROPOSED / (_SIZE + PROPOSED)])
    log_z = _START
    for _ in range(iterations):
        above = theirs - np.logaddexp(share[0] + theirs, share[1] + log_z)
        below = -np.logaddexp(share[0] + ours, share[1] + log_z)
        log_z = float(np.logaddexp.reduce(above) - np.logaddexp.reduce(below))
        log_z += float(np.log(_SIZE / PROPOSED)) if counts else 0.0
    return restated(correct, shift=log_z - correct.log_z)


CONTROLS = (
    EstimatorControl(
        "bridge iterated once",
        "the bridge's equation is not solved: one iteration from log Z = -10 remembers where it began",
        EstimatorCase(
            "control",
            functools.partial(_bridge, iterations=1, counts=True),
            normal_log_z,
            "log Z",
        ),
    ),
    EstimatorControl(
        "bridge without the ratio of sample sizes",
        "sums over draws stand for means, though there are more draws of the proposal",
        EstimatorCase(
            "control",
            functools.partial(_bridge, iterations=50, counts=False),
            normal_log_z,
            "log Z",
        ),
    ),
    EstimatorControl(
        "bridge by iteration",
        "fifty iterations solve the bridge's equation as well as a search for its root",
        EstimatorCase(
            "control",
            functools.partial(_bridge, iterations=50, counts=True),
            normal_log_z,
            "log Z",
            WORK,
        ),
        equivalent=True,
    ),
)
