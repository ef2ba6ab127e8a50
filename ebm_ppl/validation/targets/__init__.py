"""Ground-truth targets, found by convention: a module here exports its own as `TARGETS`."""

import importlib
import pkgutil
from collections.abc import Iterable

from ebm_ppl.validation.targets import discrete
from ebm_ppl.validation.targets._base import Target as Target


def discover() -> dict[str, Target]:
    """Collect the targets on real points: the `TARGETS` of every module of this package.

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
    return _targets_of(__name__, __path__)


def discover_discrete() -> dict[str, Target]:
    """Collect the targets on finitely many states, as `discover` does: those of `targets.discrete`.

    Examples:
        >>> from ebm_ppl.validation.targets import discover_discrete
        >>> discover_discrete()["ising_3x3"].energy.event_shape
        (3, 3)
    """
    return _targets_of(discrete.__name__, discrete.__path__)


def _targets_of(package: str, path: Iterable[str]) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for info in sorted(pkgutil.iter_modules(path), key=lambda info: info.name):
        if info.name.startswith("_") or info.ispkg:
            continue
        for target in importlib.import_module(f"{package}.{info.name}").TARGETS:
            if target.name in targets:
                raise ValueError(f"Target names must be unique; got {target.name!r} twice.")
            targets[target.name] = target
    return targets
