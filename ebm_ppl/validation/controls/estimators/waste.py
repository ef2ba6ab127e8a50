"""Planted waste: errors that are honest, and larger than the work that was done had to leave."""

import functools

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import (
    LogPartitionEstimate,
    annealed_importance_sampling,
    estimate_from_log_weights,
)
from ebm_ppl.validation.cases import EstimatorCase, Work
from ebm_ppl.validation.cases.estimators.annealed_importance_sampling import CHAINS, STEPS
from ebm_ppl.validation.cases.estimators.importance_sampling import WORK, estimate
from ebm_ppl.validation.controls._estimator import EstimatorControl
from ebm_ppl.validation.partition_problems import SWEEPS, machine, machine_log_z, normal_log_z


def _of_some_draws(rng_key: PRNGKey, *, share: float) -> LogPartitionEstimate:
    """Importance sampling of which only the first draws are used."""
    weights = estimate(rng_key).diagnostics["log_weights"]
    return estimate_from_log_weights(weights[: int(share * len(weights))])


def _of_some_chains(rng_key: PRNGKey) -> LogPartitionEstimate:
    """Annealed importance sampling of which only every tenth chain is used."""
    whole = annealed_importance_sampling(machine(), rng_key, num_chains=CHAINS, schedule=STEPS)
    return estimate_from_log_weights(whole.diagnostics["log_weights"][::10])


CONTROLS = (
    EstimatorControl(
        "nine tenths of the draws thrown away",
        "the interval is honest, and three times as wide as the draws that were made allow",
        EstimatorCase(
            "control", functools.partial(_of_some_draws, share=0.1), normal_log_z, "Z", WORK
        ),
    ),
    EstimatorControl(
        "nine chains of ten thrown away",
        "the interval is honest, and three times as wide as the chains that were annealed allow",
        EstimatorCase("control", _of_some_chains, machine_log_z, "Z", Work(SWEEPS, CHAINS * STEPS)),
    ),
    EstimatorControl(
        "a fifth of the draws thrown away",
        "some waste is nobody's fault: the interval is honest, and an eighth wider than it had to be",
        EstimatorCase(
            "control", functools.partial(_of_some_draws, share=0.8), normal_log_z, "Z", WORK
        ),
        equivalent=True,
    ),
)
