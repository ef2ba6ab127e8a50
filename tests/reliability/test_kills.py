"""Writers that are killed at random moments: the last good file is whole, and nothing else stays."""

import os
import pathlib
import random
import re

import numpy as np
import pytest
import xarray

import ebm_ppl as ebm
from ebm_ppl import validation
from ebm_ppl.serialization import load_metadata
from ebm_ppl.validation.report import render_html, render_markdown
from tests.reliability import writers
from tests.reliability.processes import killed, started
from tests.unit.trainers import resumable
from tests.unit.validation import fakes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="such systems have no SIGKILL and no fork"),
]

KILLS = 12
"""Of each of the five writers."""


def _names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _kills(work, folder, within, check):
    chance, died = random.Random(work.__name__), 0
    for _ in range(KILLS):
        died += killed(work, folder, within, chance)
        check()
    return died


def test_models(tmp_path):
    def check():
        energy = ebm.load_energy(tmp_path / "model.eqx")
        assert np.unique(energy.loc) == load_metadata(tmp_path / "model.eqx")["number"]

    assert _kills(writers.model, tmp_path, 0.1, check) == KILLS
    writers.save_model(tmp_path, 0)
    assert _names(tmp_path) == ["model.eqx"]


def test_reports(tmp_path):
    def check():
        validation.load_json(tmp_path / "report.json")
        for name, render in (("report.md", render_markdown), ("report.html", render_html)):
            page = (tmp_path / name).read_text(encoding="utf-8")
            seed = int(re.search(r"seed (\d+)", page)[1])
            assert page == render(fakes.report(traces=(), seed=seed))

    assert _kills(writers.report, tmp_path, 0.3, check) == KILLS
    writers.write_report(tmp_path, 0)
    assert _names(tmp_path) == ["report.html", "report.json", "report.md"]


def test_draws(tmp_path):
    def check():
        table = np.loadtxt(tmp_path / "draws.csv", delimiter=",", skiprows=1)
        assert table.shape == (np.prod(writers.SHAPE), 4)
        assert len(np.unique(table[:, 2:])) == 1
        with xarray.open_dataset(tmp_path / "draws.nc", group="posterior") as stored:
            assert stored["a"].shape == writers.SHAPE
            assert len(np.unique(stored["a"])) == len(np.unique(stored["b"])) == 1

    assert _kills(writers.draws, tmp_path, 0.1, check) == KILLS
    for number in range(2):
        writers.save_draws(tmp_path, number)
    assert _names(tmp_path) == ["draws.csv", "draws.nc"]


def test_streams(tmp_path):
    def check():
        assert not (tmp_path / "draws").exists()

    assert _kills(writers.streamed, tmp_path, 0.2, check) == KILLS
    assert len(_names(tmp_path)) <= 2  # the lock and the draws of the last one that died
    writers.streamed(tmp_path)
    assert _names(tmp_path) == ["draws"]
    assert np.load(tmp_path / "draws" / "x.npy").shape == (2, writers.NUM_STREAMED)


def test_checkpoints(tmp_path):
    """A fit that has ended is not killed any more: then the next begins anew."""
    expected = resumable.bits(resumable.run(num_steps=writers.NUM_STEPS))
    chance, died, fits = random.Random(0), 0, 0
    while died < KILLS:
        fits += 1
        folder = tmp_path / str(fits)
        folder.mkdir()
        while died < KILLS and killed(writers.fit, folder, 0.15, chance):
            died += 1
        found = resumable.run(folder / "fit.ckpt", num_steps=writers.NUM_STEPS)
        assert resumable.bits(found) == expected
        assert _names(folder) == ["fit.ckpt"]


def test_what_a_living_writer_needs_stays(tmp_path):
    with started(writers.hold, tmp_path):
        held = {name for name in _names(tmp_path) if name.endswith(".tmp")}
        assert len(held) == 2
        writers.save_model(tmp_path, 1)
        with pytest.raises(OSError, match=r"process \d+ on .* is writing to it"):
            writers.streamed(tmp_path)
        assert held | {"model.eqx", ".draws.lock"} == set(_names(tmp_path))
    writers.save_model(tmp_path, 2)
    writers.streamed(tmp_path)
    assert _names(tmp_path) == ["draws", "model.eqx"]
