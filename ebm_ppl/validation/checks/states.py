r"""Tests that chains on finitely many states, started from a law, are still distributed by it.

States are gathered into cells of at least `MINIMUM_EXPECTED` expected chains; all rarer ones share a cell. So
the $\chi^2$ laws below hold far into their tails.

References:
    Wilks, S. S. (1935). The likelihood test of independence in contingency tables. Annals of Mathematical
    Statistics 6.
    Stuart, A. (1955). A test for homogeneity of the marginal distributions in a two-way classification.
    Biometrika 42.
    Bowker, A. H. (1948). A test for symmetry in contingency tables. Journal of the American Statistical
    Association 43.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

MINIMUM_EXPECTED = 200
"""Least number of chains expected in a cell."""

MINIMUM_PAIRS = 25
"""Least number of moves between two cells, there or back, whose symmetry is tested."""


def cells(probs: Float[np.ndarray, " states"], num_chains: int) -> Int[np.ndarray, " states"]:
    """Number of the cell of each state.

    Args:
        probs: Probability of each state.
        num_chains: Number of chains.

    Returns:
        Numbers from 0, in the order of the states; the rarer states share the last cell. Where even all of
        them are not expected often enough, they join the least likely of the others.
    """
    is_common = probs * num_chains >= MINIMUM_EXPECTED
    cell = np.cumsum(is_common) - 1
    rare = int(is_common.sum())
    if rare and np.sum(probs[~is_common]) * num_chains < MINIMUM_EXPECTED:
        common = np.flatnonzero(is_common)
        rare = int(np.argmin(probs[common]))
    return np.where(is_common, cell, rare)


def g_test(counts: Int[np.ndarray, " cells"], probs: Float[np.ndarray, " cells"]) -> float:
    r"""p-value of the G test: $2 \sum_k n_k \log(n_k / n p_k) \sim \chi^2_{K-1}$ if cells have the law."""
    if len(counts) == 1:
        return 1.0
    ratio = counts / (counts.sum() * probs)
    terms = counts * np.log(np.where(counts > 0, ratio, 1.0))
    return float(stats.chi2.sf(2 * terms.sum(), len(counts) - 1))


def homogeneity(moves: Int[np.ndarray, "cells cells"]) -> float:
    r"""p-value of Stuart's test that a law has not changed, each chain its own control.

    With $d_k$ the number of chains that entered cell $k$ less those that left it, and $S$ its covariance
    matrix, $d^\top S^{-1} d \sim \chi^2$. Chains that stayed cancel, so it sees smaller departures than a
    test of the end alone.

    Args:
        moves: Number of chains that went from each cell (row) to each other one (column).
    """
    moves = moves.astype(float)
    left, entered = moves.sum(axis=1), moves.sum(axis=0)
    change = entered - left
    covariance = np.diag(entered + left) - moves - moves.T
    eigenvalues, vectors = np.linalg.eigh(covariance)
    moving = eigenvalues > 1e-9 * max(float(eigenvalues[-1]), 1e-30)
    if not np.any(moving):
        return 1.0
    projected = vectors[:, moving].T @ change
    statistic = float(np.sum(projected**2 / eigenvalues[moving]))
    return float(stats.chi2.sf(statistic, int(moving.sum())))


def symmetry(moves: Int[np.ndarray, "cells cells"]) -> float:
    r"""p-value of Bowker's test that there are as many moves there as back, for reversible kernels.

    Of $n_{kl} + n_{lk}$ moves between two cells half are expected each way, so
    $\sum_{k<l} (n_{kl} - n_{lk})^2 / (n_{kl} + n_{lk}) \sim \chi^2$, one degree of freedom for each pair.
    Pairs with too few moves are left out, which their sum alone decides.

    Args:
        moves: Number of chains that went from each cell (row) to each other one (column) in one step.
    """
    upper = np.triu_indices(len(moves), 1)
    there, back = moves[upper].astype(float), moves.T[upper].astype(float)
    both = there + back
    enough = both >= MINIMUM_PAIRS
    if not np.any(enough):
        return 1.0
    statistic = float(np.sum((there - back)[enough] ** 2 / both[enough]))
    return float(stats.chi2.sf(statistic, int(enough.sum())))
