"""Which files rest on which: imports and public names, read from the text without running it.

`grimp` sees imports between modules; here a name counts as what defines it, so that a test which imports
`MALA` from the package rests on `mala.py` and not on every kernel beside it.
"""

import ast
import functools
import pathlib
from collections.abc import Iterable

PACKAGE = "ebm_ppl"


class Imports:
    """Files of a checkout by what they rest on.

    Args:
        root: Root of the checkout.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        self._names: dict[str, set[str]] = {}
        package = root / PACKAGE
        for facade in [*package.rglob("__init__.py"), *package.rglob("__init__.pyi")]:
            for name, file in self._from_imports(facade):
                if not file.endswith("__init__.py"):
                    self._names.setdefault(name, set()).add(file)

    @functools.cache  # noqa: B019 (one of these lives as long as a run)
    def of(self, file: str) -> frozenset[str]:
        """The files that one file rests on directly."""
        path, facades = self._root / file, {PACKAGE}
        found: set[str] = set()
        for name, target in self._from_imports(path):
            of_a_facade = target.endswith("__init__.py") and target.startswith(PACKAGE)
            found |= self._names.get(name, set()) if of_a_facade else {target}
            if of_a_facade:
                facades.add(name)
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                facades |= {one.asname or one.name for one in node.names if one.name == PACKAGE}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and _root_of(node) in facades:
                found |= self._names.get(node.attr, set())
        return frozenset(target for target in found - {file} if not target.endswith("__init__.py"))

    def distances(self, file: str) -> dict[str, int]:
        """The files that one file rests on, at most through others, and through how many imports."""
        reached, edge, distance = {file: 0}, [file], 0
        while edge:
            distance += 1
            edge = [near for one in edge for near in self.of(one) if near not in reached]
            edge = list(dict.fromkeys(edge))
            reached |= dict.fromkeys(edge, distance)
        return reached

    def nearest(self, file: str, candidates: Iterable[str]) -> list[str]:
        """Those candidates that rest on a file: the nearest first, then those that rest on least."""
        ranks = {}
        for candidate in candidates:
            distances = self.distances(candidate)
            if file in distances:
                ranks[candidate] = (distances[file], len(distances), candidate)
        return sorted(ranks, key=ranks.__getitem__)

    def _from_imports(self, path: pathlib.Path) -> list[tuple[str, str]]:
        """Names that a file imports from modules of the checkout, each with the module's file."""
        if not path.exists():
            return []
        found: list[tuple[str, str]] = []
        package = path.parent.relative_to(self._root).parts
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.ImportFrom):
                continue
            parts = node.module.split(".") if node.module else []
            if node.level:
                parts = [*package[: len(package) - node.level + 1], *parts]
            for alias in node.names:
                module = self._file([*parts, alias.name])
                owner = self._file(parts)
                if module is not None:
                    found.append((alias.name, module))
                elif owner is not None:
                    found.append((alias.name, owner))
        return found

    def _file(self, parts: list[str]) -> str | None:
        for ending in (".py", "/__init__.py"):
            file = "/".join(parts) + ending
            if parts and (self._root / file).is_file():
                return file
        return None


def _root_of(node: ast.Attribute) -> str:
    """The name at which a chain of attributes begins."""
    owner: ast.expr = node
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return owner.id if isinstance(owner, ast.Name) else ""
