"""Imports point down: the contracts of `pyproject.toml` hold."""

import pathlib

import pytest
from importlinter.cli import lint_imports

ROOT = pathlib.Path(__file__).parents[1]


def test_import_contracts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == 0, capsys.readouterr().out
