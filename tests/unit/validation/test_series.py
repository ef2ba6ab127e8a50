"""The numbers behind the pictures, against what is known of autoregressive chains."""

import math

import numpy as np
import pytest
from scipy import stats

from ebm_ppl.validation.report import _series, figures
from tests.unit.validation import fakes


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregressive_chain(correlation: float) -> None:
    draws = fakes.trace(num_chains=8, num_samples=20_000, dim=1, correlation=correlation).draws
    expected = draws.size * (1 - correlation) / (1 + correlation)
    assert _series.effective_size(draws[:, :, 0].astype(float)) == pytest.approx(expected, rel=0.1)


def test_chains_that_never_move_have_one_effective_draw_each() -> None:
    assert _series.effective_size(np.zeros((4, 500))) == 4
    assert _series.effective_size(np.tile(np.arange(4.0)[:, None], (1, 500))) == 4


def test_chains_that_disagree_count_for_little() -> None:
    rng = np.random.default_rng(0)
    apart = rng.normal(size=(4, 500)) + 100 * np.arange(4)[:, None]
    assert _series.effective_size(apart) < 10


def test_the_band_covers_correlated_chains_as_often_as_it_says() -> None:
    """A correct curve leaves it with probability 0.01: more than 13 of 200 with probability 3e-8.

    The planted bug is to take the draws as they come, correlation and all.
    """
    left = left_if_taken_raw = 0
    for seed in range(200):
        draws = fakes.trace(seed=seed, dim=1, num_samples=500, correlation=0.9).draws[:, :, 0]
        uniform = stats.norm.cdf(draws)
        curve = _series.ecdf_difference(uniform)
        left += bool(np.abs(curve.difference).max() > curve.band)
        raw_band = curve.band * math.sqrt(curve.num_draws / uniform.size)
        left_if_taken_raw += bool(stats.kstest(uniform.ravel(), "uniform").statistic > raw_band)
    assert left <= 13 < left_if_taken_raw


def test_the_band_sees_a_scale_that_is_wrong() -> None:
    draws = fakes.trace(dim=1, num_samples=4000, correlation=0.5).draws[:, :, 0]
    curve = _series.ecdf_difference(stats.norm.cdf(1.3 * draws))
    assert np.abs(curve.difference).max() > curve.band


def test_ranks_are_level_for_chains_that_agree_and_not_for_one_apart() -> None:
    rng = np.random.default_rng(0)
    same = rng.normal(size=(4, 5000))
    assert _series.rank_counts(same).shape == (4, 20)
    assert _series.rank_counts(same).sum() == same.size
    assert stats.chisquare(_series.rank_counts(same)[0]).pvalue > 1e-8
    same[0] += 1
    assert stats.chisquare(_series.rank_counts(same)[0]).pvalue < 1e-8


def test_a_single_chain_is_ranked_half_against_half() -> None:
    assert _series.rank_counts(np.arange(11.0)[None]).shape == (2, 20)


def test_steps_with_a_non_finite_value_are_dropped_for_every_chain() -> None:
    series = np.arange(8.0).reshape(2, 4)
    series[0, 1], series[1, 3] = math.nan, math.inf
    np.testing.assert_array_equal(_series.finite_steps(series), [[0, 2], [4, 6]])


def test_ranges_are_never_empty() -> None:
    low, high = _series.central_range(np.full(5, 2.0))
    assert low < 2 < high
    assert _series.joint_range((-1, 1), (-50, 0.5)) == (-3, 1)


def test_panels_of_a_trace() -> None:
    two = figures.panels(fakes.trace(dim=2, num_samples=50), "a")
    assert len(two) == 8
    assert all(panel.svg is not None for panel in two)
    assert len(figures.panels(fakes.trace(dim=1, num_samples=50), "a")) == 5
    without = figures.panels(fakes.trace(dim=1, num_samples=50, truth=False), "a")
    assert [panel.title for panel in without if panel.svg is None] == ["ECDF minus true CDF"]


def test_pictures_use_the_colours_of_the_page_only() -> None:
    for panel in figures.panels(fakes.trace(num_samples=50), "a"):
        assert panel.svg is not None
        assert "#a100" not in panel.svg
        assert "var(--" in panel.svg
        assert "font-family" not in panel.svg


def test_pictures_say_what_they_leave_out() -> None:
    captions = [
        panel.caption
        for trace in fakes.hostile_report().traces
        for panel in figures.panels(trace, "a")
    ]
    assert any("non-finite value are left out" in caption for caption in captions)
    assert any("fewer than two finite draws" in caption for caption in captions)
    assert any("fewer than two finite energies" in caption for caption in captions)
