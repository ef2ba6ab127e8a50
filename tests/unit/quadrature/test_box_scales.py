"""Boxes grow and shrink at the scale of what they have to hold, and see what lies off their grid."""

import numpy as np
import pytest

from ebm_ppl.quadrature._box_bracket import _settle_box
from ebm_ppl.quadrature._landscape import Landscape, refined_profile


class Bowl(Landscape):
    """A quadratic bowl with another width along each axis, in place of an energy's landscape."""

    dim = 2

    def __init__(self, widths):
        self.widths = np.array(widths)
        self.looks = 0

    def __call__(self, t):
        self.looks += 1
        return 0.5 * np.sum((t / self.widths) ** 2, axis=-1)


@pytest.mark.parametrize("widths", [(1e6, 1e6), (1e6, 1.0), (1.0, 1.0), (1e-6, 1e-6), (1e-6, 1e6)])
def test_a_box_of_unit_size_settles_at_any_scale(widths):
    """The set below 40.5 ends at nine widths; 20 rounds grow or shrink a box by ten orders of magnitude."""
    bowl, free = Bowl(widths), np.ones((2, 2), dtype=bool)
    start, ends = np.array([[-1.0, 1.0]] * 2), np.array([[-1e9, 1e9]] * 2)
    box, level = _settle_box(bowl, start, ends, free, 40.5)
    assert level == pytest.approx(40.5)
    np.testing.assert_allclose(np.abs(box) / bowl.widths[:, None], 9.0, rtol=0.1)
    looks_a_round = 2 * 13  # of two profiles: a grid, then twelve refinements
    assert bowl.looks <= 20 * looks_a_round


class Valley(Landscape):
    """A thin valley along a slanted line, as deep everywhere as its height along one axis."""

    dim = 2

    def __init__(self, slope, width):
        self.slope, self.width = slope, width

    def __call__(self, t):
        x, y = t[..., 0], t[..., 1]
        return 0.5 * x**2 + 0.5 * ((y - self.slope * x) / self.width) ** 2


@pytest.mark.parametrize("width", [1.0, 1e-3])
def test_a_profile_finds_the_bottom_between_grid_lines(width):
    """The grid alone is 0.05 off, which in a valley of width 0.001 is 1250 nats."""
    ticks = np.linspace(-2, 2, 97)  # bottoms all over the intervals of the grid
    depth, bottom = refined_profile(Valley(0.7, width), ticks, np.linspace(-3, 3, 61), 0)
    np.testing.assert_allclose(bottom, 0.7 * ticks, atol=1e-6 * width)
    np.testing.assert_allclose(depth, 0.5 * ticks**2, atol=1e-9)
