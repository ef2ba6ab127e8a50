"""Validation of energies and kernels against ground truth, with stated error rates.

`run` asks the questions and returns a `Report`; the command line `ebm-ppl validate` does the same.
The names below load on first use: importing this package must not wait for JAX, or `--help` would.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from validation.cases import KernelCase as KernelCase
    from validation.report import load_json as load_json
    from validation.results import CheckResult as CheckResult
    from validation.results import Question as Question
    from validation.results import Report as Report
    from validation.results import Row as Row
    from validation.results import Trace as Trace
    from validation.results import Verdict as Verdict
    from validation.runner import energy_names as energy_names
    from validation.runner import estimator_names as estimator_names
    from validation.runner import kernel_names as kernel_names
    from validation.runner import objective_names as objective_names
    from validation.runner import run as run

_HOMES = {
    "validation.cases": ("KernelCase",),
    "validation.report": ("load_json",),
    "validation.results": ("CheckResult", "Question", "Report", "Row", "Trace", "Verdict"),
    "validation.runner": (
        "energy_names",
        "estimator_names",
        "kernel_names",
        "objective_names",
        "run",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
