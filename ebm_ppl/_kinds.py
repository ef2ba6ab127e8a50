"""Whether a value is what an annotation says: the check behind data that come from files."""

import collections.abc
import types
import typing
from typing import Any


def is_of(value: Any, annotation: Any, sizes: dict[str, int] | None = None) -> bool:
    """Whether a value is what an annotation says, exactly: a truth value is no integer, that no float.

    Args:
        value: The value.
        annotation: A class, one of jaxtyping's arrays, or a union, a tuple of one kind or a mapping of these.
        sizes: Size of each axis by its name, as values before this one had it; grows. `None` asks nothing
            of the sizes.

    Returns:
        Whether it is.
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(is_of(value, part, sizes) for part in parts)
    if origin is tuple:
        return isinstance(value, tuple) and all(is_of(part, parts[0], sizes) for part in value)
    if origin is collections.abc.Mapping:
        return isinstance(value, dict) and all(
            is_of(key, parts[0]) and is_of(part, parts[1]) for key, part in value.items()
        )
    if annotation in (bool, int, float, str):
        return type(value) is annotation
    if not isinstance(value, annotation):
        return False
    axes = getattr(annotation, "dim_str", None)
    return axes is None or sizes is None or _has_sizes(value.shape, axes.split(), sizes)


def _has_sizes(shape: tuple[int, ...], names: list[str], sizes: dict[str, int]) -> bool:
    """Whether axes have the sizes that their names had before.

    jaxtyping would tell within one call of a function; here a size is that of all fields of a module.
    """
    flexible = [k for k, name in enumerate(names) if name == "..." or name.startswith("*")]
    for place in flexible:  # at most one
        number = len(shape) - len(names) + 1
        name = names[place].lstrip("*.")
        names = names[:place] + [name if number == 1 else ""] * number + names[place + 1 :]
    return all(
        not name or sizes.setdefault(name, size) == size
        for name, size in zip(names, shape, strict=True)
    )
