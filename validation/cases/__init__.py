"""Cases: one module per public kernel, found by convention.

A module in `validation/cases/samplers` exports `CASES`, a tuple of `KernelCase`. Nothing else has to be
told of it: the report, the command line and the contract tests find it here.
"""

import functools
import importlib
import pkgutil

from validation.cases import samplers
from validation.cases._base import KernelCase as KernelCase


@functools.cache
def discover() -> dict[str, KernelCase]:
    """All kernel cases by name, in alphabetical order."""
    cases = [
        case
        for module in pkgutil.iter_modules(samplers.__path__)
        for case in importlib.import_module(f"{samplers.__name__}.{module.name}").CASES
    ]
    return {case.name: case for case in sorted(cases, key=lambda case: case.name)}
