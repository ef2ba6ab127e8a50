"""What a run may collect beside its draws, and an answer for what it may not."""

from collections.abc import Iterable
from typing import Any, NoReturn


def known_fields(state: Any) -> list[str]:
    """Names of the fields and properties of a state, or of the entries of a dictionary."""
    if isinstance(state, dict):
        return sorted(state)
    kind = type(state)
    properties = {
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, property)
    }
    return sorted(properties.union(getattr(kind, "_fields", ())))


def refuse_field(state: Any, name: str) -> NoReturn:
    """Refuse a field that a state does not have.

    NumPyro asks a state for `state.name`, and then for `state["name"]`, which calls this.

    Raises:
        ValueError: With the names of the fields that there are.
    """
    known = ", ".join(known_fields(state)) or "none"
    raise ValueError(
        f"`extra_fields` must name fields of {type(state).__name__}, which are {known}; got {name!r}."
    )


def check_fields(state: Any, names: Iterable[str]) -> None:
    """Refuse fields that a state, one of NumPyro's kernels too, does not have.

    Args:
        state: State of a kernel.
        names: Names of fields, with dots between a field and a part of it.

    Raises:
        ValueError: If there is no such field.
    """
    for name in names:
        at = state
        for part in name.split("."):
            at = _part(at, part)


def _part(at: Any, name: str) -> Any:
    """A field, the entry of a dictionary, or one of a tuple by its number."""
    if isinstance(at, (tuple, list)) and name.isdecimal() and int(name) < len(at):
        return at[int(name)]
    if isinstance(at, dict) and name in at:
        return at[name]
    try:
        return getattr(at, name)
    except AttributeError:
        refuse_field(at, name)
