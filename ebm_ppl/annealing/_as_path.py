"""From an energy to the path that leads to it."""

from typing import Any

from ebm_ppl.annealing._geometric import GeometricPath
from ebm_ppl.annealing._linear import LinearPath
from ebm_ppl.annealing._path import AbstractPath
from ebm_ppl.energies import AbstractEnergy, AbstractLinearEnergy


def as_path(target: AbstractEnergy | AbstractPath, base: Any) -> AbstractPath:
    """Read an energy with a base law, or a path.

    Args:
        target: The energy, or a path to it.
        base: Base law, as [`GeometricPath`][ebm_ppl.annealing.GeometricPath] takes it.

    Returns:
        The path: without a base law, for an energy that is linear in its parameters, that of its couplings;
        else a geometric one.

    Raises:
        ValueError: If there are both a path and a base law.
    """
    if isinstance(target, AbstractPath):
        if base is not None:
            raise ValueError("`base` must be None with a path, which has its own base law.")
        return target
    if isinstance(target, AbstractLinearEnergy) and base is None:
        return LinearPath(target)
    return GeometricPath(target, base)
