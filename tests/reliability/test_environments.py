"""The command line where people really run it: one line of trouble at most, and the file is there."""

import csv
import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import ebm_ppl as ebm
from ebm_ppl.cli import _process

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
NOWHERE = "/proc/self"
"""A folder in which not even the superuser can make anything."""

NAMES = ["$x_$", "km/h", "中文", "\x1b[31mred", "=1+1"]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no /proc")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Compiled programs of all these runs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(tmp_path, cache):
    """Runs `ebm-ppl` in a folder that holds a model and a table."""
    ebm.save_energy(
        ebm.energies.Gaussian(jnp.zeros(len(NAMES)), jnp.eye(len(NAMES))),
        tmp_path / "m.eqx",
        metadata={"columns": NAMES},
    )
    values = np.random.default_rng(0).normal(size=(40, len(NAMES)))
    with (tmp_path / "data.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([NAMES, *values.tolist()])

    def start(*arguments, options=(), stdout=subprocess.PIPE, user=None, **changes):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": os.environ["XLA_FLAGS"],
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            **changes,
        }
        return subprocess.Popen(
            [sys.executable, *options, "-m", "ebm_ppl", *arguments],
            cwd=tmp_path,
            env={name: value for name, value in environment.items() if value is not None},
            stdout=stdout,
            stderr=subprocess.PIPE,
            user=user,
        )

    return start


def _sample(out="d.csv"):
    short = ("--num-samples", "250", "--num-warmup", "250", "--kernel", "mala")
    return ("sample", "m.eqx", *short, "--allow-unconverged", "--out", out)


FIT = ("fit", "data.csv", "--energy", "gaussian", "--objective", "score-matching", "--steps", "20")


def _ended(process):
    out, err = process.communicate(timeout=500)
    assert b"Traceback" not in err, err.decode(errors="replace")
    # A bar overwrites its line; that so few draws may disagree is no news here.
    lines = [line.rsplit("\r", 1)[-1] for line in err.decode(errors="replace").split("\n")]
    lines = [line for line in lines if line.strip() and "step/s" not in line]
    lines = [line for line in lines if "The chains disagree" not in line]
    assert "\x1b[31mred" not in (out or b"").decode(errors="replace")
    return process.returncode, lines


ENVIRONMENTS = {
    "as usual": {},
    "no HOME": {"HOME": None},
    "HOME cannot be written": {"HOME": NOWHERE},
    "HOME is a file": {"HOME": __file__},
    "HOME does not exist": {"HOME": "missing/home"},
    "no cache can be written": {
        "HOME": NOWHERE,
        "XDG_CACHE_HOME": NOWHERE,
        "XDG_CONFIG_HOME": NOWHERE,
        "JAX_COMPILATION_CACHE_DIR": None,
    },
    "C locale": {"LC_ALL": "C"},
    "ASCII alone": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "another encoding": {"PYTHONIOENCODING": "latin-1"},
    "20 columns": {"COLUMNS": "20"},
    "one column": {"COLUMNS": "1"},
    "-O": {"options": ["-O"]},
    "-W error": {"options": ["-W", "error"]},
    "isolated": {"options": ["-B", "-X", "dev"]},
    "double precision": {"JAX_ENABLE_X64": "1"},
}

ODD_NAMES = [
    "a b.csv",
    'it\'s "q".csv',
    "中文 ü.csv",
    "new\nline.csv",
    "$(x) %s {}.csv",
    "l" * 250 + ".csv",
]


@linux
@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_draws_are_written_in_any_environment(run, tmp_path, environment):
    status, lines = _ended(run(*_sample(), **environment))
    assert status == 0
    if "COLUMNS" not in environment:
        [line] = lines
        assert line.startswith("Warning: d.csv cannot hold the names of all columns as they are")
    assert len((tmp_path / "d.csv").read_text(encoding="utf-8").splitlines()) == 1001


@pytest.mark.parametrize("name", ODD_NAMES)
def test_draws_go_to_files_of_any_name(run, tmp_path, name):
    status, lines = _ended(run(*_sample(name)))
    assert (status, len(lines)) == (0, 1)
    assert (tmp_path / name).is_file()


@linux
@pytest.mark.parametrize(
    "environment",
    [
        ENVIRONMENTS["no cache can be written"],
        {"options": ["-W", "error"], "LC_ALL": "C", "HOME": None},
    ],
    ids=["nothing can be written", "-W error in the C locale"],
)
def test_fits_and_their_pages_are_written_in_any_environment(run, tmp_path, environment):
    status, lines = _ended(run(*FIT, "--report", "p.html", "--out", "n.eqx", **environment))
    assert status == 0
    assert lines == []
    ebm.load_energy(tmp_path / "n.eqx")
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "$x_$" in page
    assert "中文" in page
    assert "\x1b" not in page


@linux
def test_a_terminal_that_takes_nothing_costs_no_draw(run, tmp_path):
    with open("/dev/full", "w") as full:
        status, lines = _ended(run(*_sample(), stdout=full))
    assert status == 1
    assert lines[-1] == "Error: No space left on device. Saved: d.csv."


@linux
def test_a_platform_that_is_not_there_is_one_line(run):
    status, lines = _ended(run(*_sample(), JAX_PLATFORMS="cuda"))
    assert status == 1
    [line] = lines
    assert line.startswith(
        "Error: JAX finds no device of the kind that JAX_PLATFORMS='cuda' asks for"
    )


def test_two_first_runs_at_once_share_a_cache(run, tmp_path):
    """Of programs, of ArviZ, and of Matplotlib; both write the same file."""
    environment = {
        "JAX_COMPILATION_CACHE_DIR": None,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path / "home"),
    }
    processes = [run(*_sample(), **environment) for _ in range(2)]
    for process in processes:
        status, lines = _ended(process)
        assert (status, len(lines)) == (0, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) >= ["cache", "d.csv", "data.csv"]
    assert not list(tmp_path.glob(".d.csv*"))


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be nobody"
)
def test_a_user_without_a_name_or_a_home(run, tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o777)
    environment = {"HOME": None, "JAX_COMPILATION_CACHE_DIR": None}
    try:
        process = run(*_sample(), user=54321, **environment)
    except PermissionError:
        pytest.skip("this interpreter is for one user alone")
    status, lines = _ended(process)
    assert (status, len(lines)) == (0, 1)
    assert _process.folder().name == "jax"
