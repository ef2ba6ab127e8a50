"""Ground-truth targets, found by convention: a module here exports its own as `TARGETS`."""

import importlib
import pkgutil

from validation.targets._base import Target as Target


def discover() -> dict[str, Target]:
    """Collect the `TARGETS` of every module of this package whose name has no leading underscore.

    Returns:
        The targets by name, in the order of the modules' names.

    Raises:
        ValueError: If two targets share a name.

    Example:
        >>> from validation.targets import discover
        >>> round(discover()["gamma"].log_z, 6)  # log(Gamma(3) / 2^3)
        -1.386294
    """
    targets: dict[str, Target] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        if module.startswith("_"):
            continue
        for target in importlib.import_module(f"{__name__}.{module}").TARGETS:
            if target.name in targets:
                raise ValueError(f"Target names must be unique; got {target.name!r} twice.")
            targets[target.name] = target
    return targets
