r"""Tests that chains started from a law are still distributed by it after some transitions.

All of them see the chains through the probability integral transform (in several coordinates: the
Rosenblatt transform) $u = F(x)$, which is uniform on the unit cube exactly if $x$ follows the target.
Legendre polynomials, orthonormal under the uniform law, turn it into components with mean zero and
variance one.

References:
    Neyman, J. (1937). "Smooth test" for goodness of fit. Skandinavisk Aktuarietidskrift 20.
    Rosenblatt, M. (1952). Remarks on a multivariate transformation. Annals of Mathematical Statistics 23.
"""

import itertools
import math

import numpy as np
from jaxtyping import Bool, Float
from numpy.polynomial import legendre
from scipy import stats

MARGINAL_ORDER = 6
"""Degree of the Legendre components of one coordinate."""

_CELLS = 2**14
"""Cells of the unit cube within which chains count as in one place; with 256 a steep funnel alarms."""
_FEW_REFUSALS = 50.0
"""Variance of a number of moves below which its law is too far from normal."""

JOINT_ORDER = 4
"""Total degree of the products of components of two coordinates."""


def legendre_components(
    u: Float[np.ndarray, "n dim"],
) -> Float[np.ndarray, "n components"]:
    r"""Orthonormal components $\sqrt{2k+1}\, P_k(2u - 1)$, and their products across two coordinates."""
    num_draws, dim = u.shape
    marginal = np.empty((dim, MARGINAL_ORDER + 1, num_draws))
    for axis in range(dim):
        marginal[axis] = legendre.legvander(2 * u[:, axis] - 1, MARGINAL_ORDER).T
    marginal *= np.sqrt(2 * np.arange(MARGINAL_ORDER + 1) + 1)[None, :, None]
    columns = [marginal[axis, 1:] for axis in range(dim)]
    for first, second in itertools.combinations(range(dim), 2):
        columns += [
            (marginal[first, j] * marginal[second, k])[None]
            for j in range(1, JOINT_ORDER)
            for k in range(1, JOINT_ORDER + 1 - j)
        ]
    return np.concatenate(columns).T


def kolmogorov_smirnov(u: Float[np.ndarray, " n"]) -> float:
    """p-value of the one-sample Kolmogorov-Smirnov test of uniformity (asymptotic law)."""
    ordered = np.sort(u)
    grid = np.arange(len(u) + 1) / len(u)
    distance = max(np.max(grid[1:] - ordered), np.max(ordered - grid[:-1]))
    return float(stats.kstwobign.sf(distance * np.sqrt(len(u))))


def neyman_smooth(components: Float[np.ndarray, "n components"]) -> float:
    r"""p-value of Neyman's smooth test: $n \sum_k \bar\phi_k^2 \sim \chi^2$ for a uniform sample."""
    num_draws, num_components = components.shape
    statistic = num_draws * np.sum(np.mean(components, axis=0) ** 2)
    return float(stats.chi2.sf(statistic, num_components))


def paired_change(change: Float[np.ndarray, "n components"]) -> float:
    """p-value of Hotelling's test that components have not moved, each chain its own control.

    The variance that start and end share cancels, so it sees smaller departures than a test of the end
    alone. Directions in which nothing moved at all are left out.
    """
    num_draws = len(change)
    mean = np.mean(change, axis=0)
    covariance = np.atleast_2d(np.cov(change, rowvar=False))
    eigenvalues, vectors = np.linalg.eigh(covariance)
    moving = eigenvalues > 1e-9 * max(float(eigenvalues[-1]), 1e-30)
    if not np.any(moving):
        return 1.0
    projected = vectors[:, moving].T @ mean
    statistic = num_draws * np.sum(projected**2 / eigenvalues[moving])
    return float(stats.chi2.sf(statistic, int(np.sum(moving))))


def energy_sign(change: Float[np.ndarray, " n"]) -> float:
    """p-value of the sign test of the energy change in one step of a reversible kernel.

    Under stationarity a reversible chain's pair of consecutive states is exchangeable, so the energy
    rises as often as it falls.
    """
    rises, falls = int(np.sum(change > 0)), int(np.sum(change < 0))
    if rises + falls == 0:
        return 1.0
    standardised = (rises - falls) / np.sqrt(rises + falls)
    return float(2 * stats.norm.sf(abs(standardised)))


def acceptance_martingale(
    moved: Bool[np.ndarray, "steps n"],
    accept_prob: Float[np.ndarray, "steps n"],
    lost: float = 0.0,
) -> float:
    r"""p-value of the test that moves happen as often as the reported `accept_prob` says.

    Given the proposals, "moved minus `accept_prob`" has mean 0 and variance $a(1 - a)$, summed over
    chains and steps. It sees a chain that sticks, and an acceptance that is not what is reported. Where the
    sum of variances is too small for a normal law, the p-value is the bound of Bernstein's inequality. Up to
    `lost` moves may look like refusals.
    """
    difference = np.sum(moved - accept_prob)
    variance = np.sum(accept_prob * (1 - accept_prob))
    # float32 probabilities carry a relative rounding error, which no draw can tell from zero
    slack = 1e-6 * accept_prob.size + lost
    if variance == 0:
        return 1.0 if abs(difference) <= slack else 0.0
    excess = max(abs(difference) - slack, 0.0)
    if variance < _FEW_REFUSALS:
        return min(1.0, 2 * math.exp(-(excess**2) / (2 * (variance + excess / 3))))
    return float(2 * stats.norm.sf(excess / np.sqrt(variance)))


def heterogeneity(moved: Bool[np.ndarray, "steps n"], u: Float[np.ndarray, "n dim"]) -> float:
    """p-value of the test that chains which stayed are as likely to move next as others at their place.

    What a transition does depends on where the chain is, not on which chain it is: a few that never move,
    and report that truly, keep every law invariant. The cube of places after the first transition is cut into
    cells, and in each the chains that stayed are held against those that arrived (Mantel and Haenszel 1959).

    Args:
        moved: Which chains moved, at each of two or more steps.
        u: Where they were after the first, in the unit cube.
    """
    per_axis = round(_CELLS ** (1 / u.shape[1]))
    place = np.minimum((u * per_axis).astype(int), per_axis - 1)
    cell = np.ravel_multi_index(tuple(place.T), (per_axis,) * u.shape[1])
    stayed, moves = ~moved[0], moved[1]
    size = per_axis ** u.shape[1]
    total, of_stayed, of_moves, both = (
        np.bincount(cell, which, size).astype(float)
        for which in (np.ones(len(u)), stayed, moves, stayed & moves)
    )
    some = total > 1
    total, of_stayed, of_moves, both = (one[some] for one in (total, of_stayed, of_moves, both))
    expected = of_stayed * of_moves / total
    variance = expected * (total - of_stayed) * (total - of_moves) / (total * (total - 1))
    if variance.sum() < _FEW_REFUSALS:
        return 1.0
    return float(2 * stats.norm.sf(abs(np.sum(both - expected)) / np.sqrt(variance.sum())))


def neighbour_independence(scores: Float[np.ndarray, " n"]) -> float:
    """p-value of the test that neighbouring chains are uncorrelated in a score.

    Chains that share random keys move together. Disjoint pairs keep the products independent. Scores are
    taken about their mean, which is not that of their law where rare ones have not occurred.
    """
    even = len(scores) // 2 * 2
    scores = scores - np.mean(scores)
    products = scores[:even:2] * scores[1:even:2]
    spread = np.std(products)
    if spread <= 1e-9 * np.max(np.abs(products), initial=0.0):  # all alike, but for rounding
        return 1.0
    return float(2 * stats.norm.sf(abs(np.mean(products)) / spread * np.sqrt(len(products))))


def acceptance_tests(
    moved: Bool[np.ndarray, "steps n"],
    accept_prob: Float[np.ndarray, "steps n"],
    lost: float = 0.0,
) -> dict[str, float]:
    """p-values, by name, of what is asked of every kernel that reports its acceptance."""
    surprise = moved[0] - accept_prob[0].astype(float)
    return {
        "acceptance martingale": acceptance_martingale(moved, accept_prob, lost),
        "neighbour independence, acceptance": neighbour_independence(surprise),
    }
