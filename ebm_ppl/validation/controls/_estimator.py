"""What a control of an estimator is."""

import dataclasses

from ebm_ppl.validation.cases import EstimatorCase


@dataclasses.dataclass(frozen=True)
class EstimatorControl:
    """An estimator of log Z with one planted bug, or a variant that only looks like one.

    Attributes:
        name: Name in the report.
        wrong_because: What is wrong, in one sentence; for an equivalent variant, why nothing is.
        case: The estimator, with the claims that it (wrongly) makes.
        equivalent: Whether it is correct after all and must pass.
        quick: Whether the quick report runs it.
    """

    name: str
    wrong_because: str
    case: EstimatorCase
    equivalent: bool = False
    quick: bool = False
