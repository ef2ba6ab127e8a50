"""What an estimator's case tells the suite about it."""

import dataclasses
from collections.abc import Callable
from typing import Literal, TypeAlias

from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import LogPartitionEstimate
from ebm_ppl.validation.partition_problems import Kind

Estimator: TypeAlias = Callable[[PRNGKey], LogPartitionEstimate]
"""One run of an estimator."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a run costs, and with what it is compared.

    Attributes:
        kind: The kind of estimator.
        evaluations: At how many points a run evaluates an energy, or moves by it. Points of a warm-up count.
    """

    kind: Kind
    evaluations: int


@dataclasses.dataclass(frozen=True)
class EstimatorCase:
    """An estimator of log Z on a problem whose log Z is known, with its claims.

    Attributes:
        name: Name in the report.
        estimate: One run, as a user would call it.
        truth: The exact log Z.
        unbiased_for: What it claims to estimate without bias.
        work: What a run costs; `None` where its efficiency is not asked.
    """

    name: str
    estimate: Estimator
    truth: Callable[[], float]
    unbiased_for: Literal["Z", "1/Z", "log Z"]
    work: Work | None = None
