"""Everything public is documented, typed and told of."""

import functools
import importlib
import inspect
import pathlib
import pkgutil
import re
import types
from collections.abc import Iterator

import ebm_ppl

ROOT = pathlib.Path(__file__).parents[1]
IN_THE_REFERENCE = (
    "ebm_ppl",
    "ebm_ppl.energies",
    "ebm_ppl.quadrature",
    "ebm_ppl.samplers",
    "ebm_ppl.streaming",
    "ebm_ppl.tasks",
    "ebm_ppl.validation",
)


@functools.cache
def modules() -> tuple[types.ModuleType, ...]:
    """All modules of the package, imported."""
    found = pkgutil.walk_packages(ebm_ppl.__path__, "ebm_ppl.")
    return (ebm_ppl, *(importlib.import_module(module.name) for module in found))


def public_members() -> Iterator[tuple[str, object]]:
    """Public functions and classes of public modules, re-exported ones too, and their methods."""
    for module in modules():
        if any(part.startswith("_") for part in module.__name__.split(".")):
            continue
        for name, member in vars(module).items():
            if name.startswith("_") or not _is_ours(member):
                continue
            yield f"{module.__name__}.{name}", member
            for attribute, method in vars(member).items() if inspect.isclass(member) else ():
                method = getattr(method, "fget", getattr(method, "__func__", method))
                if not attribute.startswith("_") and inspect.isfunction(method):
                    yield f"{module.__name__}.{name}.{attribute}", method


def _is_ours(member: object) -> bool:
    """Whether it is a class or a function of this package."""
    home = str(getattr(member, "__module__", ""))
    return home.startswith("ebm_ppl") and (inspect.isclass(member) or inspect.isfunction(member))


def test_everything_public_has_a_docstring() -> None:
    bare = [module.__name__ for module in modules() if not (module.__doc__ or "").strip()]
    bare += [name for name, member in public_members() if not inspect.getdoc(member)]
    assert bare == []


def test_everything_public_is_annotated() -> None:
    bare = [
        f"{name}({parameter.name})"
        for name, member in public_members()
        if inspect.isfunction(member)
        for parameter in inspect.signature(member).parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert bare == []


def test_the_package_ships_its_types() -> None:
    assert any((pathlib.Path(folder) / "py.typed").exists() for folder in ebm_ppl.__path__)


def test_every_exported_name_is_in_the_reference() -> None:
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md"))
    documented = set(re.findall(r"^::: \S*?(\w+)$", pages, flags=re.MULTILINE))
    missing = [
        f"{name}.{export}"
        for name in IN_THE_REFERENCE
        for export in exported(name)
        if export not in documented
    ]
    assert missing == []


def exported(name: str) -> list[str]:
    """Names, but those of packages, that a package imports under their own name."""
    package = importlib.import_module(name)
    path = pathlib.Path(package.__file__ or "")
    stub = path.with_suffix(".pyi")  # of a package that loads its names on first use
    source = (stub if stub.exists() else path).read_text("utf-8")
    exports = re.findall(r"^\s*from \S+ import \w+ as (\w+)$", source, flags=re.MULTILINE)
    assert exports, name
    return [name for name in exports if not isinstance(getattr(package, name), types.ModuleType)]
