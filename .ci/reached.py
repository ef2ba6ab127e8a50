"""Print the slow tests that the changes since a commit can reach by the import graph, one a line.

Usage: `python .ci/reached.py <commit>`, from anywhere; what is not committed counts as changed, too.

Files of tests, examples and pages with Python blocks join grimp's graph of the packages as modules, with the
imports that grimp does not see: names that a package loads on first use, modules that a package lists at
run time, names within strings, examples in docstrings, and the packages around a module, which are
imported before it. Where a file does not tell what it uses, it reaches everything.
"""

import ast
import functools
import importlib.util
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

import grimp

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("ebm_ppl", "validation", "benchmarks")
FOLDERS = ("tests", "examples", "docs")
# Whatever these settle, they settle it for every test.
EVERYTHING = re.compile(r"pyproject\.toml|conftest\.py|\.ci/.*|(?:tests|examples)/.*(?<!\.py)")
# Their slow tests are one a file outside; they themselves count where they are changed.
ONE_A_FILE = ("tests.test_examples", "tests.test_readme")
LISTS_ITS_MODULES = "pkgutil.iter_modules("


def module_of(path: str) -> str:
    """Name in the graph: the dotted one of a Python file, the path of anything else."""
    if not path.endswith(".py"):
        return path
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def docstrings_of(path: str) -> str:
    """Name in the graph of the examples in a file's docstrings: they import more than the file does."""
    return f"docstrings of {path}"


@functools.cache
def sources() -> dict[str, str]:
    """Python of every file, by path, and of every page's blocks."""
    files = [path for folder in (*PACKAGES, *FOLDERS) for path in (ROOT / folder).rglob("*.py")]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return {path.relative_to(ROOT).as_posix(): _python_of(path) for path in (*files, *pages)}


def _python_of(path: pathlib.Path) -> str:
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return text if path.suffix == ".py" else "\n".join(blocks)


@functools.cache
def graph() -> grimp.ImportGraph:
    """Who imports whom."""
    built = grimp.build_graph(*PACKAGES, cache_dir=None)
    for path in sources():
        built.add_module(module_of(path))
    modules = built.modules
    for path, source in sources().items():
        _add(built, module_of(path), _imports(path, source, modules))
        examples = "\n".join(re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", source, flags=re.MULTILINE))
        if examples:
            _add(built, docstrings_of(path), {module_of(path), *_imports("", examples, modules)})
    return built


def _add(built: grimp.ImportGraph, importer: str, imports: Iterable[str]) -> None:
    built.add_module(importer)
    for imported in {*imports, *_around(importer, built.modules)} - {importer}:
        built.add_import(importer=importer, imported=imported)


def _around(module: str, modules: set[str]) -> Iterator[str]:
    """The packages around a module; `tests` and `examples` are none."""
    while module := module.rpartition(".")[0]:
        if module in modules:
            yield module


def _imports(path: str, source: str, modules: set[str]) -> Iterator[str]:
    module = module_of(path)
    package = module if path.endswith("/__init__.py") else module.rpartition(".")[0]
    aliases = {}  # of packages that load their names on first use
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules_named(alias.name, modules)
                if alias.name in PACKAGES:
                    aliases[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield from _modules_named(f"{base}.{alias.name}", modules)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _named_in(node.value, modules)
            if path.startswith("tests/") and re.search(r"import ebm_ppl\b|^ebm_ppl$", node.value):
                yield from _below("ebm_ppl", modules)  # a program for another process
    for name in _uses(tree, aliases):
        yield from _modules_named(name, modules)
        if name in PACKAGES:  # who has the package itself may take anything from it
            yield from _below(name, modules)
    if LISTS_ITS_MODULES in source and "__path__" in source:
        yield from _below(package, modules)


def _uses(tree: ast.AST, aliases: dict[str, str]) -> Iterator[str]:
    """What follows an alias of a package: `ebm_ppl.MALA` for `ebm.MALA`, `ebm_ppl` where nothing does."""
    followed = set()
    for node in ast.walk(tree):  # what holds a name comes before it
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in aliases:
                followed.add(node.value)
                yield f"{aliases[node.value.id]}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in aliases and node not in followed:
            yield aliases[node.id]


def _modules_named(name: str, modules: set[str]) -> Iterator[str]:
    """The module of this name, or the one that has it as an attribute; none where it is not of ours."""
    while name and name not in modules:
        name = _lazy_names().get(name) or name.rpartition(".")[0]
    if name:
        yield name


def _named_in(text: str, modules: set[str]) -> Iterator[str]:
    """The module that a string names, or that holds what it names; prose names none."""
    if re.fullmatch(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+", text):
        yield from _modules_named(text, modules)


@functools.cache
def _lazy_names() -> dict[str, str]:
    """Where the stubs have their names from, by full names: `ebm_ppl.MALA` is in `ebm_ppl.samplers`."""
    names = {}
    for stub in (ROOT / "ebm_ppl").rglob("__init__.pyi"):
        package = ".".join(stub.relative_to(ROOT).parent.parts)
        for line in re.finditer(r"^from \.(\S*) import (\w+)", stub.read_text("utf-8"), flags=re.M):
            names[f"{package}.{line[2]}"] = f"{package}.{line[1] or line[2]}"
    return names


def _below(package: str, modules: set[str]) -> list[str]:
    return [module for module in modules if module.startswith(f"{package}.")]


def reached(changed: Iterable[str]) -> list[str]:
    """Paths and node ids of the slow tests that changed files can reach, all of them in order."""
    changed = list(changed)
    if any(EVERYTHING.fullmatch(path) for path in changed):
        return [test for _, test in slow_tests()]
    starts = {module for path in changed for module in _belongs_to(path, graph().modules)}
    modules = starts.union(*(graph().find_downstream_modules(module) for module in starts))
    modules -= set(ONE_A_FILE) - starts
    return [test for module, test in slow_tests() if module in modules]


def _belongs_to(path: str, modules: set[str]) -> Iterator[str]:
    """The module of a file; the package around a stub, a template or data."""
    if module_of(path) in modules:
        yield module_of(path)
    elif path.startswith(tuple(f"{package}/" for package in PACKAGES)):
        yield next(_around(path.replace("/", "."), modules))


def slow_tests() -> Iterator[tuple[str, str]]:
    """Module in the graph, and path or node id, of whatever may hold a slow test."""
    for path, source in sorted(sources().items()):
        module, name = module_of(path), path.rpartition("/")[2]
        if path.startswith("ebm_ppl/") and ">>> " in source:
            yield docstrings_of(path), path
        elif path.startswith("tests/") and name.startswith("test_") and "slow" in source:
            yield module, path
        elif path.startswith("examples/") and not name.startswith("_"):
            test = f"tests/test_examples.py::test_example[{name.removesuffix('.py')}]"
            yield module, test
        elif path.endswith(".md") and source:
            test = "test_python_blocks_run_one_after_the_other_and_print_what_the_page_says"
            yield module, f"tests/test_readme.py::{test}[{path}]"


def changes_since(commit: str) -> list[str]:
    """Changed files, those included that git does not know yet."""
    differ = ["git", "diff", "--name-only", "--no-renames", commit]
    unknown = ["git", "ls-files", "--others", "--exclude-standard"]
    return [
        path
        for command in (differ, unknown)
        for path in subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.splitlines()
    ]


if __name__ == "__main__":
    for test in reached(changes_since(sys.argv[1])):
        print(test)  # noqa: T201
