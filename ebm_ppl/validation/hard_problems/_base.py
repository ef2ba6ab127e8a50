"""A family of hard problems: an image of the unit cube, so that uniform numbers draw from it."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ebm_ppl._checks import check_choice, check_interval, check_shape
from ebm_ppl.energies import AbstractEnergy


@dataclasses.dataclass(frozen=True)
class HardProblem:
    """An energy about which the truth is known, though nobody tuned anything for it.

    Attributes:
        energy: The energy.
        log_z: Its log Z over the support.
        mean: Mean, of the event shape, or `None` where it does not exist or is not known.
        sd: Standard deviation of each coordinate, of the event shape, or `None`.
        parameters: Where in its family it lies, by name.
    """

    energy: AbstractEnergy
    log_z: float
    mean: NDArray[np.float64] | None = None
    sd: NDArray[np.float64] | None = None
    parameters: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Span:
    """Values that a parameter takes, evenly or evenly in their logarithm.

    Attributes:
        low: Smallest value, which a uniform number of 0 gives.
        high: Largest value.
        log: Whether the logarithm is uniform.
    """

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """The value at a share of the way, as single precision holds it."""
        if self.log:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + (self.high - self.low) * share
        return float(np.float32(value))


def even(low: float, high: float) -> Span:
    """Values spread evenly."""
    return Span(low, high)


def decades(low: float, high: float) -> Span:
    """Values whose logarithms are spread evenly."""
    return Span(low, high, log=True)


@dataclasses.dataclass(frozen=True)
class HardFamily:
    """Problems of one kind.

    Attributes:
        name: The kind.
        dims: Numbers of coordinates that it comes in.
        spans: The values of its parameters.
        build: From a number of coordinates and parameters to a `HardProblem` or a `HardData`.
    """

    name: str
    dims: tuple[int, ...]
    spans: dict[str, Span]
    build: Callable[..., Any]

    @property
    def num_parameters(self) -> int:
        """How many uniform numbers place a problem in the family."""
        return len(self.spans)

    def at(self, dim: int, shares: Any) -> Any:
        """The problem at a point of the unit cube.

        Args:
            dim: Number of coordinates, one of `dims`.
            shares: The point, shape `(num_parameters,)`.

        Raises:
            ValueError: If the family has no problems of `dim` coordinates, or the point is not in the cube.
        """
        check_choice("dim", str(dim), tuple(map(str, self.dims)))
        check_shape("shares", shares, (self.num_parameters,))
        for share in shares:
            check_interval("shares", share, 0.0, 1.0, closed=True)
        values = {
            name: span.at(float(share))
            for (name, span), share in zip(self.spans.items(), shares, strict=True)
        }
        return dataclasses.replace(self.build(dim, **values), parameters=values)

    def draw(self, rng: np.random.Generator, dim: int) -> Any:
        """A random problem of `dim` coordinates."""
        return self.at(dim, rng.uniform(size=self.num_parameters))


FINEST = {1: 1 / 2000, 2: 1 / 32, 3: 1 / 8, 10: 1 / 8}
"""Width, as a share of the distance from all else, below which `normalize` does not promise to see mass."""

FAMILIES: dict[str, HardFamily] = {}
"""All families of energies, by name."""

DATA_FAMILIES: dict[str, HardFamily] = {}
"""All families of data sets, by name."""

Build: TypeAlias = Callable[..., Any]


def _registrar(families: dict[str, HardFamily]) -> Callable[..., Callable[[Build], HardFamily]]:
    def with_values(*dims: int, **spans: Span) -> Callable[[Build], HardFamily]:
        """Make a family of a function of a number of coordinates and of parameters with given values."""

        def register(build: Build) -> HardFamily:
            family = HardFamily(build.__name__, dims, spans, build)
            families[family.name] = family
            return family

        return register

    return with_values


hard_family = _registrar(FAMILIES)
data_family = _registrar(DATA_FAMILIES)


def direction(dim: int, angle: float, height: float) -> NDArray[np.float64]:
    """A unit vector: by two angles in space, by one in the plane; its entries repeat in more dimensions."""
    entries = np.array(
        [np.cos(angle), np.sin(angle) * np.cos(height), np.sin(angle) * np.sin(height)]
    )
    if dim == 1:
        return np.array([np.sign(entries[0])])
    if dim == 2:
        return np.array([np.cos(angle), np.sin(angle)])
    repeated = np.resize(entries, dim)
    return repeated / np.linalg.norm(repeated)
