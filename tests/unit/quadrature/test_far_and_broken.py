"""Modes far from each other or narrow, and densities that jump: right within the stated error, or refused."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.scipy.stats import norm
from scipy import stats

from ebm_ppl import NotNormalizableError
from ebm_ppl.energies import from_callable
from ebm_ppl.quadrature import _bracket, _jumps, _normalize, _plane, _steps, normalize
from ebm_ppl.validation.hard_problems import FAMILIES

FEW_ERRORS = 5.0
"""Stated errors that an answer may be off; they are estimates, not bounds."""
ROUNDING = 1e-12


class Mixture(eqx.Module):
    loc: np.ndarray
    scale: np.ndarray

    def __call__(self, x):
        other = norm.logpdf(x, self.loc, self.scale).sum()
        return -jnp.logaddexp(norm.logpdf(x).sum(), other) - jnp.log(0.5)


def mixture(loc, scale):
    """Half of a standard normal law and half of another."""
    loc = np.asarray(loc, float)
    return from_callable(Mixture(loc, np.asarray(scale, float)), loc.shape)


class Flat(eqx.Module):
    ends: np.ndarray

    def __call__(self, x):
        inside = (x > self.ends[:, 0]) & (x < self.ends[:, 1])
        return jnp.where(inside.any(), 0.0, jnp.inf)


def flat(*intervals):
    """0 on some intervals, infinite elsewhere."""
    return from_callable(Flat(np.array(intervals, float)), ())


def is_right(energy, log_z):
    """Whether log Z is within the stated error; refusing counts."""
    try:
        density = normalize(energy)
    except NotNormalizableError:
        return True
    return abs(density.log_z - log_z) <= FEW_ERRORS * density.log_z_error + ROUNDING


@pytest.mark.parametrize(
    ("loc", "scale"),
    [
        (15.21, 0.05),
        (15.21, 1e-3),
        (-2.5, 2e-3),
        (1e3, 0.3),
        ((27.96, 3.73), 0.2),
        ((15.0, 15.0), 0.05),
    ],
)
def test_both_modes_are_found(loc, scale):
    density = normalize(mixture(loc, scale))
    assert density.log_z == pytest.approx(0.0, abs=1e-8)
    assert density.log_z_error < 1e-7
    np.testing.assert_allclose(density.mean(), np.asarray(loc) / 2, rtol=1e-6)


@settings(max_examples=60)
@given(st.floats(0.0, 4.0), st.floats(-3.0, 1.0), st.sampled_from([-1.0, 1.0]))
def test_a_mode_anywhere_on_the_line_is_found(distance, scale, side):
    assert is_right(mixture(side * 10**distance, 10**scale), 0.0)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.floats(0.0, 2.0), st.floats(0.0, 6.28), st.floats(-1.5, 0.5))
def test_a_mode_anywhere_in_the_plane_is_found(distance, angle, scale):
    loc = 10**distance * np.array([np.cos(angle), np.sin(angle)])
    assert is_right(mixture(loc, 10**scale), 0.0)


@pytest.mark.parametrize(
    ("energy", "log_z"),
    [
        (flat((0, 1), (3, 3.5)), np.log(1.5)),
        (flat((0, 1), (2, 3)), np.log(2.0)),
        (flat((0, 1), (10, 10.5)), np.log(1.5)),
        (flat((0, 1), (1000, 1002)), np.log(3.0)),
        (flat((-0.5, 0.5), (0.7, 0.7003)), np.log(1.0003)),
        (from_callable(lambda x: jnp.floor(jnp.abs(x)), ()), np.log(2 / (1 - np.exp(-1)))),
        (
            from_callable(lambda x: jnp.where((x > -0.2) & (x < 0.3), jnp.inf, x**2 / 2), ()),
            np.log(np.sqrt(2 * np.pi) * (1 - stats.norm.cdf(0.3) + stats.norm.cdf(-0.2))),
        ),
        (from_callable(lambda x: jnp.where(x < 0.1234, jnp.inf, x), ()), -0.1234),
    ],
)
def test_jumps_are_within_the_stated_error(energy, log_z):
    density = normalize(energy)
    assert abs(density.log_z - log_z) <= FEW_ERRORS * density.log_z_error + ROUNDING
    assert density.log_z_error < 1e-8


@st.composite
def intervals(draw):
    """One to three intervals in ascending order, of lengths and gaps from 0.01 to 100."""
    parts = draw(
        st.lists(st.floats(-2.0, 2.0), min_size=2, max_size=6).filter(lambda p: len(p) % 2 == 0)
    )
    ends = draw(st.floats(-10.0, 10.0)) + np.cumsum(10.0 ** np.array(parts))
    return ends.reshape(-1, 2)


@settings(max_examples=40)
@given(intervals())
def test_any_union_of_intervals_has_its_length(ends):
    assert is_right(flat(*ends), float(np.log(np.sum(ends[:, 1] - ends[:, 0]))))


def test_moments_and_draws_know_of_the_jumps():
    density = normalize(flat((0, 1), (3, 3.5)))
    assert density.mean() == pytest.approx((0.5 + 0.5 * 3.25) / 1.5, rel=1e-5)
    second = (1 / 3 + (3.5**3 - 27) / 3) / 1.5
    variance = second - density.mean() ** 2
    np.testing.assert_allclose(density.covariance(), variance, rtol=1e-3)
    np.testing.assert_allclose(
        density.cdf(np.array([0.5, 2.0, 3.25])), [1 / 3, 2 / 3, 5 / 6], atol=1e-3
    )


def test_jumps_are_found_where_they_are():
    nodes = np.linspace(0.0, 1.0, 11)

    def density_at(u):
        return np.where(u < 1 / 3, 1.0 + u, np.where(u < 0.77, 0.25, 3 * u))

    found = _jumps.find_jumps(density_at, nodes, density_at(nodes))
    np.testing.assert_allclose(found.place, [1 / 3, 0.77], rtol=1e-14)
    np.testing.assert_allclose(found.left, [4 / 3, 0.25], rtol=1e-12)
    np.testing.assert_allclose(found.right, [0.25, 2.31], rtol=1e-12)
    values = density_at(nodes)
    masses = 0.1 * values
    masses[[0, -1]] /= 2
    exact = (1 / 3 + 1 / 18) + 0.25 * (0.77 - 1 / 3) + 1.5 * (1 - 0.77**2)
    # The trapezoid rule is exact for lines, once it knows where one ends.
    assert np.sum(masses + found.corrections(0.0, 0.1, values)) == pytest.approx(exact, rel=1e-12)
    assert found.unresolved(0.0, 0.1, values) == 0.0
    assert found.unresolved(0.0, 1.0, values[::10]) == pytest.approx(13 / 12 + 2.06)


@pytest.mark.parametrize("steepness", [1.0, 30.0, 1e4])
def test_what_is_steep_is_no_jump(steepness):
    nodes = np.linspace(-1.0, 1.3, 24)

    def density_at(u):
        return np.exp(-steepness * np.abs(u))

    assert len(_jumps.find_jumps(density_at, nodes, density_at(nodes))) == 0


def test_what_each_part_finds_is_missed_without_it(monkeypatch):
    """The planted bugs: no look around, no look into cells, and grids that need not see the wells."""
    with monkeypatch.context() as patched:
        patched.setattr(_bracket, "_looked_at", lambda low, high: np.linspace(low, high, 4097))
        assert not is_right(mixture(15.21, 0.05), 0.0)
    with monkeypatch.context() as patched:
        nothing = _jumps.Jumps(*np.zeros((3, 0)))
        patched.setattr(_bracket, "find_jumps", lambda *_: nothing)
        assert not is_right(flat((0, 1), (3, 3.5)), np.log(1.5))
    with monkeypatch.context() as patched:
        patched.setattr(_normalize, "_sees", lambda *_: True)
        patched.setattr(_normalize, "_second_opinion", lambda _, grid: grid.estimate.error)
        assert not is_right(mixture((15.0, 15.0), 0.05), 0.0)


def holed(radius, center):
    """A standard normal law without a ball, and its log Z."""
    center = np.asarray(center, float)
    outside = stats.ncx2.sf(radius**2, len(center), np.sum(center**2))

    def energy(x):
        away = jnp.sum((x - center) ** 2) > radius**2
        return jnp.where(away, 0.5 * jnp.sum(x**2), jnp.inf)

    log_z = 0.5 * len(center) * np.log(2 * np.pi) + np.log(outside)
    return from_callable(energy, center.shape), log_z


@pytest.mark.parametrize(
    ("radius", "center"),
    [(0.2, (1.0, 0.5)), pytest.param(0.15, (2.2, 1.1), marks=pytest.mark.slow)],
)
def test_a_hole_in_the_plane_is_as_wide_as_a_step(radius, center, monkeypatch):
    energy, log_z = holed(radius, center)
    density = normalize(energy)
    assert abs(density.log_z - log_z) < density.log_z_error < 2e-3
    # The planted bug: two grids that agree are believed.
    monkeypatch.setattr(_plane, "step_error", lambda *_: 0.0)
    monkeypatch.setattr(_normalize, "_second_opinion", lambda _, grid: grid.estimate.error)
    unaware = normalize(energy)
    assert abs(unaware.log_z - log_z) > FEW_ERRORS * unaware.log_z_error


@pytest.mark.slow
@pytest.mark.parametrize(("radius", "center"), [(0.3, (1.0, 0.5, 0.2)), (0.15, (1.6, -0.3, 0.2))])
def test_a_hole_in_space_is_as_wide_as_a_step_or_refused(radius, center):
    assert is_right(*holed(radius, center))


def test_steps_and_ridges_are_told_apart():
    nodes = [np.linspace(0.0, 1.0, 33), np.linspace(0.0, 2.0, 17)]

    def error_of(density_at):
        u = np.stack(np.meshgrid(*nodes, indexing="ij"), -1)
        values = density_at(u.reshape(-1, 2)).reshape(u.shape[:2])
        return _steps.step_error(values, nodes, density_at)

    cell = (1 / 32) * (2 / 16)
    assert error_of(lambda u: np.where(u[:, 0] < 0.4, 2.0, 1.0)) == pytest.approx(17 * cell / 2)
    assert error_of(lambda u: np.floor(20 * u[:, 1])) == pytest.approx(33 * 40 * cell / 2, rel=0.01)
    assert error_of(lambda u: np.exp(-1e3 * (u[:, 0] - u[:, 1]) ** 2)) == 0.0
    assert error_of(lambda u: np.abs(u[:, 0] - 0.4)) == 0.0


def test_wells_between_the_nodes_are_not_believed_away(monkeypatch):
    problem = FAMILIES["many_wells"].build(1, scale=1.056, height=7.81, wells=23.9, phase=4.44)
    assert is_right(problem.energy, problem.log_z)
    monkeypatch.setattr(_normalize, "_second_opinion", lambda _, grid: grid.estimate.error)
    assert not is_right(problem.energy, problem.log_z)


@pytest.mark.slow
def test_a_box_beside_another_axis_is_found():
    """As far as six heights of the other box, which is nine times as long: windows of one shape miss it."""
    values = {"length": 0.1509, "gap": 0.2144, "ratio": 7.979, "start": -8.3116, "step": -2.437}
    problem = FAMILIES["steps"].build(2, **values)
    assert is_right(problem.energy, problem.log_z)
