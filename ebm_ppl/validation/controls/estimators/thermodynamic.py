"""Planted bugs in thermodynamic integration."""

import numpy as np

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.cases.estimators.thermodynamic_integration import estimate
from ebm_ppl.validation.controls._estimator import EstimatorControl, restated
from ebm_ppl.validation.partition_problems import machine_log_z


def _without_ends(rng_key: PRNGKey) -> LogPartitionEstimate:
    """The integral less what lies beyond the outermost nodes."""
    correct = estimate(rng_key)
    nodes = np.asarray(correct.diagnostics["inverse_temperatures"])
    integrand = np.asarray(correct.diagnostics["integrand"])
    whole = np.interp([0.0, 1.0], nodes, integrand)
    lost = whole[0] * nodes[0] + whole[1] * (1 - nodes[-1])
    return restated(correct, shift=-float(lost))


CONTROLS = (
    EstimatorControl(
        "integral without its ends",
        "the integral stops at the outermost temperatures instead of at 0 and 1",
        EstimatorCase("control", _without_ends, machine_log_z, "log Z"),
    ),
)
