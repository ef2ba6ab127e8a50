"""Whether a value is what an annotation says: the check behind data that come from files."""

import collections.abc
import types
import typing
from typing import Any


def is_of(value: Any, annotation: Any) -> bool:
    """Whether a value is what an annotation says, exactly: a truth value is no integer, that no float.

    Args:
        value: The value.
        annotation: A class, one of jaxtyping's arrays, or a union, a tuple of one kind or a mapping of these.

    Returns:
        Whether it is.
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(is_of(value, part) for part in parts)
    if origin is tuple:
        return isinstance(value, tuple) and all(is_of(part, parts[0]) for part in value)
    if origin is collections.abc.Mapping:
        return isinstance(value, dict) and all(
            is_of(key, parts[0]) and is_of(part, parts[1]) for key, part in value.items()
        )
    if annotation in (bool, int, float, str):
        return type(value) is annotation
    return isinstance(value, annotation)
