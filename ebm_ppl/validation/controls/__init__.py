"""Planted bugs that the suite must catch, and harmless variants that it must pass.

A check that has never rejected anything proves nothing. Every control here is a correct algorithm of
the library or of NumPyro, broken in one way, most of them ways in which such code was broken in real
life. A report that runs the controls shows which check caught each of them.
"""

import functools
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from ebm_ppl.validation.controls import estimators, objectives
from ebm_ppl.validation.controls._base import Control as Control
from ebm_ppl.validation.controls._estimator import EstimatorControl as EstimatorControl
from ebm_ppl.validation.controls._objective import ObjectiveControl as ObjectiveControl


@functools.cache
def discover() -> dict[str, Control]:
    """All controls by name, in alphabetical order: every module here exports `CONTROLS`."""
    controls = [
        control
        for module in pkgutil.iter_modules(__path__)
        if not (module.ispkg or module.name.startswith("_"))
        for control in importlib.import_module(f"{__name__}.{module.name}").CONTROLS
    ]
    return {control.name: control for control in sorted(controls, key=lambda control: control.name)}


@functools.cache
def discover_objectives() -> dict[str, ObjectiveControl]:
    """All controls of training by name, in alphabetical order."""
    return _controls_in(objectives)


@functools.cache
def discover_estimators() -> dict[str, EstimatorControl]:
    """All controls of estimators by name, in alphabetical order."""
    return _controls_in(estimators)


def _controls_in(package: ModuleType) -> dict[str, Any]:
    controls = [
        control
        for module in pkgutil.iter_modules(package.__path__)
        for control in importlib.import_module(f"{package.__name__}.{module.name}").CONTROLS
    ]
    return {control.name: control for control in sorted(controls, key=lambda control: control.name)}
