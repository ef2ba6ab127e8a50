"""A user's own energy, from what the command line says of it."""

import importlib
import importlib.util
import inspect
import operator
import os
import pathlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ebm_ppl.energies import AbstractConditionalEnergy, AbstractEnergy, from_callable
from ebm_ppl.energies._conditions import named
from ebm_ppl.validation.faults import fault_of


class LoadError(ValueError):
    """A source that names no energy; the message is for the person at the command line."""


def find_energy(source: str, event_shape: tuple[int, ...] | None) -> tuple[AbstractEnergy, bool]:
    """Find an energy.

    Args:
        source: `module:attribute` or `path/to/file.py:attribute`. The attribute is an
            `AbstractEnergy`, a callable without required arguments that returns one, or a function
            of one point.
        event_shape: Shape of a point, for a function of one.

    Returns:
        The energy, and whether `event_shape` was needed.

    Raises:
        LoadError: If there is no such energy.
    """
    place, colon, attribute = source.rpartition(":")
    if not (place and colon and attribute):
        raise LoadError("must be module:attribute or path/to/file.py:attribute.")
    module = _from_file(pathlib.Path(place)) if place.endswith(".py") else _from_name(place)
    try:
        found = operator.attrgetter(attribute)(module)
    except AttributeError:
        raise LoadError(f"{place} has no attribute {attribute!r}.") from None
    if isinstance(found, AbstractEnergy):
        return found, False
    if isinstance(found, AbstractConditionalEnergy):
        raise LoadError(
            f"is a {named(found)}, which has no law before it is fixed; name its `at(...)`."
        )
    if not callable(found):
        raise LoadError(f"must be an energy or a callable; got {type(found).__name__}.")
    if _num_required(found) == 0:
        return _made_by(found), False
    if event_shape is None:
        raise LoadError("is a function of a point; give the point's shape with --event-shape.")
    return from_callable(found, event_shape), True


def _from_name(name: str) -> ModuleType:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # a console script, unlike `python -m`, does not look here
    return _executed(f"importing {name}", lambda: importlib.import_module(name))


def _from_file(path: pathlib.Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(f"there is no file {str(path)!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{str(path)!r} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # so that the file can import its neighbours, as a script can
    loader = spec.loader
    _executed(f"importing {path}", lambda: loader.exec_module(module))
    return module


def _executed(action: str, execute: Callable[[], Any]) -> Any:
    try:
        return execute()
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        place = fault_of(error).place
        where = f" at {place}" if place else ""
        raise LoadError(f"{action} raised {type(error).__name__}{where}: {error}") from error


def _made_by(factory: Any) -> AbstractEnergy:
    made = _executed("calling it", factory)
    if not isinstance(made, AbstractEnergy):
        raise LoadError(f"must make an AbstractEnergy; made {type(made).__name__}.")
    return made


def _num_required(function: Any) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1  # built-in functions without a signature take a point
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters)
