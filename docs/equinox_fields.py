"""Tells the reference which arguments the constructor takes that Equinox makes of a module's fields."""

from collections.abc import Iterator
from typing import Any

import griffe

_MODULE = ("equinox.Module", "equinox._module.Module")
_FIELD = ("equinox.field", "dataclasses.field")


class EquinoxFields(griffe.Extension):
    """Gives every Equinox module its constructor, which is not in its source."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Add the constructors that are made of fields; those that are written stay."""
        made = [one for one in _classes(pkg) if _is_module(one) and not _is_written(one)]
        for one in made:
            one.set_member("__init__", _constructor(one))


def _classes(module: griffe.Module) -> Iterator[griffe.Class]:
    for member in module.members.values():
        if isinstance(member, griffe.Class):
            yield member
        elif isinstance(member, griffe.Module):
            yield from _classes(member)


def _lineage(one: griffe.Class) -> list[griffe.Class]:
    """The class and those of this package that it descends from, the nearest first."""
    return [one, *one.mro()]


def _is_module(one: griffe.Class) -> bool:
    bases = [base for ancestor in _lineage(one) for base in ancestor.bases]
    return any(isinstance(base, griffe.Expr) and base.canonical_path in _MODULE for base in bases)


def _is_written(one: griffe.Class) -> bool:
    return any("__init__" in ancestor.members for ancestor in _lineage(one))


def _constructor(one: griffe.Class) -> griffe.Function:
    fields: dict[str, griffe.Parameter] = {}
    for ancestor in reversed(_lineage(one)):
        fields |= {field.name: field for field in _fields(ancestor)}
    given = (griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword),)
    return griffe.Function(
        "__init__", parent=one, parameters=griffe.Parameters(*given, *fields.values())
    )


def _fields(one: griffe.Class) -> Iterator[griffe.Parameter]:
    for member in one.members.values():
        if not isinstance(member, griffe.Attribute) or member.annotation is None:
            continue
        if "instance-attribute" not in member.labels or "property" in member.labels:
            continue  # a class variable, or a property
        said = _arguments(member.value)
        if said.get("init") == "False":
            continue
        kind = griffe.ParameterKind.positional_or_keyword
        if said.get("kw_only") == "True":
            kind = griffe.ParameterKind.keyword_only
        default = said.get("default") if _is_field(member.value) else member.value
        yield griffe.Parameter(
            member.name, annotation=member.annotation, kind=kind, default=default
        )


def _is_field(value: Any) -> bool:
    return isinstance(value, griffe.ExprCall) and value.canonical_path in _FIELD


def _arguments(value: Any) -> dict[str, Any]:
    if not _is_field(value):
        return {}
    keywords = [a for a in value.arguments if isinstance(a, griffe.ExprKeyword)]
    said = {a.name: a.value for a in keywords}
    return {name: str(value) if name != "default" else value for name, value in said.items()}
