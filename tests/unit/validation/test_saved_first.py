"""What `fit` and `sample` save, and say, when something fails: finished work first, one line each."""

import csv
import dataclasses
import errno
import os
import pathlib
import re
import warnings

import arviz
import h5netcdf
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import ebm_ppl as ebm
from ebm_ppl.cli import fitting, main
from ebm_ppl.cli.fitting import Table, draws, page
from ebm_ppl.cli.fitting.names import quoted, storable, unquoted
from ebm_ppl.cli.fitting.pictures import data_panels
from ebm_ppl.serialization import load_metadata
from ebm_ppl.trainers import CheckpointWarning
from tests.unit.test_files import files_of_at_most

HOSTILE = "$x_$\x1b[2J\nError: \u202enone"
NAMES = [
    "km/h",
    "chain",
    "draw",
    ".",
    "",
    "\udcff",
    "x",
    "x",
    "x_2",
    "=1+1",
    "$x_$",
    "a\nb",
    "l" * 300,
]


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    table = Table((HOSTILE,), rng.normal(size=(60, 1)))
    return fitting.train(table, "gaussian", "exact", num_steps=3, progress_bar=False)


@pytest.fixture(scope="module")
def examined(trained):
    return fitting.examine(trained)


@pytest.fixture
def fit(trained, tmp_path, monkeypatch):
    """Runs `ebm-ppl fit` in a folder, with training that is done already."""
    monkeypatch.chdir(tmp_path)
    calls = []
    (tmp_path / "data.csv").write_text("a\n" + "\n".join(map(str, range(20))) + "\n")
    monkeypatch.setattr(fitting, "train", lambda *_, **__: calls.append(1) or trained)

    def run(*options):
        result = CliRunner().invoke(main, ["fit", "data.csv", "--out", "m.eqx", *options])
        result.trained = len(calls)
        return result

    return run


def _raiser(error):
    def broken(*_, **__):
        raise error

    return broken


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (RuntimeError(HOSTILE), 1, r"Error: RuntimeError: $x_$\x1b[2J\nError: \u202enone."),
        (ValueError("x" * 100_000), 1, "characters)"),
        (
            OSError(errno.EROFS, "Read-only file system", "/c"),
            1,
            "Error: Read-only file system: '/c'.",
        ),
        (ImportError("no ArviZ"), 1, "Error: ImportError: no ArviZ."),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
@pytest.mark.parametrize("options", [(), ("--report", "p.html")])
def test_the_model_is_saved_whatever_fails_after_training(
    fit, monkeypatch, error, status, message, options
):
    monkeypatch.setattr(fitting, "examine", _raiser(error))
    result = fit(*options)
    assert result.exit_code == status
    [line] = result.stderr.splitlines()
    if "characters)" not in message:
        missing = "; not saved: p.html" if options else ""
        assert line == f"{message} Saved: m.eqx{missing}."
    assert message in line
    assert len(line) < 500
    assert line.isprintable()
    assert load_metadata("m.eqx")["columns"] == [HOSTILE]
    assert sorted(path.name for path in pathlib.Path().iterdir()) == ["data.csv", "m.eqx"]


def test_a_page_that_finds_no_room_leaves_the_old_one_and_the_model(fit, monkeypatch):
    monkeypatch.setattr(fitting, "examine", lambda trained: _Examined({"R-hat": 1.0}))
    monkeypatch.setattr(page, "render_fit", lambda run: "x" * 100_000)
    pathlib.Path("p.html").write_text("old")
    with files_of_at_most(20_000):
        result = fit("--report", "p.html")
    assert result.exit_code == 1
    assert result.stderr == "Error: File too large: 'p.html'. Saved: m.eqx; not saved: p.html.\n"
    assert "R-hat" in result.stdout
    assert pathlib.Path("p.html").read_text() == "old"


@dataclasses.dataclass
class _Examined:
    figures: dict


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_model_that_finds_no_room_says_what_there_is(fit, monkeypatch, checkpoint):
    pathlib.Path("c.ckpt").write_text("of an earlier run")
    monkeypatch.setattr(
        ebm, "save_energy", _raiser(OSError(errno.ENOSPC, "No space left", "m.eqx"))
    )
    result = fit(*(("--checkpoint", "c.ckpt") if checkpoint else ()))
    assert result.exit_code == 1
    what = " but the checkpoint c.ckpt" if checkpoint else ""
    assert result.stderr == f"Error: No space left: 'm.eqx'. Nothing was written{what}.\n"


def test_a_checkpoint_that_was_not_written_is_one_line_and_status_1(fit, trained, monkeypatch):
    def train(*_, **__):
        warnings.warn(f"step 500 of {HOSTILE}", CheckpointWarning, stacklevel=1)
        return trained

    monkeypatch.setattr(fitting, "train", train)
    monkeypatch.setattr(fitting, "examine", lambda trained: _Examined({"R-hat": 1.0}))
    result = fit("--checkpoint", "c.ckpt")
    assert result.exit_code == 1
    assert result.stderr == "Warning: step 500 of $x_$\\x1b[2J\\nError: \\u202enone\n"
    assert "Wrote m.eqx" in result.stdout


@pytest.mark.parametrize("option", ["--out", "--report", "--checkpoint"])
def test_every_place_is_tried_before_training(fit, option):
    os.mkfifo("taken")
    result = fit(option, "taken")
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert (
        f"'{option}': must name a place that can be written to; got 'taken' (Is no regular file)"
        in message
    )
    assert not result.trained


def test_a_full_disk_is_found_before_training(fit):
    with files_of_at_most(1000):
        result = fit("--out", "a")
    assert result.exit_code == 1
    assert "'--out' must name a place that can be written to; got 'a' (File too" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not result.trained


def test_warnings_are_lines_though_errors_were_asked_for(fit, trained, monkeypatch):
    def train(*_, **__):
        warnings.warn("about the data", stacklevel=1)
        return trained

    monkeypatch.setattr(fitting, "train", train)
    monkeypatch.setattr(fitting, "examine", lambda trained: _Examined({"R-hat": 1.0}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fit()
    assert (result.exit_code, result.stderr) == (0, "Warning: about the data\n")


@pytest.mark.parametrize("name", [HOSTILE, "#a10001 1.23456", "<b>&", "\x00", "中文 العربية", "_x"])
def test_a_column_of_any_name_has_its_picture(examined, name):
    trained = dataclasses.replace(examined.trained, names=(name,))
    [panel] = data_panels(dataclasses.replace(examined, trained=trained))
    assert "axis-x" not in panel.svg
    assert "\x00" not in panel.svg
    shown = {"#a10001 1.23456": "#a10001 1.23456<", "<b>&": "&lt;b&gt;&amp;<", "\x00": r"\x00<"}
    assert shown.get(name, "<") in panel.svg


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Runs `ebm-ppl sample` on a model with columns of some names, with draws that are made already."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def run(names, *options, dim=None):
        dim = len(names) if dim is None else dim
        made = np.random.default_rng(0).normal(size=(4, 250, dim))
        monkeypatch.setattr(draws, "draw", lambda *_: calls.append(1) or made)
        ebm.save_energy(
            ebm.energies.Gaussian(jnp.zeros(dim), jnp.eye(dim)),
            "m.eqx",
            metadata={"columns": names},
        )
        result = CliRunner().invoke(main, ["sample", "m.eqx", "--num-samples", "250", *options])
        result.drawn, result.made = len(calls), made
        return result

    return run


@pytest.mark.parametrize("suffix", [".nc", ".csv"])
def test_every_column_is_in_the_file_and_changed_names_are_said_before_sampling(sample, suffix):
    result = sample(NAMES, "--out", f"d{suffix}", "--allow-unconverged")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())  # it is wrapped at the width of the terminal
    assert f"Warning: d{suffix} cannot hold the names of all columns as they are" in said
    assert "'km/h' 'km_h', 'chain' 'chain_2', 'draw' 'draw_2', '.' '_', '' '__2'" in said
    assert all(line.isprintable() for line in result.output.splitlines())
    stored = storable(NAMES)
    assert len(set(stored)) == len(NAMES)
    if suffix == ".nc":
        posterior = arviz.from_netcdf("d.nc").posterior
        assert set(posterior.data_vars) == set(stored)
        for k, name in enumerate(stored):
            np.testing.assert_array_equal(posterior[name], result.made[:, :, k])
        assert posterior["km_h"].attrs["long_name"] == "km/h"
        np.testing.assert_array_equal(posterior["draw"], np.arange(250))
    else:
        with open("d.csv", newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert [unquoted(name) for name in header] == ["chain", "draw", *stored]
        assert fitting.read_csv("d.csv", ["=1+1"]).names == ("=1+1",)
        assert not any(name.startswith(tuple("=+-@")) for name in header)
        values = np.array(rows, float)[:, 2:].reshape(result.made.shape)
        np.testing.assert_array_equal(values, result.made)


def test_names_that_files_can_hold_stay(sample):
    result = sample(["a b", "%", "é", "x_2", "Chain"], "--out", "d.nc")
    assert (result.exit_code, result.stderr) == (0, "")
    with h5netcdf.File("d.nc", "r") as file:
        assert {"a b", "%", "é", "x_2", "Chain"} < set(file["posterior"].variables)


def test_names_that_are_not_one_for_each_column_are_said(sample):
    result = sample(["a"], "--out", "d.csv", dim=2)
    assert (
        "Warning: m.eqx names 1 columns for points of 2; they are x0, x1, ... here."
        in result.stderr
    )
    assert pathlib.Path("d.csv").read_text().startswith("chain,draw,x0,x1\n")


def test_a_disk_that_is_too_small_is_found_before_sampling(sample):
    pathlib.Path("d.csv").write_text("old")
    with files_of_at_most(20_000):
        result = sample(["a", "b"], "--out", "d.csv")  # 2,000 numbers
    assert result.exit_code == 1
    assert result.stderr == "Error: File too large: 'd.csv'. Nothing was written.\n"
    assert not result.drawn
    assert pathlib.Path("d.csv").read_text() == "old"


@pytest.mark.parametrize(
    "error", [RuntimeError(HOSTILE), KeyboardInterrupt(), OSError(30, "Read-only")]
)
def test_draws_are_saved_whatever_fails_after_sampling(sample, monkeypatch, error):
    monkeypatch.setattr("ebm_ppl.validation.diagnostics.convergence", _raiser(error))
    result = sample(["a"], "--out", "d.nc")
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    [line] = result.stderr.splitlines()
    assert line.endswith("Saved: d.nc.")
    assert line.isprintable()
    assert pathlib.Path("d.nc").exists()


@given(st.lists(st.text() | st.sampled_from(["x", "x_2", "chain", "a/b", "a_b", "é", "e\u0301"])))
def test_names_are_mapped_one_to_one_and_none_without_need(names):
    stored = storable(names)
    assert len(set(stored)) == len(stored) == len(names)
    assert not {"chain", "draw"}.intersection(stored)
    assert all(name.isprintable() and name.strip(".") and "/" not in name for name in stored)
    for name, new in zip(names, stored, strict=True):
        if new != name and names.count(name) == 1:
            assert name in ("chain", "draw") or storable([name]) != (name,)
    assert storable(stored) == stored


@given(st.text(alphabet="'=+-@a\t\r") | st.text())
def test_headers_begin_no_formula_and_read_back(name):
    assert not quoted(name).startswith(tuple("=+-@\t\r"))
    assert unquoted(quoted(name)) == name


@pytest.mark.parametrize("platforms", ["cuda", "nothing"])
def test_a_device_that_is_not_there_is_one_line(sample, monkeypatch, platforms):
    import jax

    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(jax, "devices", _raiser(AssertionError()))
    result = sample(["a"])
    assert result.exit_code == 1
    assert re.fullmatch(
        f"Error: JAX finds no device .*JAX_PLATFORMS='{platforms}'.*\n", result.stderr
    )
    assert not result.drawn


def test_a_model_in_double_precision_is_told_of_the_variable(sample, monkeypatch):
    import jax

    with jax.enable_x64(True):
        ebm.save_energy(ebm.energies.Gaussian(jnp.zeros(1), jnp.eye(1)), "n.eqx")
    result = CliRunner().invoke(main, ["sample", "n.eqx"])
    assert result.exit_code == 1
    assert "JAX_ENABLE_X64=1" in result.stderr
