"""Composite Simpson and trapezoid rules on one grid, and which of them to believe."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

Rule: TypeAlias = Literal["simpson", "trapezoid"]


def rule_weights(rule: Rule, num_intervals: int, width: float) -> np.ndarray:
    """Weights of a composite rule on `num_intervals` equal intervals that span `width`.

    Args:
        rule: `"simpson"` (needs an even number of intervals) or `"trapezoid"`.
        num_intervals: Number of intervals.
        width: Length of the whole range.

    Returns:
        Weights, shape (num_intervals + 1,).
    """
    step = width / num_intervals
    weights = np.full(num_intervals + 1, step)
    weights[[0, -1]] = step / 2
    if rule == "simpson":
        weights = np.full(num_intervals + 1, 2 * step / 3)
        weights[1::2] = 4 * step / 3
        weights[[0, -1]] = step / 3
    return weights


@dataclasses.dataclass(frozen=True)
class Integral:
    """Both rules' integrals of one grid function, with error estimates from halving the grid.

    Attributes:
        rule: The rule with the smaller estimated relative error.
        value: Its integral.
        error: Its estimated relative error, without roundoff.
        other_value: The other rule's integral.
        other_error: The other rule's estimated relative error.
        steps: What part of the error comes from jumps across the grid's rows.
    """

    rule: Rule
    value: float
    error: float
    other_value: float
    other_error: float
    steps: float = 0.0

    def off_by(self, steps: float, beyond: float = 0.0) -> "Integral":
        """The estimate of an integrand with jumps, or with mass beyond the grid.

        Args:
            steps: What jumps may make the trapezoid rule be off by. Simpson's rule weighs neighbours
                unequally and may be off by twice that.
            beyond: Mass beyond the grid, in the same units.
        """
        estimate = self
        if steps > 0 and self.rule == "simpson":
            other = (self.value, self.error)
            estimate = Integral("trapezoid", self.other_value, self.other_error, *other)
        total = abs(estimate.value) or np.inf
        share = steps / total
        return dataclasses.replace(
            estimate,
            error=max(estimate.error, share) + beyond / total,
            other_error=max(estimate.other_error, 2 * share) + beyond / total,
            steps=share,
        )


def integrate(values: np.ndarray, widths: Sequence[float]) -> Integral:
    """Integrate values on a tensor grid by both rules and by both on every second node.

    Args:
        values: Non-negative values at the nodes, one axis per coordinate; the numbers of intervals
            are multiples of four.
        widths: Length of the range of each coordinate.

    Returns:
        The two integrals; the rule whose change on halving the grid is smaller comes first. The
        change is the error of the *coarser* grid, so for a convergent rule it bounds the finer
        one's.
    """
    results: list[tuple[float, float, Rule]] = []
    coarse = values[(slice(None, None, 2),) * values.ndim]
    for rule in ("trapezoid", "simpson"):
        totals = []
        for grid in (values, coarse):
            total = grid
            for width in reversed(widths):
                total = total @ rule_weights(rule, total.shape[-1] - 1, width)
            totals.append(float(total))
        fine, half = totals
        error = abs(fine - half) / abs(fine) if fine != 0 else np.inf
        results.append((error, fine, rule))
    (error, value, rule), (other_error, other_value, _) = sorted(results, key=lambda r: r[0])
    return Integral(rule, value, error, other_value, other_error)
