"""Cases: one module per public kernel, training objective or estimator, found by convention.

A module in `ebm_ppl/validation/cases/samplers` exports `CASES`, a tuple of `KernelCase`; one in `objectives`
beside it a tuple of `ObjectiveCase`; one in `estimators` a tuple of `EstimatorCase`. Nothing else has to be
told of it: the report, the command line and the contract tests find it here.
"""

import functools
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from ebm_ppl.validation.cases import estimators, objectives, samplers
from ebm_ppl.validation.cases._base import KernelCase as KernelCase
from ebm_ppl.validation.cases._estimator import EstimatorCase as EstimatorCase
from ebm_ppl.validation.cases._estimator import Work as Work
from ebm_ppl.validation.cases._objective import ObjectiveCase as ObjectiveCase


@functools.cache
def discover() -> dict[str, KernelCase]:
    """All kernel cases by name, in alphabetical order."""
    return _cases_in(samplers)


@functools.cache
def discover_objectives() -> dict[str, ObjectiveCase]:
    """All cases of training objectives by name, in alphabetical order."""
    return _cases_in(objectives)


@functools.cache
def discover_estimators() -> dict[str, EstimatorCase]:
    """All cases of estimators by name, in alphabetical order."""
    return _cases_in(estimators)


def _cases_in(package: ModuleType) -> dict[str, Any]:
    cases = [
        case
        for module in pkgutil.iter_modules(package.__path__)
        for case in importlib.import_module(f"{package.__name__}.{module.name}").CASES
    ]
    return {case.name: case for case in sorted(cases, key=lambda case: case.name)}
