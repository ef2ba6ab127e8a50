"""What the suite knows by name, read from its sources: importing them would take JAX, and seconds.

The command line lists these names and refuses others before anything else is loaded. A test holds them
against what the modules themselves say.
"""

import ast
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator

_HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Names:
    """How things of a kind are asked for, and which there are.

    Attributes:
        plural: Argument of `ebm_ppl.validation.run`.
        option: Option of the command line.
        title: Heading of the list of names.
        help: What the option asks for.
        read: Reads the names from the sources.
    """

    plural: str
    option: str
    title: str
    help: str
    read: Callable[[], tuple[str, ...]]

    @functools.cached_property
    def known(self) -> tuple[str, ...]:
        """The names, in the order of a report."""
        return self.read()


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


def _names_of_energies() -> tuple[str, ...]:
    """Names of energies on real points, then of those on states."""
    folders = (_HERE / "targets", _HERE / "targets" / "discrete")
    return tuple(name for folder in folders for tree in _modules(folder) for name in _keys(tree))


ENERGIES = Names(
    "energies",
    "--target",
    "Built-in energies",
    "A built-in energy. Repeatable.",
    _names_of_energies,
)
KERNELS = Names(
    "kernels",
    "--kernel",
    "Kernels",
    "A kernel; all by default. Repeatable.",
    lambda: _names_of_cases("samplers", "KernelCase"),
)
OBJECTIVES = Names(
    "objectives",
    "--objective",
    "Objectives",
    "A training objective; some by default. Repeatable.",
    lambda: _names_of_cases("objectives", "ObjectiveCase"),
)
ESTIMATORS = Names(
    "estimators",
    "--estimator",
    "Estimators",
    "An estimator of log Z; some by default. Repeatable.",
    lambda: _names_of_cases("estimators", "EstimatorCase"),
)
ALL = (ENERGIES, KERNELS, OBJECTIVES, ESTIMATORS)
"""In the order in which the command line offers them."""
