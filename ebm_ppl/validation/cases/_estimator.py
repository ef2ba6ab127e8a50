"""What an estimator's case tells the suite about it."""

import dataclasses
from collections.abc import Callable
from typing import Literal, TypeAlias

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate

Estimate: TypeAlias = Callable[[PRNGKey], LogPartitionEstimate]
"""One run of an estimator."""


@dataclasses.dataclass(frozen=True)
class EstimatorCase:
    """An estimator of log Z on a problem whose log Z is known, with its claims.

    Attributes:
        name: Name in the report.
        estimate: One run, as a user would call it.
        truth: The exact log Z.
        unbiased_for: What it claims to estimate without bias.
    """

    name: str
    estimate: Estimate
    truth: Callable[[], float]
    unbiased_for: Literal["Z", "1/Z", "log Z"]
