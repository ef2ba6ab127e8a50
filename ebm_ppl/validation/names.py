"""What the suite knows by name, read from its sources: importing them would take JAX, and seconds.

The command line lists these names and refuses others before anything else is loaded. A test holds them
against what the modules themselves say.
"""

import ast
import functools
import pathlib
from collections.abc import Iterator

_HERE = pathlib.Path(__file__).parent


@functools.cache
def kernels() -> tuple[str, ...]:
    """Names of the kernels, in alphabetical order."""
    return _names_of_cases("samplers", "KernelCase")


@functools.cache
def objectives() -> tuple[str, ...]:
    """Names of the training objectives, in alphabetical order."""
    return _names_of_cases("objectives", "ObjectiveCase")


@functools.cache
def estimators() -> tuple[str, ...]:
    """Names of the estimators of log Z, in alphabetical order."""
    return _names_of_cases("estimators", "EstimatorCase")


@functools.cache
def energies() -> tuple[str, ...]:
    """Names of the built-in energies: those on real points, then those on states."""
    folders = (_HERE / "targets", _HERE / "targets" / "discrete")
    return tuple(name for folder in folders for tree in _modules(folder) for name in _keys(tree))


def _names_of_cases(folder: str, kind: str) -> tuple[str, ...]:
    names = [
        name
        for tree in _modules(_HERE / "cases" / folder)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == kind
        for name in _name_argument(node)
    ]
    return tuple(sorted(names))


def _name_argument(call: ast.Call) -> Iterator[str]:
    given = [word.value for word in call.keywords if word.arg == "name"] or call.args[:1]
    yield from (value.value for value in given if isinstance(value, ast.Constant))  # pyright: ignore[reportReturnType]


def _keys(tree: ast.Module) -> Iterator[str]:
    """Keys of the mapping that is called `TARGETS`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TARGETS":
            assert isinstance(node.value, ast.Dict)
            yield from (ast.literal_eval(key) for key in node.value.keys if key is not None)


def _modules(folder: pathlib.Path) -> Iterator[ast.Module]:
    for path in sorted(folder.glob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))
