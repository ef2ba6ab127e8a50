"""What is installed: one top-level package, whose requirements are declared, with a light import."""

import ast
import importlib.metadata
import inspect
import pathlib
import re
import subprocess
import sys
import zipfile

import numpyro.infer
import pytest

from ebm_ppl import _numpyro
from ebm_ppl.energies import Gaussian
from ebm_ppl.potentials import potential_fn

ROOT = pathlib.Path(__file__).parents[1]

EXTRAS = {"flax": "nnx", "hypothesis": "test"}
"""Packages that one module alone imports, for those who have them, and the extra that brings them."""


def imported_packages() -> set[str]:
    """Top-level names of the packages that any module of ebm_ppl imports."""
    names: set[str] = set()
    for path in (ROOT / "ebm_ppl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add((node.module or "").partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"ebm_ppl"}


def test_every_imported_package_is_declared() -> None:
    required = importlib.metadata.requires("ebm-ppl") or []
    declared = {
        re.split(r"[^\w.-]", text)[0].lower().replace("_", "-")
        for text in required
        if "extra ==" not in text
    }
    distributions = importlib.metadata.packages_distributions()
    missing = {
        name: distributions.get(name, ["not installed"])
        for name in imported_packages() - set(EXTRAS)
        if not {d.lower().replace("_", "-") for d in distributions.get(name, [])} & declared
    }
    assert missing == {}


@pytest.mark.slow
def test_the_wheel_holds_one_top_level_package(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"ebm_ppl"}


def test_importing_the_package_loads_nothing_that_only_reports_need() -> None:
    code = (
        "import sys, ebm_ppl\n"
        "light = 'jax' not in sys.modules\n"
        "for name in set(dir(ebm_ppl)) - {'validation'}: getattr(ebm_ppl, name)\n"
        "heavy = ('ebm_ppl.validation', 'ebm_ppl.cli', 'arviz', 'matplotlib', 'jinja2', 'click')\n"
        "print(light, [name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True []"


@pytest.mark.parametrize(
    ("kernel", "attribute"),
    [(k, name) for k, attributes in _numpyro.KERNEL_ATTRIBUTES.items() for name in attributes],
)
def test_what_is_private_in_numpyros_kernels_is_still_there(kernel: str, attribute: str) -> None:
    made = getattr(numpyro.infer, kernel)(potential_fn=potential_fn(Gaussian([0.0], [[1.0]])))
    assert hasattr(made, attribute), (
        f"NumPyro {numpyro.__version__} has no {kernel}.{attribute}, which ebm_ppl/_numpyro.py uses."
    )


def test_mcmc_still_reads_what_tells_it_that_a_kernel_is_ready() -> None:
    assert f'"{_numpyro.MCMC_READS}"' in inspect.getsource(numpyro.infer.mcmc), (
        f"MCMC of NumPyro {numpyro.__version__} no longer reads `{_numpyro.MCMC_READS}` of a kernel, by "
        "which it learned whether a resumed run needs `init`."
    )
