"""Kernels inside NumPyro's `MCMC`: whether moments of their draws are within the usual error."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpyro.infer import HMC, NUTS

from ebm_ppl._types import PRNGKey
from ebm_ppl.potentials import as_model
from ebm_ppl.samplers import MALA, MAMS, MCLMC, ChEESHMC, RandomWalkMetropolis, ReplicaExchange
from ebm_ppl.validation.diagnostics import Convergence, convergence
from ebm_ppl.validation.hard_problems import HardProblem
from validation.silent_failures.functions import (
    FEW_ERRORS,
    Function,
    UnusableError,
    families_in,
    run_chains,
)

_R_HAT, _LEAST_ESS = 1.01, 400.0
"""What ArviZ's summary of draws is read by: rank-normalised R-hat, and effective sizes of bulk and of tails.

Beyond it they say themselves not to be used (Vehtari et al. 2021).
"""
_DIVERGENT, _LEAST_FRACTION = 1e-3, 0.3
"""What the fields that NumPyro's HMC and NUTS collect are read by: the share of divergences above which our
kernels warn by themselves, and the E-BFMI below which Stan does (Betancourt 2016)."""

_MULTIMODAL = ("far_mode", "scattered_modes", "many_wells")
"""Only replica exchange claims to cross what separates modes."""
_JUMPS = ("steps", "hole", "staircase")
"""No gradient says where they are."""


def _moments_of(make: Callable[[Any], Any]) -> Callable[[HardProblem, PRNGKey], bool]:
    def ask(problem: HardProblem, rng_key: PRNGKey) -> bool:
        kernel = make(as_model(problem.energy))
        fields = _fields_of(kernel)
        chains = run_chains(kernel, rng_key, 1000, num_chains=8, extra_fields=fields)
        if isinstance(kernel, HMC):
            _check_fields(chains.get_extra_fields(group_by_chain=True))
        draws = np.asarray(chains.get_samples(group_by_chain=True)["x"], np.float64)
        return _is_right(draws, problem)

    return ask


def _fields_of(kernel: Any) -> tuple[str, ...]:
    """Kernels of NumPyro warn of nothing by themselves."""
    return ("energy",) if isinstance(kernel, HMC) else ()


def _check_fields(fields: dict[str, Any]) -> None:
    """Refuse a run of NumPyro's whose divergences or energies tell that it missed a part of the law."""
    energy = np.asarray(fields["energy"], np.float64)
    changes, away = np.diff(energy, axis=1), energy - energy.mean(axis=1, keepdims=True)
    fraction = np.min(np.sum(changes**2, axis=1) / np.sum(away**2, axis=1))
    if np.mean(fields["diverging"]) > _DIVERGENT or fraction < _LEAST_FRACTION:
        raise UnusableError("too many steps diverged or E-BFMI is too low")


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
    said = [convergence(values[..., k]) for k in range(values.shape[-1])]
    if not all(map(_is_usable, said)):
        raise UnusableError("R-hat or an effective sample size is out of bounds")
    error = np.array([one.mcse_mean for one in said])
    return bool(np.all(np.abs(values.mean((0, 1)) - truth) <= FEW_ERRORS * error))


def _is_usable(said: Convergence) -> bool:
    """Whether ArviZ's summary has nothing against some draws; NaN is no good word."""
    return said.rhat < _R_HAT and said.ess_bulk > _LEAST_ESS and said.ess_tail > _LEAST_ESS


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
