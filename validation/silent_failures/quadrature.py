"""`normalize`, for one to three coordinates."""

import numpy as np

from ebm_ppl._types import PRNGKey
from ebm_ppl.quadrature import normalize
from ebm_ppl.validation.hard_problems import HardProblem
from validation.silent_failures.functions import FEW_ERRORS, Function, families_in

_ROUNDING = 1e-12
"""Relative rounding of log Z, in the truth as well as in the answer."""


def _normalize(problem: HardProblem, rng_key: PRNGKey) -> bool:
    del rng_key
    density = normalize(problem.energy)
    rounding = _ROUNDING * max(1.0, abs(problem.log_z))
    off = abs(density.log_z - problem.log_z)
    return bool(np.isfinite(off) and off <= FEW_ERRORS * density.log_z_error + rounding)


FUNCTIONS = (Function("normalize", _normalize, families_in((1, 2, 3))),)
