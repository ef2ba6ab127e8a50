"""Two processes on every path that they can share: no half, no mixture, and one line for who comes second."""

import os
import re

import numpy as np
import pytest

import ebm_ppl as ebm
from ebm_ppl import validation
from ebm_ppl.serialization import load_metadata
from tests.reliability import writers
from tests.reliability.processes import outcomes, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="such systems have no fork"),
]

IN_USE = r"OSError: \[Errno \d+\] process \d+ on \S+ is writing to it: '.*'"


def test_one_model(tmp_path):
    assert outcomes(
        (writers.save_models, tmp_path, range(200)),
        (writers.save_models, tmp_path, range(200, 400)),
    ) == ["", ""]
    energy = ebm.load_energy(tmp_path / "model.eqx")
    assert np.unique(energy.loc) == load_metadata(tmp_path / "model.eqx")["number"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.eqx"]


def test_one_folder_of_reports(tmp_path):
    assert outcomes(
        (writers.write_reports, tmp_path, range(1000, 1010)),
        (writers.write_reports, tmp_path, range(2000, 2010)),
    ) == ["", ""]
    seed = validation.load_json(tmp_path / "report.json").seed
    for name in ("report.md", "report.html"):
        found = set(re.findall(r"seed ([12]0\d\d)", (tmp_path / name).read_text()))
        assert found == {str(seed)}
    assert len(list(tmp_path.iterdir())) == 3


def test_one_checkpoint(tmp_path):
    """The second is refused while the first lives, and goes on from where that was once it is dead."""
    with started(writers.long_fit, tmp_path):
        [said] = outcomes((writers.short_fit, tmp_path))
        assert re.fullmatch(IN_USE, said)
    [said] = outcomes((writers.short_fit, tmp_path))
    assert re.match(r"ValueError: `num_steps` must be at least the \d+ of the checkpoint", said)


def test_one_folder_of_draws(tmp_path):
    with started(writers.hold, tmp_path):
        [said] = outcomes((writers.streamed, tmp_path))
        assert re.fullmatch(IN_USE, said)
    assert outcomes((writers.streamed, tmp_path)) == [""]


def test_the_first_import_of_arviz(tmp_path):
    assert outcomes(*[(writers.import_arviz, tmp_path)] * 4) == [""] * 4
    assert list(tmp_path.iterdir()) == []
