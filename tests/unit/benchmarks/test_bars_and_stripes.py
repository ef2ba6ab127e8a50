"""The pictures and the bound of the benchmark of bars and stripes, and that all of it runs."""

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import bars_and_stripes


def test_there_are_thirty_pictures_of_one_colour_along_rows_or_columns():
    pictures = bars_and_stripes.PATTERNS.reshape(30, 4, 4)
    assert len(np.unique(pictures.reshape(30, 16), axis=0)) == 30
    stripes = np.all(pictures == pictures[:, :, :1], axis=(1, 2))
    bars = np.all(pictures == pictures[:, :1], axis=(1, 2))
    assert np.all(stripes | bars)
    assert stripes.sum() == bars.sum() == 16
    np.testing.assert_allclose(bars_and_stripes.BOUND, -102.0359, atol=1e-4)


@pytest.mark.slow
def test_every_setting_runs_and_stays_below_the_bound(tmp_path):
    result = CliRunner().invoke(
        bars_and_stripes.main, ["--seeds", "1", "--scale", "0.004", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(bars_and_stripes.settings())
    last = [float(row.split("|")[4].split(" to ")[0]) for row in rows]
    assert all(-1000 < value < bars_and_stripes.BOUND for value in last)
    assert (tmp_path / "bars_and_stripes.png").stat().st_size > 1000
