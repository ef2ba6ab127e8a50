"""Which modules a file of a checkout names, read from its text without running it.

A name counts as what defines it, through all packages that pass it on: `MALA`, taken from `ebm_ppl`, is the
module `ebm_ppl.samplers.mala`, and not the kernels beside it.
"""

import ast
import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Iterable, Iterator

PACKAGES = ("ebm_ppl", "validation", "benchmarks")
FOLDERS = ("tests", "examples", "docs")


@dataclasses.dataclass(frozen=True)
class Named:
    """What a text names.

    Attributes:
        modules: Modules, by dotted name.
        whole: Packages that are handed on as they are, so that anything of them may be used.
        strings: Its strings.
    """

    modules: frozenset[str]
    whole: frozenset[str]
    strings: frozenset[str]


class Imports:
    """The modules of a checkout, and who names whom.

    Args:
        root: Root of the checkout.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        self._paths = {
            module_of(path): path
            for folder in (*PACKAGES, *FOLDERS)
            for path in _relative(root, (root / folder).rglob("*.py"))
        }
        self._passed_on: dict[str, str] = {}
        for package, path in self._paths.items():
            if not path.endswith("/__init__.py"):
                continue
            for facade in (root / path, (root / path).with_suffix(".pyi")):
                if facade.exists():
                    self._passed_on |= dict(_from_imports(_parsed(facade), package, package))

    @property
    def modules(self) -> dict[str, str]:
        """Path of every module from the root, by dotted name."""
        return self._paths

    def is_package(self, module: str) -> bool:
        """Whether a module is a package."""
        return self._paths.get(module, "").endswith("/__init__.py")

    def defining(self, name: str) -> str | None:
        """The module that a dotted name is or lies in; `None` if it is not of the checkout."""
        seen: set[str] = set()
        while name:
            passed_on = self._passed_on.get(name)
            if passed_on is not None and name not in seen:
                seen.add(name)
                name = passed_on
            elif name in self._paths:
                return name
            else:
                name = name.rpartition(".")[0]
        return None

    def below(self, package: str) -> list[str]:
        """The modules of a package and of those within it."""
        return [module for module in self._paths if module.startswith(f"{package}.")]

    @functools.cache  # noqa: B019 (one of these lives as long as a run)
    def named_in(self, path: str) -> Named:
        """What a file names, by its path from the root."""
        package = module_of(path)
        if not path.endswith("/__init__.py"):
            package = package.rpartition(".")[0]
        return self.named_by(_parsed(self._root / path), package)

    def named_by(self, tree: ast.AST, package: str = "") -> Named:
        """What Python within a package names."""
        nodes = list(ast.walk(tree))
        names = dict(_from_imports(tree, package))
        found = set(names.values())
        for node in nodes:
            if isinstance(node, ast.Import):
                for one in node.names:
                    found.add(one.name)
                    outermost = one.name.partition(".")[0]
                    names[one.asname or outermost] = one.name if one.asname else outermost
        packages = {
            local: module
            for local, name in names.items()
            if (module := self.defining(name)) is not None and self.is_package(module)
        }
        followed: set[ast.expr] = set()
        whole: set[str] = set()
        for node in nodes:  # what holds a name comes before it
            if isinstance(node, ast.Attribute):
                chain, innermost = _chain(node)
                if innermost is not None and innermost.id in packages:
                    if innermost not in followed:  # the longest chain comes first
                        found.add(f"{packages[innermost.id]}.{chain}")
                    followed.add(innermost)
            elif isinstance(node, ast.Name) and node.id in packages and node not in followed:
                whole.add(packages[node.id])
        strings = (node.value for node in nodes if isinstance(node, ast.Constant))
        return Named(
            modules=frozenset(filter(None, map(self.defining, found))),
            whole=frozenset(whole),
            strings=frozenset(value for value in strings if isinstance(value, str)),
        )


def module_of(path: str) -> str:
    """The dotted name of a Python file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _relative(root: pathlib.Path, paths: Iterable[pathlib.Path]) -> Iterator[str]:
    return (path.relative_to(root).as_posix() for path in paths)


def _parsed(path: pathlib.Path) -> ast.AST:
    return ast.parse(path.read_bytes())


def _from_imports(
    tree: ast.AST, package: str, prefix: str | None = None
) -> Iterator[tuple[str, str]]:
    """Names that `from` imports bind, below a prefix if there is one, each with what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for one in node.names:
                bound = one.asname or one.name
                yield bound if prefix is None else f"{prefix}.{bound}", f"{base}.{one.name}"


def _chain(node: ast.Attribute) -> tuple[str, ast.Name | None]:
    """The attributes of a chain, and the name at which it begins."""
    attributes: list[str] = []
    owner: ast.expr = node
    while isinstance(owner, ast.Attribute):
        attributes.append(owner.attr)
        owner = owner.value
    return ".".join(reversed(attributes)), owner if isinstance(owner, ast.Name) else None
