"""The site builds without a warning, and its pages load nothing from elsewhere."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import types
import zlib

import jax
import pytest

from ebm_ppl.energies import Banana
from ebm_ppl.quadrature import normalize

ROOT = pathlib.Path(__file__).parents[1]
LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"([^\"#]+)")


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm brings along what pages need")
def test_site_builds_without_a_warning_and_stands_alone(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    pages = {page: page.read_text("utf-8") for page in tmp_path.rglob("*.html")}
    loaded = {(page, path) for page, text in pages.items() for path in LOADED.findall(text)}
    assert {path for _, path in loaded if re.match(r"(\w+:)?//", path)} == set()
    missing = {path for page, path in loaded if not (page.parent / path).exists()}
    assert {path for path in missing if not path.startswith("/")} == set()  # of the page 404
    # An example under a heading that the tool does not know comes out as nested quotations.
    assert [page.name for page, text in pages.items() if "<blockquote>" in text] == []
    assert _modules(tmp_path) == []  # one has taken the place of its function of the same name


def _modules(site: pathlib.Path) -> list[str]:
    """Modules in the reference, which is to hold functions and classes."""
    entries = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    return [entry for entry in entries.splitlines() if " py:module " in entry]


def test_a_missing_npm_is_said_in_one_sentence(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = _program("hooks")
    monkeypatch.setattr(hooks, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(hooks.PluginError, match="no `npm` on the path"):
        hooks._archive("katex@0.16.47")


@pytest.mark.slow
def test_the_picture_of_the_home_page_is_drawn(tmp_path: pathlib.Path) -> None:
    truth = normalize(Banana())
    _program("first_example").draw(
        truth, truth.sample(jax.random.key(0), (2000,)), tmp_path / "a.png"
    )
    assert (tmp_path / "a.png").exists()


def _program(name: str) -> types.ModuleType:
    """One of the programs that lie beside the pages."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program
