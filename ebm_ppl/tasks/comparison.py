"""Which of two points is more probable."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.tasks._inputs import (
    Energy,
    as_batch,
    as_conditions,
    check_energy,
    check_values,
    in_chunks,
)
from ebm_ppl.tasks._values import energies


def log_density_ratio(
    energy: Energy, x1: Any, x2: Any, *, y: Any = None, sigma: Any = None
) -> Float[Array, " num"]:
    r"""How much more probable one point is than another, without the partition function.

    $$\log \frac{p(x_1)}{p(x_2)} = E(x_2) - E(x_1).$$

    Energies may have a large additive constant, which $Z$ absorbs. Both are computed in double precision
    and only their difference is rounded, so that a constant of $10^6$ costs some ten of sixteen
    digits rather than all seven of a single-precision number.

    Args:
        energy: The energy, conditional or not.
        x1: First points, shape `(num, *event_shape)`.
        x2: Second points, of that shape; either may be a single one, shape `(1, *event_shape)`, to
            compare all others with.
        y: Condition of both points of a pair: one for all pairs, of shape `condition_shape`, or one for each.
        sigma: Level of noise, one for all pairs or one for each.

    Returns:
        The log ratios, in nats, shape `(num,)`. Positive where `x1` is the more probable point; infinite if
        one of the two lies outside the support.

    Raises:
        ValueError: If an argument has another shape, or both points of a pair lie outside the support.
        NonFiniteEnergyError: If an energy is NaN.

    Examples:
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.tasks import log_density_ratio
        >>> log_density_ratio(Gaussian([0.0], [[1.0]]), [[1.0], [2.0]], [[0.0]]).tolist()
        [-0.5, -2.0]
    """
    check_energy(energy)
    first = as_batch("x1", x1, energy.event_shape)
    second = as_batch("x2", x2, energy.event_shape)
    num = max(len(first), len(second))
    if not {len(first), len(second)} <= {1, num}:
        raise ValueError(
            f"`x1` and `x2` must hold as many points, or one of them a single one; got {len(first)} "
            f"and {len(second)}."
        )
    with float64():
        given = as_conditions(energy, y, sigma, num)
        values = [
            _double_energies(energy, name, points, num, given)
            for name, points in (("x1", first), ("x2", second))
        ]
    outside = np.flatnonzero(np.isinf(values[0]) & np.isinf(values[1]))
    if len(outside) > 0:
        raise ValueError(
            "One point of each pair must lie in the energy's support; both of pair "
            f"{outside[0]} have an infinite energy."
        )
    return jnp.asarray(values[1] - values[0], dtype=float)


def _double_energies(
    energy: Energy, name: str, points: np.ndarray, num: int, given: tuple[Any, Any]
) -> Float[np.ndarray, " num"]:
    """Energies in double precision, as NumPy's numbers, which keep it outside of this context."""
    repeated = jnp.broadcast_to(jnp.asarray(points, jnp.float64), (num, *points.shape[1:]))
    values = in_chunks(energies, to_float64(energy), repeated, *given)
    check_values(energy, name, values)
    return np.asarray(values)
