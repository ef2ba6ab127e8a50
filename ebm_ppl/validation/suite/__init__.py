"""What the suite asks: kinds of things with their cases, planted bugs and checks, and one plan of them all.

Kernels, training objectives and estimators of log Z are kinds, each a record that says what it knows and
asks. Nothing above tells them apart: the report, the command line and the counts of caught bugs go through
`KINDS`. Checks of energies and kernels on finitely many states are in a file of their own.
"""

from typing import Any

from ebm_ppl.validation.suite.estimators import ESTIMATORS as ESTIMATORS
from ebm_ppl.validation.suite.kernels import KERNELS as KERNELS
from ebm_ppl.validation.suite.kind import Kind as Kind
from ebm_ppl.validation.suite.kind import Scope as Scope
from ebm_ppl.validation.suite.objectives import OBJECTIVES as OBJECTIVES

KINDS: tuple[Kind[Any, Any], ...] = (KERNELS, OBJECTIVES, ESTIMATORS)
"""All kinds, in the order of a report."""
