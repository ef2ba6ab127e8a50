"""What the benchmark of samplers makes of its figures."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from benchmarks.samplers import report


def row(library, rate, *, chains=64, counts=True):
    figures = {"ess": 100.0, "error": 1.0, "r_hat": 1.0, "first_run_seconds": 1.0}
    names = {"library": library, "sampler": "some", "chains": chains}
    return names | figures | {"rate": rate, "counts": counts}


ROWS = [
    row("ebm_ppl", 900.0, counts=False),
    row("ebm_ppl", 600.0, chains=256),
    row("ebm_ppl", 300.0),
    row("ebm_ppl", 40.0, chains=4),
    row("NumPyro", 20.0, chains=4),
    row("NumPyro", 30.0),
    row("BlackJAX", 200.0),
    row("BlackJAX", 5000.0, counts=False),
]


def test_only_what_counts_is_compared():
    found = report.ratios({"a": ROWS, "b": ROWS[:4]})
    assert {contest: by_target["a"] for contest, by_target in found.items()} == {
        "NumPyro": 20.0,
        "NumPyro, ours with 64 chains": 10.0,
        "NumPyro, both with 4 chains": 2.0,
        "BlackJAX": 3.0,
    }
    assert {by_target["b"] for by_target in found.values()} == {None}


def test_tables_put_in_brackets_what_does_not_count():
    text = report.table("Some target", ROWS)
    assert "| (900) |" in text
    assert "| 600 |" in text
    assert text.count("\n| ") == len(ROWS) + 2  # with the heading and the line below it
    ratios = report.ratio_table({"a": ROWS, "b": ROWS[:4]})
    assert "| NumPyro | 20 | – | 20 |" in ratios


def test_the_picture_is_drawn(tmp_path):
    report.picture({"a": ROWS, "b": ROWS[:4]}, {"a": "A", "b": "B"}, tmp_path / "some.png")
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8), st.floats(0.1, 10.0))
def test_the_geometric_mean_scales_with_its_numbers(values, factor):
    mean = report.geometric_mean(values)
    assert min(values) * (1 - 1e-9) <= mean <= max(values) * (1 + 1e-9)
    scaled = report.geometric_mean([factor * value for value in values])
    assert math.isclose(scaled, factor * mean, rel_tol=1e-9)
    assert report.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
