"""Log partition functions of the laws that points or classes belong to."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_finite
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.tasks._inputs import Energy, law_at


def log_z_at(log_z: Any, energy: Energy, y: Any, sigma: Any, num: int) -> Float[Array, "..."]:
    r"""Read the log partition functions of `num` laws.

    Args:
        log_z: A number, an array of `num` of them for a conditional energy, an object with `log_z`, or a
            callable from an energy to its $\log Z$.
        energy: The energy.
        y: Conditions, one for each law, or `None`.
        sigma: Levels of noise, one for each law, or `None`.
        num: Number of laws.

    Returns:
        One number for all or one for each, of shape `()` or `(num,)`.

    Raises:
        ValueError: If it is none of these, or not finite.
    """
    log_z = getattr(log_z, "log_z", log_z)
    if callable(log_z):
        has_one = isinstance(energy, AbstractEnergy)
        log_z = log_z(energy) if has_one else _log_z_of_each(log_z, energy, y, sigma)
    check_finite("log_z", log_z)
    shapes = ((),) if isinstance(energy, AbstractEnergy) else ((), (num,))
    if np.shape(log_z) not in shapes:
        expected = " or ".join(map(str, shapes))
        raise ValueError(f"Expected `log_z` of shape {expected}; got {np.shape(log_z)}.")
    return jnp.asarray(log_z, dtype=float)


@SharedJit
def _log_z_of_each(normalizer: Any, energy: Energy, y: Any, sigma: Any) -> Float[Array, " num"]:
    return jax.vmap(lambda y, sigma: normalizer(law_at(energy, y, sigma)))(y, sigma)
