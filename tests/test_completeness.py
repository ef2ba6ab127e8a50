"""Everything public is documented, typed and told of."""

import importlib
import inspect
import pathlib
import pkgutil
import re
import types
from collections.abc import Iterator

import pytest

import ebm_ppl

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = (ebm_ppl,)


def modules() -> Iterator[str]:
    """Names of all modules of both packages."""
    for package in PACKAGES:
        yield package.__name__
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield info.name


def public_members(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """Public functions and classes of a public module, re-exported ones too, and their methods."""
    if any(part.startswith("_") for part in module.__name__.split(".")):
        return
    ours = tuple(package.__name__ for package in PACKAGES)
    for name, member in vars(module).items():
        if name.startswith("_") or not str(getattr(member, "__module__", "")).startswith(ours):
            continue
        if not (inspect.isclass(member) or inspect.isfunction(member)):
            continue
        yield f"{module.__name__}.{name}", member
        if inspect.isclass(member):
            for attribute, method in vars(member).items():
                method = getattr(method, "fget", getattr(method, "__func__", method))
                if not attribute.startswith("_") and inspect.isfunction(method):
                    yield f"{module.__name__}.{name}.{attribute}", method


@pytest.mark.parametrize("name", list(modules()))
def test_everything_public_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), name
    bare = [full for full, member in public_members(module) if not inspect.getdoc(member)]
    assert bare == []


@pytest.mark.parametrize("name", list(modules()))
def test_everything_public_is_annotated(name: str) -> None:
    module = importlib.import_module(name)
    bare = [
        f"{full}({parameter.name})"
        for full, member in public_members(module)
        if inspect.isfunction(member)
        for parameter in inspect.signature(member).parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert bare == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_packages_ship_their_types(package: types.ModuleType) -> None:
    assert any((pathlib.Path(folder) / "py.typed").exists() for folder in package.__path__)


@pytest.mark.parametrize(
    "name",
    [
        "ebm_ppl",
        "ebm_ppl.energies",
        "ebm_ppl.quadrature",
        "ebm_ppl.samplers",
        "ebm_ppl.streaming",
        "ebm_ppl.validation",
    ],
)
def test_every_exported_name_is_in_the_reference(name: str) -> None:
    path = pathlib.Path(importlib.import_module(name).__file__ or "")
    stub = path.with_suffix(".pyi")  # of a package that loads its names on first use
    source = (stub if stub.exists() else path).read_text("utf-8")
    exported = re.findall(r"^\s*from \S+ import \w+ as (\w+)$", source, flags=re.MULTILINE)
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md"))
    documented = set(re.findall(r"^::: \S*?(\w+)$", pages, flags=re.MULTILINE))
    packages = {package.__name__.rpartition(".")[2] for package in _packages(name)}
    assert exported
    assert set(exported) - packages - documented == set()


def _packages(name: str) -> Iterator[types.ModuleType]:
    return (
        member
        for member in vars(importlib.import_module(name)).values()
        if isinstance(member, types.ModuleType)
    )
