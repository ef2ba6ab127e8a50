"""Meng and Wong's bridge: its root, its error and its interval, from densities at both kinds of draws."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from numpyro.diagnostics import effective_sample_size
from scipy import optimize, special

from ebm_ppl._errors import NonFiniteEnergyError
from ebm_ppl.partition._estimate import LEAST_ESS, LogPartitionEstimate, warn_if_unreliable

_REPLICATES = 500
_MOST_ROUNDS = 10_000
"""Rounds of the search for the root, which halves a bracket as wide as the largest energy of a draw."""


def estimate_from_bridge(
    log_ratio: Float[np.ndarray, "num_chains num_draws"],
    proposal_log_ratio: Float[np.ndarray, " n"],
    level: float,
) -> LogPartitionEstimate:
    r"""Estimate from $-U - \log q$ at draws of the target and at draws of the proposal.

    Args:
        log_ratio: At the target's draws, by chain.
        proposal_log_ratio: At the proposal's draws.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate, as `bridge_sampling` describes it.
    """
    if not np.isfinite(log_ratio).all():
        raise NonFiniteEnergyError("The target's or the proposal's density is 0 or NaN at a draw.")
    if np.isnan(proposal_log_ratio).any() or not np.isfinite(proposal_log_ratio).any():
        raise NonFiniteEnergyError(
            "The target's density is NaN at a draw of the proposal, or 0 at all."
        )
    count = len(proposal_log_ratio)
    size = float(log_ratio.size)
    # The bridge is best for the effective number of draws, which takes a bridge to find.
    for _ in range(2):
        log_z = _solve(log_ratio, proposal_log_ratio, size, count)
        target_terms, proposal_terms = _terms(log_ratio, proposal_log_ratio, log_z, size, count)
        size = _effective_size(target_terms)
    log_z = _solve(log_ratio, proposal_log_ratio, size, count)
    target_terms, proposal_terms = _terms(log_ratio, proposal_log_ratio, log_z, size, count)
    error = math.hypot(
        _relative_error(target_terms.reshape(-1), size),
        _relative_error(proposal_terms, float(count)),
    )
    ess_proposal = float(np.sum(proposal_terms) ** 2 / np.sum(proposal_terms**2))
    ess = min(size, ess_proposal)
    warn_if_unreliable(-math.inf, ess)
    ends = None
    if ess >= LEAST_ESS:
        low, high = _studentised_quantiles(target_terms, proposal_terms, size, level)
        student = float(special.stdtrit(ess - 1, (1 + level) / 2))
        low, high = min(low, -student), max(high, student)
        ends = (log_z - high * error, log_z - low * error)
    return LogPartitionEstimate(
        log_z=log_z,
        std_error=error,
        interval=ends,
        ess=ess,
        diagnostics={
            "level": level,
            "overlap": float(np.mean(proposal_terms)),
            "ess_target": size,
            "ess_proposal": ess_proposal,
        },
    )


def _solve(log_ratio: np.ndarray, proposal_log_ratio: np.ndarray, size: float, count: int) -> float:
    """Root of the bridge's equation in log Z, which decreases."""
    log_s1, log_s2 = math.log(size / (size + count)), math.log(count / (size + count))

    def excess(log_z: float) -> float:
        above = proposal_log_ratio - np.logaddexp(log_s1 + proposal_log_ratio, log_s2 + log_z)
        below = -np.logaddexp(log_s1 + log_ratio, log_s2 + log_z)
        sums = np.logaddexp.reduce(above), np.logaddexp.reduce(below, axis=None)
        return float(sums[0] - sums[1]) + math.log(log_ratio.size / count) - log_z

    finite = proposal_log_ratio[np.isfinite(proposal_log_ratio)]
    low = min(log_ratio.min(), finite.min()) - 1 - math.log(count)
    high = max(log_ratio.max(), finite.max()) + 1
    root: Any = optimize.brentq(excess, low, high, xtol=1e-12, maxiter=_MOST_ROUNDS)
    return float(root)


def _terms(
    log_ratio: np.ndarray, proposal_log_ratio: np.ndarray, log_z: float, size: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Q / (s1 p + s2 q) at the target's draws, and p / (s1 p + s2 q) at the proposal's."""
    log_s1, log_s2 = math.log(size / (size + count)), math.log(count / (size + count))
    ours, theirs = log_ratio - log_z, proposal_log_ratio - log_z
    return (
        np.exp(-np.logaddexp(log_s1 + ours, log_s2)),
        np.exp(theirs - np.logaddexp(log_s1 + theirs, log_s2)),
    )


def _effective_size(terms: Float[np.ndarray, "num_chains num_draws"]) -> float:
    """Effective number of draws for the mean of terms; constant terms are as good as independent ones."""
    if np.ptp(terms) < 1e-12:
        return float(terms.size)
    # Anticorrelated chains would count for more than their draws, on the word of a noisy estimate.
    return float(np.clip(np.asarray(effective_sample_size(terms)), 1.0, terms.size))


def _relative_error(terms: np.ndarray, size: float) -> Any:
    """Standard error of the logarithm of the mean of terms which are worth `size` independent ones."""
    return np.std(terms, axis=-1, ddof=1) / np.mean(terms, axis=-1) / math.sqrt(size)


def _studentised_quantiles(
    target_terms: np.ndarray, proposal_terms: np.ndarray, size: float, level: float
) -> tuple[float, float]:
    r"""Quantiles of $(\log \hat Z - \log Z) / s$, from resampled terms.

    Terms of the overlap are bounded but skewed, to either side, and the error goes with the mean. Chains
    that are correlated count as the smaller number of independent draws that they are worth.
    """
    rng = np.random.default_rng(0)
    error, square = 0.0, 0.0
    for terms, count, sign in (
        (target_terms, size, -1.0),
        (proposal_terms, proposal_terms.size, 1.0),
    ):
        flat = terms.reshape(-1)
        drawn = flat[rng.integers(0, flat.size, (_REPLICATES, max(round(count), 2)))]
        error = error + sign * np.log(np.mean(drawn, axis=1) / np.mean(flat))
        square = square + _relative_error(drawn, float(drawn.shape[1])) ** 2
    studentised = error / np.sqrt(np.maximum(square, np.finfo(float).tiny))
    low, high = np.quantile(studentised, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
