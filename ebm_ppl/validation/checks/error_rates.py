r"""Error budgets: false-alarm rates, the p-values that respect them, and what a sample size can see.

A check is a sequence of two tests, on independent chains. The *screen* rejects at `SCREEN_LEVEL`; only
then does the *confirmation*, on four times as many fresh chains, decide at `CONFIRMATION_LEVEL`. A
correct subject is rejected with probability at most `SCREEN_LEVEL * CONFIRMATION_LEVEL`. A screen whose
p-value is already below `CERTAIN_LEVEL` rejects at once, which adds at most `CERTAIN_LEVEL`.
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy import optimize, stats

REPORT_BUDGET = 1e-4
"""Upper bound of the probability that a whole report rejects anything correct."""

SCREEN_LEVEL = 1e-3
CONFIRMATION_LEVEL = 1e-4
CERTAIN_LEVEL = 1e-7

SEQUENTIAL_LEVEL = SCREEN_LEVEL * CONFIRMATION_LEVEL + CERTAIN_LEVEL
"""False-alarm rate of one screen-then-confirm check."""

SINGLE_LEVEL = 1e-7
"""False-alarm rate of a check that consists of one calibrated test."""

POWER = 0.99


def bonferroni(p_values: Mapping[str, float]) -> float:
    r"""Joint p-value $\min(1, m \min_i p_i)$ of $m$ tests, valid under any dependence.

    A non-finite p-value counts as 0: a test that broke must not pass.
    """
    values = np.array(list(p_values.values()), dtype=float)
    values = np.where(np.isfinite(values), values, 0.0)
    return float(min(1.0, len(values) * values.min())) if len(values) else 0.0


def rank(p_value: float) -> float:
    """A p-value as it is ordered by: 0 if it is not a number."""
    return p_value if math.isfinite(p_value) else 0.0


def detectable_component(
    num_draws: int, level: float, num_tests: int, num_components: int, power: float = POWER
) -> float:
    r"""Smallest shift of one normalised component that a smooth test sees with the given power.

    Under a shift $\delta$ of one of $k$ orthonormal components, $n$ times the sum of their squared
    means follows a noncentral $\chi^2_k(n \delta^2)$.

    Args:
        num_draws: Number $n$ of independent draws.
        level: False-alarm rate of the joined test.
        num_tests: Number of tests that share `level` by Bonferroni.
        num_components: Number $k$ of components in this test.
        power: Wanted probability of rejection.

    Returns:
        The shift $\delta$, in standard deviations of the component.
    """
    critical = stats.chi2.isf(level / num_tests, num_components)

    def shortfall(noncentrality: float) -> float:
        return float(stats.ncx2.sf(critical, num_components, noncentrality)) - power

    noncentrality = optimize.brentq(shortfall, 1e-6, 100.0 * (critical + num_components))
    return math.sqrt(float(noncentrality) / num_draws)  # pyright: ignore[reportArgumentType]


def detectable_ks(num_draws: int, level: float, num_tests: int, power: float = POWER) -> float:
    r"""Smallest Kolmogorov distance that a KS test sees with the given power.

    By the triangle inequality and the Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant
    (Massart, 1990), a law at distance $D$ is rejected with probability at least `power` once
    $D \ge t_\alpha + \sqrt{\log(2 / (1 - \text{power})) / 2n}$.
    """
    threshold = math.sqrt(math.log(2 * num_tests / level) / (2 * num_draws))
    return threshold + math.sqrt(math.log(2 / (1 - power)) / (2 * num_draws))


def normal_quantile(level: float) -> float:
    """Two-sided critical value of a standard normal statistic at a false-alarm rate."""
    return float(stats.norm.isf(level / 2))


def two_sided_p_value(standardised: float) -> float:
    """Two-sided p-value of a standard normal statistic; 0 if it is not finite."""
    return float(2 * stats.norm.sf(abs(standardised))) if math.isfinite(standardised) else 0.0
