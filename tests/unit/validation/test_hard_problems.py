"""The truth about hard problems, against sums over dense grids that share no code with the package."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from ebm_ppl import NotNormalizableError
from ebm_ppl.quadrature import normalize
from ebm_ppl.validation.hard_problems import DATA_FAMILIES, FAMILIES
from ebm_ppl.validation.strategies import hard_problems

TAME = {
    "steps": {"length": 1.0, "gap": 0.5, "ratio": 1.7, "start": -1.2, "step": 0.7},
    "hole": {"radius": 0.8, "distance": 0.6, "angle": 0.4, "height": 0.3},
    "staircase": {"width": 0.7, "rise": 1.3, "middle": 0.4},
    "bounded": {"a": 3.5, "b": 2.5},
    "wall": {"rate": 1.5},
    "far_mode": {"distance": 4.0, "scale": 0.5, "share": 0.3, "angle": 0.5, "height": 1.0},
    "scattered_modes": {"spread": 4.0, "scale": 0.8, "number": 4.0, "turn": 0.3},
    "many_wells": {"scale": 1.5, "height": 1.2, "wells": 3.0, "phase": 0.8},
    "funnel": {"scale": 0.6},
    "banana": {"a": 0.5, "steepness": 2.0, "scale": 0.5},
    "heavy_tails": {"df": 9.0, "scale": 0.5},
    "units": {"shape": 3.0, "scale": 1.5, "shift": 0.4},
    "offset": {"offset": 100.0, "shift": 1.5},
    "lattice": {"coupling": 0.35, "field": 0.2},
}


RANGES = {"bounded": (0.0, 1.0), "wall": (-1.0, 1.0)}
JUMPS = {"steps", "hole", "staircase"}


def by_midpoints(name, dim, count):
    """log Z, mean and standard deviation of a tame problem by the midpoint rule, or over all states."""
    energy = FAMILIES[name].build(dim, **TAME[name]).energy
    low, high = RANGES.get(name, (-14.0, 14.0))
    line = low + (np.arange(count) + 0.5) * (high - low) / count
    cell = (high - low) / count
    if name == "lattice":
        line, cell = np.array([-1.0, 1.0]), 1.0
    points = np.stack(np.meshgrid(*[line] * energy.event_size, indexing="ij"), -1)
    points = points.reshape(-1, energy.event_size)
    with jax.enable_x64(True):
        shaped = jnp.asarray(points.reshape(-1, *energy.event_shape))
        log_density = -np.asarray(jax.jit(jax.vmap(energy))(shaped), np.float64)
    largest = log_density.max()
    weight = np.exp(log_density - largest)
    log_z = float(largest + np.log(weight.sum()) + energy.event_size * np.log(cell))
    mean = weight @ points / weight.sum()
    return log_z, mean, np.sqrt(weight @ (points - mean) ** 2 / weight.sum())


@pytest.mark.parametrize("name", list(FAMILIES))
def test_the_truth_is_true(name):
    family = FAMILIES[name]
    dim = family.dims[0]
    problem = family.build(dim, **TAME[name])
    log_z, mean, sd = by_midpoints(name, dim, 280_001 if dim == 1 else 1401)
    tolerance = 1e-4 if name in JUMPS else 2e-6
    assert problem.log_z == pytest.approx(log_z, abs=tolerance, rel=1e-6)
    if problem.mean is not None:
        np.testing.assert_allclose(problem.mean, mean, atol=1e-4)
    if problem.sd is not None:
        np.testing.assert_allclose(problem.sd, sd, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name, one in FAMILIES.items() if 2 in one.dims[1:]])
def test_the_truth_is_true_in_the_plane(name):
    problem = FAMILIES[name].build(2, **TAME[name])
    log_z, mean, sd = by_midpoints(name, 2, 1401)
    assert problem.log_z == pytest.approx(log_z, abs=2e-2 if name in JUMPS else 1e-4)
    if problem.mean is not None:
        np.testing.assert_allclose(problem.mean, mean, atol=2e-2)
    if problem.sd is not None:
        np.testing.assert_allclose(problem.sd, sd, rtol=2e-2)


def test_a_family_is_an_image_of_the_unit_cube():
    family = FAMILIES["funnel"]
    assert family.at(2, [0.0]).parameters == {"scale": 0.5}
    assert family.at(2, [1.0]).parameters == {"scale": 3.0}
    rng = np.random.default_rng(0)
    scales = [family.draw(rng, 3).parameters["scale"] for _ in range(20)]
    assert 0.5 < min(scales) < max(scales) < 3.0
    assert len(set(scales)) == 20
    with pytest.raises(ValueError, match=r"`dim` must be one of '2', '3', '10'; got '4'"):
        family.at(4, [0.5])
    with pytest.raises(ValueError, match=r"`shares` must be a number in \[0.0, 1.0\]; got 1.5"):
        family.at(2, [1.5])


@settings(max_examples=12)
@given(hard_problems(dim=1))
def test_quadrature_is_right_or_says_so_on_the_line(problem):
    try:
        density = normalize(problem.energy)
    except NotNormalizableError:
        return
    rounding = 1e-12 * max(1.0, abs(problem.log_z))
    assert abs(density.log_z - problem.log_z) <= 5 * density.log_z_error + rounding


@pytest.mark.parametrize("name", list(DATA_FAMILIES))
def test_the_truth_about_data_is_true(name):
    data = DATA_FAMILIES[name].draw(np.random.default_rng(1), 2)
    with np.errstate(over="ignore"):
        exact = np.ma.masked_array(
            np.ma.getdata(data.rows).astype(np.longdouble), np.ma.getmaskarray(data.rows)
        )
    np.testing.assert_allclose(data.mean, np.asarray(exact.mean(0), float), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(data.sd, np.asarray(exact.std(0), float), rtol=1e-12, atol=1e-14)
    if name == "one_value":
        assert data.sd[0] == 0.0 < data.sd[1]
    if name == "masked_data":
        assert np.abs(data.mean).max() < 0.5
        assert np.ma.getmaskarray(data.rows).any()
