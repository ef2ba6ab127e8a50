"""Data sets with an offset, in other units, with masked entries, or without spread."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebm_ppl.validation.hard_problems._base import data_family, decades, even

NUM_ROWS = 400


@dataclasses.dataclass(frozen=True)
class HardData:
    """Data of a normal law, and what their rows say of it.

    Attributes:
        rows: The data, in double precision, shape `(NUM_ROWS, dim)`; entries may be masked.
        mean: Mean of each column over the rows that count, shape `(dim,)`.
        sd: Standard deviation of each column, likewise; 0 where all values are one.
        parameters: Where in its family it lies, by name.
    """

    rows: Any
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    parameters: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> "HardData":
        """The data with their moments, about the first row so that no digit is lost."""
        away = rows - rows[0]
        return cls(rows, rows[0] + away.mean(axis=0), away.std(axis=0))


def _normal(dim: int, loc: float, scale: float, seed: float) -> NDArray[np.float64]:
    rng = np.random.default_rng(int(seed))
    return loc + scale * rng.normal(size=(NUM_ROWS, dim))


_SEED = even(0.0, 1e6)


@data_family(*(1, 2, 3), loc=decades(1.0, 1e9), scale=decades(0.1, 10.0), seed=_SEED)
def offset_data(dim: int, loc: float, scale: float, seed: float) -> HardData:
    """A spread of about one beside an offset of up to 1e9."""
    return HardData.of(_normal(dim, loc, scale, seed))


@data_family(*(1, 2, 3), scale=decades(1e-6, 1e6), shift=even(-3.0, 3.0), seed=_SEED)
def other_units(dim: int, scale: float, shift: float, seed: float) -> HardData:
    """A spread from 1e-6 to 1e6."""
    return HardData.of(_normal(dim, shift * scale, scale, seed))


@data_family(*(1, 2), share=even(0.001, 0.5), value=decades(10.0, 1e4), seed=_SEED)
def masked_data(dim: int, share: float, value: float, seed: float) -> HardData:
    """Values that a mask hides, and that stand for nothing."""
    rows = _normal(dim, 0.0, 1.0, seed)
    hidden = np.random.default_rng(int(seed) + 1).uniform(size=rows.shape) < share
    hidden[0] = False
    shown = np.ma.masked_array(np.where(hidden, value, rows), mask=hidden)
    mean, sd = (np.asarray(moment, np.float64) for moment in (shown.mean(0), shown.std(0)))
    return HardData(shown, mean, sd)


@data_family(*(1, 2), value=decades(0.1, 1e6), seed=_SEED)
def one_value(dim: int, value: float, seed: float) -> HardData:
    """A column, the first, that holds one value only."""
    rows = _normal(dim, 0.0, 1.0, seed)
    rows[:, 0] = value
    return HardData.of(rows)
