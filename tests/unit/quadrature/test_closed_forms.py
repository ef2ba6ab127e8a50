"""Partition functions against closed forms, and the honesty of the error estimate."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints
from scipy import special

from ebm_ppl.energies import Quartic, from_callable
from ebm_ppl.quadrature import NonFiniteEnergyError, NotNormalizableError, normalize

LOG_2PI = np.log(2 * np.pi)


def two_wells(first, second, width_ratio):
    """Two normal densities of unequal width, log odds 3."""

    def energy(x):
        left = -0.5 * ((x - first[0]) / first[1]) ** 2
        return -jnp.logaddexp(left, -0.5 * ((x - second[0]) / second[1]) ** 2 + 3.0)

    assert second[1] == pytest.approx(width_ratio * first[1])
    return energy, 0.5 * LOG_2PI + np.log(first[1] + second[1] * np.exp(3.0))


LINE_CASES = {
    "normal far away": (lambda x: 0.5 * (x - 1e3) ** 2, constraints.real, 0.5 * LOG_2PI),
    "cauchy": (lambda x: jnp.log1p(x**2), constraints.real, np.log(np.pi)),
    "student, 1.5 degrees": (
        lambda x: 1.25 * jnp.log1p(x**2 / 1.5),
        constraints.real,
        special.gammaln(0.75) - special.gammaln(1.25) + 0.5 * np.log(1.5 * np.pi),
    ),
    "laplace, with a kink": (lambda x: jnp.abs(x - 0.3), constraints.real, np.log(2.0)),
    "spike on a broad well": (
        *two_wells((0.0, 1.0), (5.0123, 0.003), 0.003)[:1],
        constraints.real,
        two_wells((0.0, 1.0), (5.0123, 0.003), 0.003)[1],
    ),
    "two far spikes": (
        *two_wells((-50.0, 1e-3), (5.0123, 3e-5), 0.03)[:1],
        constraints.real,
        two_wells((-50.0, 1e-3), (5.0123, 3e-5), 0.03)[1],
    ),
    "wall": (
        lambda x: jnp.where(x < 0.7, jnp.inf, x**2),
        constraints.real,
        np.log(np.sqrt(np.pi) / 2 * special.erfc(0.7)),
    ),
    "exponential": (lambda x: x, constraints.positive, 0.0),
    "gamma": (
        lambda x: 2.0 * x - 2.0 * jnp.log(x),
        constraints.positive,
        special.gammaln(3.0) - 3.0 * np.log(2.0),
    ),
    "gamma, singular": (
        lambda x: x + 0.95 * jnp.log(x),
        constraints.positive,
        special.gammaln(0.05),
    ),
    "half cauchy": (lambda x: jnp.log1p(x**2), constraints.positive, np.log(np.pi / 2)),
    "uniform": (lambda x: 0.0 * x, constraints.unit_interval, 0.0),
    "beta": (
        lambda x: -jnp.log(x) - 2.0 * jnp.log1p(-x),
        constraints.unit_interval,
        special.betaln(2.0, 3.0),
    ),
    "beta, singular": (
        lambda x: 0.5 * jnp.log(x) + 0.5 * jnp.log1p(-x),
        constraints.unit_interval,
        np.log(np.pi),
    ),
    "interval": (lambda x: x, constraints.interval(1.0, 4.0), np.log(np.exp(-1) - np.exp(-4))),
    "bounded above": (lambda x: -x, constraints.less_than(3.0), 3.0),
    "bounded below": (lambda x: x, constraints.greater_than(-2.0), 2.0),
    "large constant": (lambda x: 0.5 * x**2 + 1e6, constraints.real, 0.5 * LOG_2PI - 1e6),
}


@pytest.mark.parametrize("name", LINE_CASES)
def test_line_partition_functions(name):
    fn, support, truth = LINE_CASES[name]
    density = normalize(from_callable(fn, (), support))
    # Beyond 1 - 2^-52 no float is left for the singular Beta(1/2, 1/2): 9.5e-9 of its mass.
    assert abs(density.log_z - truth) <= (2e-8 if name == "beta, singular" else 1e-8)
    assert abs(density.log_z - truth) <= density.log_z_error + 1e-13
    assert abs(density.other_log_z - truth) <= density.other_log_z_error + 1e-13


@pytest.mark.parametrize(
    ("a", "b", "gamma"), [(0.5, 0.0, -2.3), (-3.0, 0.7, 0.0), (0.0, -2.0, 3.0)]
)
def test_quartic_against_arbitrary_precision(a, b, gamma):
    import mpmath

    density = normalize(Quartic(a=a, b=b, gamma=gamma))
    a, b, lam = (float(np.float32(value)) for value in (a, b, np.exp(np.float32(gamma))))
    lam = float(np.exp(np.float64(np.float32(gamma))))
    with mpmath.workdps(30):
        truth = mpmath.quad(
            lambda x: mpmath.exp(-(a * x**2 + b * x + lam * x**4)), [-12, -2, -1, 0, 1, 2, 12]
        )
    assert abs(density.log_z - float(mpmath.log(truth))) < 1e-12


def test_toy_energy_on_its_published_grid():
    energy = from_callable(lambda x: 0.5 * x**2 + 0.1 * x**4, ())
    density = normalize(energy, bounds=(-6.0, 6.0))
    assert np.exp(density.log_z) == pytest.approx(2.1497059285906, abs=1e-12)
    np.testing.assert_allclose(
        density.density([0.0, 1.0, 2.0]), [0.465180, 0.255296, 0.012710], atol=5e-7
    )
    assert float(density.variance()) == pytest.approx(0.615527, abs=5e-7)
    coarse = normalize(energy, bounds=(-6.0, 6.0), num_intervals=24)
    assert coarse.rule == "trapezoid"
    assert coarse.num_intervals == 24
    trapezoid, simpson = (np.exp(z - density.log_z) - 1 for z in (coarse.log_z, coarse.other_log_z))
    assert 1e-8 < abs(trapezoid) < 1e-7
    assert 1e-4 < abs(simpson) < 1e-3


def test_simpson_wins_where_the_density_is_cut():
    density = normalize(from_callable(lambda x: x, ()), bounds=(0.0, 1.0), num_intervals=64)
    assert density.rule == "simpson"
    assert density.log_z == pytest.approx(np.log(1 - np.exp(-1)), abs=1e-8)


@pytest.mark.parametrize(
    ("fn", "support"),
    [
        (lambda x: x, constraints.real),
        (lambda x: -(x**2), constraints.real),
        (lambda x: x**3, constraints.real),
        (lambda x: 0.5 * jnp.log1p(x**2), constraints.real),
        (lambda x: 0.0 * x, constraints.real),
        (lambda x: 0.0 * x, constraints.positive),
        (lambda x: jnp.log(x), constraints.positive),
        (lambda x: x + 0.99 * jnp.log(x), constraints.positive),
        (lambda x: jnp.inf + 0.0 * x, constraints.real),
    ],
)
def test_refuses_what_does_not_normalise(fn, support):
    with pytest.raises(NotNormalizableError, match="CallableEnergy"):
        normalize(from_callable(fn, (), support))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x[0] ** 2,
        lambda x: 0.0 * x[0],
        lambda x: jnp.log1p(x @ x),
        lambda x: x[0] ** 2 - x[1] ** 2,
        lambda x: (x[1] - x[0] ** 2) ** 2,
    ],
)
def test_refuses_what_does_not_normalise_in_the_plane(fn):
    with pytest.raises(NotNormalizableError, match="CallableEnergy"):
        normalize(from_callable(fn, (2,)))


def test_finite_bounds_admit_what_does_not_normalise():
    density = normalize(from_callable(lambda x: -(x**2), ()), bounds=(-1.0, 1.0))
    assert density.log_z == pytest.approx(np.log(np.sqrt(np.pi) * special.erfi(1.0)), abs=1e-9)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x * jnp.nan, "NaN"),
        (lambda x: x**2 + jnp.where(jnp.abs(x - 1.0) < 0.5, jnp.nan, 0.0), "NaN at x = 0.5"),
        (lambda x: x**2 + jnp.where(jnp.abs(x - 1.0) < 0.5, -jnp.inf, 0.0), "-inf at x = 0.5"),
    ],
)
def test_names_the_point_of_a_non_finite_energy(fn, message):
    with pytest.raises(NonFiniteEnergyError, match=message):
        normalize(from_callable(fn, ()))


def test_ignores_overflow_far_beyond_the_mass():
    # exp(x) - exp(x) is inf - inf = NaN where x > 709.
    density = normalize(from_callable(lambda x: 0.5 * x**2 + (jnp.exp(x) - jnp.exp(x)), ()))
    assert density.log_z == pytest.approx(0.5 * LOG_2PI, abs=1e-12)


def test_refuses_bad_arguments():
    energy = from_callable(lambda x: 0.5 * jnp.sum(x**2), (4,))
    with pytest.raises(ValueError, match="one to three coordinates"):
        normalize(energy)
    with pytest.raises(ValueError, match=r"energy.support"):
        normalize(from_callable(lambda x: jnp.sum(x), (2,), constraints.ordered_vector))
    line = from_callable(lambda x: 0.5 * x**2, ())
    with pytest.raises(ValueError, match="multiple of four"):
        normalize(line, num_intervals=30)
    with pytest.raises(ValueError, match="lower end below"):
        normalize(line, bounds=(1.0, -1.0))
    with pytest.raises(ValueError, match="in the support"):
        normalize(from_callable(lambda x: x, (), constraints.positive), bounds=(-1.0, 1.0))
    with pytest.raises(ValueError, match="relative_tolerance"):
        normalize(line, relative_tolerance=0.0)
