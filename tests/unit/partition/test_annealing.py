"""Paths and schedules: what lies at their ends, what a step weighs, and who is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpyro.distributions import constraints

import ebm_ppl as ebm
from ebm_ppl.annealing import (
    GeometricPath,
    LinearPath,
    conditional_ess,
    default_base,
    next_inverse_temperature,
    power_schedule,
    reverse_conditional_ess,
)
from ebm_ppl.energies import (
    Gamma,
    Gaussian,
    Ising,
    Quartic,
    RestrictedBoltzmannMachine,
    from_callable,
)
from ebm_ppl.partition import annealed_importance_sampling
from ebm_ppl.partition._moves import CompensatedSum
from ebm_ppl.partition._resampling import systematic_resample
from ebm_ppl.quadrature import enumerate_states, normalize

MACHINE = RestrictedBoltzmannMachine(
    [[1.5, -0.5], [0.3, 2.0], [-1.0, 0.7]], [0.2, -0.4, 0.1], [-0.3, 0.6]
)
STATES = jnp.array(np.stack(np.meshgrid(*[[0.0, 1.0]] * 3), -1).reshape(-1, 3))
PATHS = {
    "normal": GeometricPath(Quartic(), dist.Normal(0.5, 2.0)),
    "positive": GeometricPath(Gamma(3.0, 1.0)),
    "machine": LinearPath.from_means(MACHINE, [0.2, 0.5, 0.9]),
}


def points(path):
    return path.sample_base(jax.random.key(0), 20)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_ends_at_the_energy_and_begins_at_its_base(name):
    path = PATHS[name]
    x = points(path)
    end, energy = (jax.vmap(law)(x) for law in (path.at(jnp.ones(())), path.energy))
    np.testing.assert_allclose(end, energy, rtol=1e-5, atol=1e-5)
    assert bool(jnp.all(path.energy.support(x)))


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("step", [(0.0, 0.3), (0.3, 0.31), (0.9, 0.2), (0.4, 0.0)])
def test_a_step_weighs_the_difference_of_the_energies(name, step):
    path, (start, end) = PATHS[name], jnp.array(step)
    x = points(path)
    weight = jax.vmap(lambda x: path.log_ratio(x, start, end))(x)
    expected = jax.vmap(path.at(start))(x) - jax.vmap(path.at(end))(x)
    np.testing.assert_allclose(weight, expected, rtol=2e-5, atol=2e-5)


def test_default_bases_are_images_of_normal_or_logistic_laws():
    z = jnp.array([0.3, -1.2])
    on_plane = default_base(Gaussian([5.0, 0.0], jnp.eye(2)))
    np.testing.assert_allclose(on_plane.log_prob(z), dist.Normal().log_prob(z).sum(), rtol=1e-6)
    on_half_line = default_base(Gamma(3.0, 1.0))
    np.testing.assert_allclose(
        on_half_line.log_prob(jnp.exp(z)), dist.Logistic(0.0, 2.0).log_prob(z) - z, rtol=1e-6
    )


def test_default_bases_cover_the_support():
    draws = default_base(Gamma(3.0, 1.0)).sample(jax.random.key(0), (100,))
    assert float(draws.min()) > 0


@pytest.mark.parametrize(
    ("energy", "values"),
    [
        (from_callable(jnp.sum, (2, 2), constraints.boolean), (0.0, 1.0)),
        (Ising((3, 3), 0.4), (-1.0, 1.0)),
        (from_callable(jnp.sum, (3,), constraints.integer_interval(-1, 1)), (-1.0, 0.0, 1.0)),
    ],
)
def test_default_bases_of_states_are_uniform(energy, values):
    """Shares of values in 20,000 draws, each at 5.5 standard errors: false alarms below 2e-6."""
    base = default_base(energy)
    size = energy.event_size
    draws = np.asarray(base.sample(jax.random.key(0), (100, 200))).reshape(20_000, size)
    share = 1 / len(values)
    for value in values:
        found = np.mean(draws == value, axis=0)
        assert np.all(np.abs(found - share) < 5.5 * np.sqrt(share * (1 - share) / 20_000))
    log_prob = base.log_prob(jnp.full((2, *energy.event_shape), values[0]))
    np.testing.assert_allclose(log_prob, np.full(2, -size * math.log(len(values))), rtol=1e-6)


@pytest.mark.slow
def test_states_without_a_path_of_their_own_begin_alike():
    """Of a lattice of spins, with Gibbs with gradients; the interval is at a level of one in 10,000."""
    energy = Ising((3, 3), 0.4)
    found = annealed_importance_sampling(energy, jax.random.key(0), num_steps=9, level=0.9999)
    assert found.interval is not None
    assert found.interval[0] < enumerate_states(energy).log_z < found.interval[1]
    assert found.std_error < 0.1


@pytest.mark.parametrize("energy", [Quartic(), Ising((3, 3), 0.4)])
def test_a_base_with_a_number_for_its_normaliser_has_draws(energy):
    """Also where it is an argument of compiled code, as its parameters are then."""
    law = enumerate_states(energy) if energy.support.is_discrete else normalize(energy)
    path = GeometricPath(energy, ebm.EnergyDistribution(energy, log_z=float(law.log_z)))
    draws = jax.jit(lambda path: path.sample_base(jax.random.key(0), 4))(path)
    assert draws.shape == (4, *energy.event_shape)
    estimate = annealed_importance_sampling(path, jax.random.key(1), schedule=1, num_chains=16)
    assert estimate.log_z == pytest.approx(float(law.log_z), abs=1e-4)  # the target is its own base


def test_batch_axes_of_a_base_are_coordinates():
    path = GeometricPath(Gaussian(jnp.zeros(3), jnp.eye(3)), dist.Normal(jnp.zeros(3), 1.0))
    weight = path.log_ratio(jnp.ones(3), jnp.zeros(()), jnp.ones(()))
    assert float(weight) == pytest.approx(1.5 * math.log(2 * math.pi), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: GeometricPath(Quartic(), 3.0), TypeError, "a NumPyro distribution; got float"),
        (
            lambda: GeometricPath(Quartic(), dist.Gamma(1.0, 1.0)),
            ValueError,
            "must have the energy's support",
        ),
        (
            lambda: GeometricPath(Quartic(), dist.Normal(jnp.zeros(2), 1.0)),
            ValueError,
            r"Expected `base` of shape \(\); got \(2,\)",
        ),
        (
            lambda: GeometricPath(Quartic(), ebm.EnergyDistribution(Quartic())),
            ValueError,
            "must be normalised",
        ),
        (
            lambda: default_base(from_callable(jnp.sum, (2,), constraints.nonnegative_integer)),
            ValueError,
            "`base` must be given",
        ),
        (lambda: power_schedule(0), ValueError, "`num_steps` must be an integer of at least 1"),
        (lambda: power_schedule(3, 0.0), ValueError, "`power` must be a finite number above 0"),
    ],
)
def test_refuses_laws_that_do_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


@given(st.sampled_from([1, 3, 40]), st.floats(0.0, 3.0), st.integers(0, 100))
def test_conditional_effective_sample_size(count, spread, seed):
    rng = np.random.default_rng(seed)
    weights, steps = rng.normal(size=(2, count)) * spread
    share = float(conditional_ess(jnp.asarray(weights), jnp.asarray(steps)))
    normalised = np.exp(weights) / np.exp(weights).sum()
    expected = (normalised @ np.exp(steps)) ** 2 / (normalised @ np.exp(2 * steps))
    assert share == pytest.approx(expected, rel=1e-4)
    assert share <= 1 + 1e-5


def test_the_effective_sample_size_of_the_step_back():
    # Under N(0, 1) the mean of v = exp(-z^2 / 4) is sqrt(2 / 3), that of 1 / v is sqrt(2).
    z = jnp.asarray(np.random.default_rng(0).normal(size=400_000))
    back = float(reverse_conditional_ess(-(z**2) / 4))
    exact = float(1 / (np.sqrt(2 / 3) * np.sqrt(2)))
    assert back == pytest.approx(exact, rel=0.02)
    walls = jnp.array([0.0, 0.0, -jnp.inf])
    assert float(reverse_conditional_ess(walls)) == pytest.approx(1.0)


def test_the_next_temperature_keeps_to_the_threshold():
    def step_ess(end):
        return jnp.exp(-((end - 0.2) ** 2))

    end = next_inverse_temperature(step_ess, jnp.array(0.2), jnp.array(0.9))
    assert float(end) == pytest.approx(0.2 + math.sqrt(-math.log(0.9)), abs=1e-5)
    assert next_inverse_temperature(step_ess, jnp.array(0.2), jnp.array(0.1)) == 1.0


@given(st.sampled_from([1, 7, 40]), st.integers(0, 1000))
def test_systematic_resampling_rounds_the_expected_counts(count, seed):
    log_weights = jax.random.normal(jax.random.key(seed), (count,)) * 2
    chosen = systematic_resample(jax.random.key(seed + 1), log_weights)
    counts = np.bincount(np.asarray(chosen), minlength=count)
    expected = count * np.asarray(jax.nn.softmax(log_weights))
    assert counts.sum() == count
    assert np.all(np.abs(counts - expected) < 1 + 1e-3)


def test_resampling_drops_particles_of_no_weight():
    log_weights = jnp.array([-jnp.inf, 0.0, -jnp.inf, -jnp.inf])
    assert systematic_resample(jax.random.key(0), log_weights).tolist() == [1, 1, 1, 1]


def test_sums_lose_nothing_to_rounding():
    terms = jnp.full(20_000, 0.1, jnp.float32)
    total, _ = jax.lax.scan(lambda c, x: (c.add(x), None), CompensatedSum.zeros(()), terms)
    exact = 20_000 * float(np.float32(0.1))
    assert float(total.total) - float(total.lost) == pytest.approx(exact, rel=1e-9)
    assert float(jnp.sum(terms)) != float(jax.lax.scan(lambda c, x: (c + x, None), 0.0, terms)[0])


def test_a_sum_of_minus_infinity_stays_so():
    total = CompensatedSum.zeros(()).add(jnp.array(-jnp.inf)).add(jnp.array(1.0))
    assert float(total.total - total.lost) == -math.inf
