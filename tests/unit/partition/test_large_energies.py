"""A constant beside an energy changes no error of log Z, or the error counts what rounding has lost."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from ebm_ppl.annealing import GeometricPath
from ebm_ppl.energies import from_callable
from ebm_ppl.partition import (
    AnnealingSchedule,
    ResolutionWarning,
    annealed_importance_sampling,
    bridge_sampling,
    importance_sampling,
    reverse_annealed_importance_sampling,
    sequential_monte_carlo,
    thermodynamic_integration,
)
from ebm_ppl.partition._lowered import lowered

KEY = jax.random.key(0)
SCHEDULE = AnnealingSchedule(jnp.linspace(0.0, 1.0, 11), jnp.full(10, 0.4))
LOG_Z = float(np.log(2 * np.pi))


def normal(constant, grid=0.0):
    """A standard normal law in the plane about (1, 1); on a grid its energies are multiples of a number."""

    def energy(x):
        value = 0.5 * jnp.sum((x - 1.0) ** 2)
        return constant + (grid * jnp.round(value / grid) if grid else value)

    return from_callable(energy, event_shape=(2,))


def draws():
    return 1.0 + jax.random.normal(jax.random.key(1), (4, 250, 2))


ESTIMATORS = {
    "importance": lambda energy: importance_sampling(
        energy, dist.Normal(0.5, 1.5).expand((2,)), KEY
    ),
    "annealed": lambda energy: annealed_importance_sampling(energy, KEY, schedule=SCHEDULE),
    "reverse": lambda energy: reverse_annealed_importance_sampling(
        energy, draws().reshape(-1, 2), KEY, schedule=SCHEDULE
    ),
    "particles": lambda energy: sequential_monte_carlo(
        energy, KEY, num_particles=100, schedule=SCHEDULE
    ),
    "bridge": lambda energy: bridge_sampling(energy, draws(), KEY),
}


def quietly(estimate, energy):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResolutionWarning)
        return estimate(energy)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_constant_that_loses_no_digits_changes_nothing(name):
    """Energies that are multiples of 1/16 are exact beside 2^19, so the same random numbers do the same."""
    estimate = ESTIMATORS[name]
    without, beside = (
        quietly(estimate, normal(constant, 0.0625)) for constant in (0.0, -(2.0**19))
    )
    assert beside.log_z - 2.0**19 == pytest.approx(without.log_z, abs=2e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_rounding_loses_is_in_the_error(name):
    """Beside 1e8 float32 resolves energies to 8, which hides a normal law: the error says so, by name."""
    with pytest.warns(ResolutionWarning, match=r"resolves them to 12.*jax_enable_x64"):
        estimate = ESTIMATORS[name](normal(1e8))
    assert abs(estimate.log_z + 1e8 - LOG_Z) < estimate.std_error
    if estimate.interval is not None:
        assert estimate.interval[0] < LOG_Z - 1e8 < estimate.interval[1]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_energies_of_usual_size_warn_of_nothing(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate = ESTIMATORS[name](normal(100.0))
    assert estimate.diagnostics["resolution"] < 2e-5


@pytest.mark.slow
def test_thermodynamic_integration_has_the_constant_too():
    run = lambda energy: thermodynamic_integration(energy, KEY, num_draws=20, num_warmup=20)  # noqa: E731
    without, beside = (quietly(run, normal(constant, 0.0625)) for constant in (0.0, 2.0**19))
    assert beside.log_z + 2.0**19 == pytest.approx(without.log_z, abs=2e-4)
    np.testing.assert_allclose(
        beside.diagnostics["integrand"] + 2.0**19, without.diagnostics["integrand"], atol=1e-3
    )


def test_no_reference_is_taken_from_energies_that_spread():
    """One from far away would take digits from the energies where the target is."""
    path, reference = lowered(GeometricPath(from_callable(lambda x: 1e6 * x**2, ())), KEY)
    assert reference == 0
    assert float(path.energy(jnp.asarray(1e-3))) == pytest.approx(1.0, rel=1e-6)


def test_x64_is_the_remedy():
    with jax.enable_x64(True):
        energy = from_callable(lambda x: 1e8 + 0.5 * jnp.sum((x - 1.0) ** 2), event_shape=(2,))
        estimate = importance_sampling(
            energy, dist.Normal(0.5, 1.5).expand((2,)), KEY, num_draws=1_000
        )
    assert estimate.diagnostics["resolution"] < 1e-7
    assert abs(estimate.log_z + 1e8 - LOG_Z) < 5 * estimate.std_error
