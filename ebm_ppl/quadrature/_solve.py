"""Vectorised root finding that never leaves its bracket."""

from collections.abc import Callable

import numpy as np

ValueAndSlope = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def increasing_root(
    value_and_slope: ValueAndSlope,
    low: np.ndarray,
    high: np.ndarray,
    *,
    start: np.ndarray | None = None,
    iterations: int = 80,
    tolerance: float = 4e-16,
) -> np.ndarray:
    """Root of an increasing function in `[low, high]`, one per entry, by safeguarded Newton steps.

    A Newton step that leaves the bracket, or that has not halved the bracket's residual, is
    replaced by bisection, so convergence is certain and quadratic where the function is smooth.

    Args:
        value_and_slope: Function of the points that gives values and derivatives.
        low: Lower ends of the brackets.
        high: Upper ends of the brackets.
        start: First guesses; the middles of the brackets by default.
        iterations: Upper bound of the number of steps.
        tolerance: Stop when no point moves by more than this, relative to its magnitude.

    Returns:
        The roots, of the shape of `low`.
    """
    low, high = np.array(low, np.float64), np.array(high, np.float64)
    point = 0.5 * (low + high) if start is None else np.clip(start, low, high)
    previous = np.full_like(point, np.inf)
    for _ in range(iterations):
        value, slope = value_and_slope(point)
        low = np.where(value <= 0, point, low)
        high = np.where(value >= 0, point, high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = point - value / slope
        slow = np.abs(value) > 0.5 * previous
        bisect = slow | ~(newton >= low) | ~(newton <= high)
        moved = np.where(bisect, 0.5 * (low + high), newton)
        previous = np.abs(value)
        if np.all(np.abs(moved - point) <= tolerance * (1.0 + np.abs(point))):
            return moved
        point = moved
    return point
