"""Ground-truth targets, found by convention: a module here exports its own as `TARGETS`, makers by name."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable

from ebm_ppl.validation.targets import discrete
from ebm_ppl.validation.targets._base import Target as Target

Maker = Callable[[], Target]


def makers() -> dict[str, Maker]:
    """What makes each target, by name: those on real points, then those on states; none is made yet.

    Raises:
        ValueError: If two targets share a name.
    """
    found: dict[str, Maker] = {}
    for package, path in ((__name__, __path__), (discrete.__name__, discrete.__path__)):
        _collect(found, package, path)
    return found


def discover() -> dict[str, Target]:
    """Make the targets on real points: the `TARGETS` of every module of this package.

    Modules whose name begins with an underscore have none.

    Returns:
        The targets by name, in the order of the modules' names.

    Raises:
        ValueError: If two targets share a name.

    Examples:
        >>> from ebm_ppl.validation.targets import discover
        >>> round(discover()["gamma"].log_z, 6)  # log(Gamma(3) / 2^3)
        -1.386294
    """
    return _made(__name__, __path__)


def discover_discrete() -> dict[str, Target]:
    """Make the targets on finitely many states, as `discover` does: those of `targets.discrete`.

    Examples:
        >>> from ebm_ppl.validation.targets import discover_discrete
        >>> discover_discrete()["ising_3x3"].energy.event_shape
        (3, 3)
    """
    return _made(discrete.__name__, discrete.__path__)


def _made(package: str, path: Iterable[str]) -> dict[str, Target]:
    found: dict[str, Maker] = {}
    _collect(found, package, path)
    return {name: make() for name, make in found.items()}


def _collect(found: dict[str, Maker], package: str, path: Iterable[str]) -> None:
    for info in sorted(pkgutil.iter_modules(path), key=lambda info: info.name):
        if info.name.startswith("_") or info.ispkg:
            continue
        for name, make in importlib.import_module(f"{package}.{info.name}").TARGETS.items():
            if name in found:
                raise ValueError(f"Target names must be unique; got {name!r} twice.")
            found[name] = make
