"""Kernels inside NumPyro's `MCMC`: whether moments of their draws are within the usual error."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpyro.diagnostics import summary
from numpyro.infer import HMC, NUTS

from ebm_ppl._types import PRNGKey
from ebm_ppl.potentials import as_model
from ebm_ppl.samplers import MALA, MAMS, MCLMC, ChEESHMC, RandomWalkMetropolis, ReplicaExchange
from ebm_ppl.validation.hard_problems import HardProblem
from validation.silent_failures.functions import FEW_ERRORS, Function, families_in, run_chains

_R_HAT, _LEAST_ESS = 1.01, 400.0
"""What a report of draws is read by (Vehtari et al. 2021): beyond it they say themselves not to be used."""

_MULTIMODAL = ("far_mode", "scattered_modes", "many_wells")
"""Only replica exchange claims to cross what separates modes."""
_JUMPS = ("steps", "hole", "staircase")
"""No gradient says where they are."""


class _UnusableError(ValueError):
    """The usual diagnostics of the draws call them unusable."""


def _moments_of(make: Callable[[Any], Any]) -> Callable[[HardProblem, PRNGKey], bool]:
    def ask(problem: HardProblem, rng_key: PRNGKey) -> bool:
        kernel = make(as_model(problem.energy))
        try:
            chains = run_chains(kernel, rng_key, num_warmup=1000, num_chains=8)
        except RuntimeError as error:
            if "valid initial parameters" not in str(error):
                raise
            raise _UnusableError("NumPyro finds no start") from error
        draws = np.asarray(chains.get_samples(group_by_chain=True)["x"], np.float64)
        return _is_right(draws, problem)

    return ask


def _is_right(draws: np.ndarray, problem: HardProblem) -> bool:
    checks = []
    if problem.mean is not None:
        checks.append((draws, problem.mean))
    if problem.mean is not None and problem.sd is not None:
        checks.append(((draws - problem.mean) ** 2, problem.sd**2))
    # All are asked, for any of them may refuse to vouch.
    return all([_agrees(values, truth) for values, truth in checks])  # noqa: C419


def _agrees(values: np.ndarray, truth: np.ndarray) -> bool:
    """Whether the mean of some values is within a few standard errors of the truth."""
    said = summary({"x": values}, group_by_chain=True)["x"]
    if not np.all((said["r_hat"] < _R_HAT) & (said["n_eff"] > _LEAST_ESS)):
        raise _UnusableError("R-hat or the effective sample size is out of bounds")
    error = said["std"] / np.sqrt(said["n_eff"])
    return bool(np.all(np.abs(values.mean((0, 1)) - truth) <= FEW_ERRORS * error))


_LOCAL = families_in((1, 2, 10), without=("lattice", *_MULTIMODAL, *_JUMPS))
_ANY = families_in((1, 2), without=("lattice", *_JUMPS))

FUNCTIONS = (
    Function("NUTS", _moments_of(NUTS), _LOCAL),
    Function("HMC", _moments_of(HMC), _LOCAL),
    Function("RandomWalkMetropolis", _moments_of(RandomWalkMetropolis), _LOCAL),
    Function("MALA", _moments_of(MALA), _LOCAL),
    Function("ChEESHMC", _moments_of(ChEESHMC), _LOCAL),
    Function("MAMS", _moments_of(MAMS), _LOCAL),
    Function("MCLMC", _moments_of(MCLMC), _LOCAL),
    Function("ReplicaExchange", _moments_of(lambda model: ReplicaExchange(NUTS(model))), _ANY),
)
