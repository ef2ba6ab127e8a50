"""Units of data: whether floats resolve a spread beside an offset, and coordinates in which they do."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._checks import is_traced
from ebm_ppl._processes import on_host
from ebm_ppl.energies import AffineEnergy
from ebm_ppl.trainers._base import Model

_SHARE = 1e-3
"""Largest rounding, in standard deviations. At 1e4 ± 1 float32 rounds by 5e-4, and at most so much goes
into a mean; at 1e5 by 4e-3, where a step of 1e-3 no longer moves a parameter."""

_MOST_ROWS = 4096  # by which the spread of a larger data set is judged


@dataclasses.dataclass(frozen=True)
class Units:
    """Columns less their means, in units of their standard deviations; in double precision throughout.

    Attributes:
        loc: Means, of the event shape.
        scale: Standard deviations, likewise.
    """

    loc: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, data: Any, event_shape: tuple[int, ...]) -> "Units":
        """The units in which a data set has mean 0 and standard deviation 1.

        Raises:
            ValueError: If the data are traced by JAX, or a column is constant.
        """
        if is_traced(data):
            raise ValueError("`data` must not be traced by JAX where it is to be standardised.")
        values = np.asarray(data, np.float64)
        _refuse_constant(values)
        loc, scale = values.mean(axis=0), values.std(axis=0)
        return cls(np.asarray(loc).reshape(event_shape), np.asarray(scale).reshape(event_shape))

    @classmethod
    def within(cls, energy: AffineEnergy) -> "Units":
        """The units of an energy that has them."""
        return cls(*energy.constants)

    @property
    def log_scale(self) -> float:
        """What a density in these units has to lose, logarithmically, to be one in those of the data."""
        return float(np.log(self.scale).sum())

    def standardise(self, data: Any) -> np.ndarray:
        """Points in these units."""
        return (np.asarray(data, np.float64) - self.loc) / self.scale

    def restore(self, points: Any) -> np.ndarray:
        """Points in the units of the data."""
        return np.asarray(points, np.float64) * self.scale + self.loc

    def restored(self, model: Model) -> Model:
        """A model in the units of the data."""
        return Model(
            AffineEnergy(model.energy, self.loc, self.scale),
            _shifted(model.learned, self.log_scale),
        )

    def standardised(self, model: Model) -> Model:
        """What `restored` made a model of."""
        return Model(model.energy.energy, _shifted(model.learned, -self.log_scale))


def check_resolution(name: str, values: Any, dtype: np.dtype) -> None:
    """Refuse data of which a column's offset takes the digits of its spread.

    Args:
        name: What to call the data.
        values: The data in the precision that they came in, shape `(num_examples, *event_shape)`.
        dtype: Floating-point type in which they are to be computed with.

    Raises:
        ValueError: If rounding in that type exceeds a thousandth of a column's standard deviation.
    """
    rows = values[:: -(-len(values) // _MOST_ROWS)]
    columns = on_host(rows, np.float64).reshape(len(rows), -1)
    rounding = 0.5 * float(jnp.finfo(dtype).eps) * np.abs(columns).mean(axis=0)
    spread = columns.std(axis=0)
    share = np.divide(rounding, spread, out=np.zeros_like(spread), where=spread > 0)
    worst = int(np.argmax(share)) if share.size else 0
    if share.size and share[worst] > _SHARE:
        raise ValueError(
            f"`{name}` must have a spread that {dtype} resolves beside its offset; got "
            f"{columns[:, worst].mean():.9g} ± {spread[worst]:.3g} in column {worst}, where numbers are "
            f"rounded by {rounding[worst]:.2g}. {_remedy(name, dtype)}"
        )


def _remedy(name: str, dtype: np.dtype) -> str:
    if dtype == np.float64:
        return "Subtract a constant from the column where the numbers are made."
    first = (
        "Fit with `standardise=True`" if name == "data" else "Subtract its mean in double precision"
    )
    return f"{first}, or switch on `jax_enable_x64`."


def _refuse_constant(values: np.ndarray) -> None:
    """Refuse a column without spread, which has no units."""
    columns = values.reshape(len(values), -1)
    varies = np.ptp(columns, axis=0) > 0
    if not varies.all():
        column = int(np.argmin(varies))
        raise ValueError(
            f"`data` must vary in each column to be standardised; got {columns[0, column]:g} in every "
            f"row of column {column}."
        )


def _shifted(learned: Any, log_scale: float) -> Any:
    """What was learned, with its log partition function in other units."""
    if not (isinstance(learned, dict) and isinstance(learned.get("log_z"), jax.Array)):
        return learned
    return learned | {"log_z": learned["log_z"] + log_scale}
