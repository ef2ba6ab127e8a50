"""Numbers that may change from step to step."""

from typing import Any, TypeAlias

from ebm_ppl._checks import check_positive

Schedule: TypeAlias = Any
"""A number, or a function from the step to one, such as Optax's schedules."""


def value_at(schedule: Schedule, step: Any) -> Any:
    """Value of a schedule at a step; a number is its own value at every step."""
    return schedule(step) if callable(schedule) else schedule


def check_positive_schedule(name: str, schedule: Schedule) -> None:
    """Refuse a number, or a schedule's first value, that is not finite and above 0."""
    check_positive(name, value_at(schedule, 0))
