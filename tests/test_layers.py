"""Imports point down: the contracts of `pyproject.toml` hold."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]

# In a process of its own: the linter's console keeps the stream that it first saw, which pytest closes.
PROGRAM = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)


def test_import_contracts() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
