"""Print the slow tests that the changes since a commit can reach by the import graph, one a line.

Usage: `PYTHONPATH=. python .ci/reached.py <commit>`; what is not committed counts as changed, too.

Files of tests, examples and pages with Python blocks join grimp's graph of the packages as modules, with the
imports that grimp does not see: names that a package passes on, modules that a package lists at run time,
names within strings, examples in docstrings, and the packages around a module, which are imported before it.
Where a file does not tell what it uses, it reaches everything.
"""

import ast
import functools
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

import grimp

from validation.imports import PACKAGES, Imports, Named, module_of

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Whatever these settle, they settle it for every test.
EVERYTHING = re.compile(r"pyproject\.toml|conftest\.py|\.ci/.*|(?:tests|examples)/.*(?<!\.py)")
# Their slow tests are one a file outside; they themselves count where they are changed.
ONE_A_FILE = ("tests.test_examples", "tests.test_readme")
LISTS_ITS_MODULES = "pkgutil.iter_modules("


def name_of(path: str) -> str:
    """Name in the graph: the dotted one of a Python file, the path of anything else."""
    return module_of(path) if path.endswith(".py") else path


def docstrings_of(path: str) -> str:
    """Name in the graph of the examples in a file's docstrings: they import more than the file does."""
    return f"docstrings of {path}"


@functools.cache
def imports() -> Imports:
    """Who names whom."""
    return Imports(ROOT)


@functools.cache
def blocks() -> dict[str, str]:
    """Python of every page, by path."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    fence = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    return {
        page.relative_to(ROOT).as_posix(): "\n".join(fence.findall(page.read_text("utf-8")))
        for page in pages
    }


def text_of(path: str) -> str:
    """A file's text."""
    return (ROOT / path).read_text("utf-8")


@functools.cache
def graph() -> grimp.ImportGraph:
    """Who imports whom."""
    built = grimp.build_graph(*PACKAGES, cache_dir=None)
    for module, path in imports().modules.items():
        _add(built, module, _reached_from(path, imports().named_in(path)))
        examples = "\n".join(re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", text_of(path), flags=re.M))
        if examples:
            named = imports().named_by(ast.parse(examples))
            _add(built, docstrings_of(path), {module, *_reached_from(path, named)})
    for path, text in blocks().items():
        _add(built, path, _reached_from(path, imports().named_by(ast.parse(text))))
    return built


def _add(built: grimp.ImportGraph, importer: str, imported: Iterable[str]) -> None:
    built.add_module(importer)
    for module in {*imported, *_around(importer)} - {importer}:
        built.add_module(module)
        built.add_import(importer=importer, imported=module)


def _around(module: str) -> Iterator[str]:
    """The packages around a module; `tests` and `examples` are none."""
    while module := module.rpartition(".")[0]:
        if module in imports().modules:
            yield module


def _reached_from(path: str, named: Named) -> Iterator[str]:
    yield from named.modules
    for package in named.whole:  # whoever has a package itself may take anything from it
        yield from imports().below(package)
    for text in named.strings:
        if re.fullmatch(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+", text):  # prose names nothing
            yield from filter(None, [imports().defining(text)])
        if path.startswith("tests/") and re.search(r"import ebm_ppl\b|^ebm_ppl$", text):
            yield from imports().below("ebm_ppl")  # a program for another process
    if path.endswith("/__init__.py") and LISTS_ITS_MODULES in text_of(path):
        yield from imports().below(module_of(path))


def reached(changed: Iterable[str]) -> list[str]:
    """Paths and node ids of the slow tests that changed files can reach, all of them in order."""
    changed = list(changed)
    if any(EVERYTHING.fullmatch(path) for path in changed):
        return [test for _, test in slow_tests()]
    starts = {module for path in changed for module in _belongs_to(path)}
    modules = starts.union(*(graph().find_downstream_modules(module) for module in starts))
    modules -= set(ONE_A_FILE) - starts
    return [test for module, test in slow_tests() if module in modules]


def _belongs_to(path: str) -> Iterator[str]:
    """The module of a file; the package around a stub, a template or data."""
    if name_of(path) in graph().modules:
        yield name_of(path)
    elif path.startswith(tuple(f"{package}/" for package in PACKAGES)):
        yield next(_around(path.replace("/", ".")))


def slow_tests() -> Iterator[tuple[str, str]]:
    """Module in the graph, and path or node id, of whatever may hold a slow test."""
    python = {path: text_of(path) for path in imports().modules.values()}
    for path, source in sorted((python | blocks()).items()):
        module, name = name_of(path), path.rpartition("/")[2]
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
