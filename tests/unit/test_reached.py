"""Which slow tests a change reaches: through lazy names, discovery, strings, docstrings and helpers."""

import importlib.util
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (
    "tests/test_readme.py::test_python_blocks_run_one_after_the_other_and_print_what_the_page_says"
)


@pytest.fixture(scope="module")
def reached():
    spec = importlib.util.spec_from_file_location("reached", ROOT / ".ci" / "reached.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.reached


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        # through `ebm.MALA`, which the package loads on first use
        ("ebm_ppl/samplers/mala.py", "tests/test_examples.py::test_example[custom_energy]"),
        ("ebm_ppl/samplers/_contract/metropolis.py", "tests/contract/test_kernels.py"),
        # through `validation.run`, of a package within the package
        ("ebm_ppl/validation/runner.py", "tests/contract/test_left_out.py"),
        ("ebm_ppl/validation/controls/langevin.py", "tests/contract/test_controls.py"),
        (
            "ebm_ppl/validation/cases/objectives/score_matching.py",
            "tests/contract/test_objectives.py",
        ),
        ("ebm_ppl/validation/targets/wells.py", "tests/contract/test_controls.py"),
        ("ebm_ppl/validation/report/templates/report.css", "tests/contract/test_runner.py"),
        ("ebm_ppl/trainers/_loop.py", f"{PAGE}[docs/training.md]"),
        ("ebm_ppl/samplers/mala.py", "ebm_ppl/potentials.py"),  # whose docstring draws
        ("tests/unit/trainers/resumable.py", "tests/unit/trainers/test_checkpoint.py"),
        ("benchmarks/partition/problems.py", "tests/unit/benchmarks/test_partition.py"),
        ("docs/training.md", f"{PAGE}[docs/training.md]"),
    ],
)
def test_a_change_reaches_what_rests_on_it(reached, changed, test):
    assert (ROOT / changed).exists()
    assert test in reached([changed])


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("ebm_ppl/cli/_fit.py", "tests/contract/test_kernels.py"),
        ("ebm_ppl/cli/_fit.py", f"{PAGE}[docs/training.md]"),
        ("ebm_ppl/trainers/_loop.py", "tests/contract/test_kernels.py"),
        ("ebm_ppl/streaming/_run.py", "tests/unit/trainers/test_checkpoint.py"),
        ("docs/training.md", f"{PAGE}[README.md]"),
    ],
)
def test_and_nothing_else(reached, changed, test):
    assert (ROOT / changed).exists()
    assert test in reached(["conftest.py"])
    assert test not in reached([changed])


@pytest.mark.parametrize("changed", ["pyproject.toml", "conftest.py", ".ci/run"])
def test_settings_reach_everything_and_prose_nothing(reached, changed):
    assert len(reached(["CHANGELOG.md", changed])) > 100
    assert reached(["CHANGELOG.md"]) == []


@pytest.mark.skipif(shutil.which("git") is None, reason="commits are git's")
def test_an_unknown_commit_is_refused_in_one_sentence():
    run = subprocess.run(
        ["bash", ROOT / ".ci" / "run"],
        env=os.environ | {"CI_BASE": "nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr == "CI_BASE must be a commit of this repository; got 'nowhere'.\n"
    assert run.stdout == ""
