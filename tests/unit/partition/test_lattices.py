"""Lattices on the path of their own couplings, against sums over all states and Kaufman's values."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import MCMC

import ebm_ppl as ebm
from ebm_ppl.annealing import GeometricPath, LinearPath, as_path, default_base
from ebm_ppl.energies import (
    AbstractLatentEnergy,
    BoltzmannMachine,
    Gaussian,
    GaussianBernoulliRBM,
    Graph,
    GraphIsing,
    Ising,
    Potts,
    Quartic,
    RestrictedBoltzmannMachine,
)
from ebm_ppl.partition import (
    EnumerationNormalizer,
    annealed_importance_sampling,
    exchange_estimate,
    sequential_monte_carlo,
    thermodynamic_integration,
)
from ebm_ppl.partition._moves import moves_along
from ebm_ppl.partition._pilot import Fineness, as_schedule
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.samplers import BlockGibbs, ReplicaExchange

KEY = jax.random.key(0)
CRITICAL = 0.5 * np.log(1 + np.sqrt(2))
ENERGIES = {
    "ising": Ising((3, 4), 0.4, 0.2),
    "spin glass": GraphIsing(
        [1.0, -0.7, 0.5], [0.3, 0.0, -0.2], Graph(3, [(0, 1), (1, 2), (0, 2)])
    ),
    "potts": Potts(3, 0.9, Graph.lattice((3, 3)), [0.2, -0.3]),
    "boltzmann machine": BoltzmannMachine([1.0, -2.0, 0.5], [0.0, 0.1, 0.2], Graph.complete(3)),
    "restricted machine": RestrictedBoltzmannMachine(
        [[1.5, -0.5], [0.3, 2.0], [-1.0, 0.7]], [0.2, -0.4, 0.1], [-0.3, 0.6]
    ),
}
FIELDS = {  # of the sites where a path begins
    "ising": -0.3,
    "spin glass": [0.4, -0.2, 1.1],
    "potts": [0.5, -0.7],
    "boltzmann machine": [-1.0, 0.0, 0.7],
    "restricted machine": [-1.2, 0.0, 2.1],
}
PATHS = {
    **{name: LinearPath(energy) for name, energy in ENERGIES.items()},
    **{f"{name}, fields": LinearPath(ENERGIES[name], FIELDS[name]) for name in FIELDS},
}
LOG_Z = {
    8: 60.14178,
    16: 238.64226,
}  # of the critical Ising model on a torus, as `kaufman` gives them


def kaufman(size, coupling):
    """Log Z of the Ising model on a square torus of even size (B. Kaufman, 1949, equation 79)."""

    def gamma(number):
        if number == 0:
            return 2 * coupling + np.log(np.tanh(coupling))
        cosh = np.cosh(2 * coupling) / np.tanh(2 * coupling) - np.cos(np.pi * number / size)
        return np.arccosh(cosh)

    even, odd = (np.array([gamma(2 * r + shift) for r in range(size)]) for shift in (0, 1))
    products = [
        np.prod(2 * function(0.5 * size * angles))
        for angles in (odd, even)
        for function in (np.cosh, np.sinh)
    ]
    bonds = 0.5 * size**2 * np.log(2 * np.sinh(2 * coupling))
    return bonds - np.log(2) + np.log(sum(products))


def test_the_exact_values_are_those_of_sums_and_of_print():
    lattice = Ising((4, 4), 0.3)
    assert kaufman(4, 0.3) == pytest.approx(float(EnumerationNormalizer()(lattice)), rel=1e-6)
    for size, value in LOG_Z.items():
        assert kaufman(size, CRITICAL) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("name", ENERGIES)
def test_linear_energies_are_annealed_by_sweeps_along_their_parameters(name):
    path = as_path(ENERGIES[name], None)
    assert isinstance(path, LinearPath)
    assert type(path.at(jnp.asarray(0.3))) is type(ENERGIES[name])
    assert moves_along(None, 1, path).kernel is BlockGibbs
    assert as_path(path, None) is path


@functools.cache
def states_at_base(name):
    return PATHS[name].sample_base(KEY, 50)


def joint(energy, x):
    """Energies of a state, with all states of the hidden units if there are some."""
    if not isinstance(energy, AbstractLatentEnergy):
        return energy(x)[None]
    hidden = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return jax.vmap(lambda h: energy.joint_energy(x, h))(hidden)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_energies_on_the_way_are_mixtures_of_those_at_the_ends(name, share):
    """Of both layers together, if there are two."""
    path = PATHS[name]
    x = states_at_base(name)
    at, base, end = (
        jax.vmap(lambda x, energy=energy: joint(energy, x))(x)
        for energy in (path.at(jnp.asarray(share)), path.base, path.energy)
    )
    np.testing.assert_allclose(at, (1 - share) * base + share * end, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("step", [(0.0, 1.0), (0.2, 0.3), (0.9, 0.2), (0.4, 0.0)])
def test_a_step_weighs_the_difference_of_the_energies(name, step):
    path, (start, end) = PATHS[name], jnp.array(step)
    x = states_at_base(name)
    weights = jax.vmap(lambda x: path.log_ratio(x, start, end))(x)
    expected = jax.vmap(path.at(start))(x) - jax.vmap(path.at(end))(x)
    np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_begins_at_independent_sites(name):
    """Shares of values at every site within 5.5 standard errors: false alarms below 1e-6 over all of them."""
    path = PATHS[name]
    law = enumerate_states(path.at(jnp.zeros(())))
    assert float(path.log_z_base) == pytest.approx(float(law.log_z), rel=1e-6)
    draws = np.asarray(path.sample_base(KEY, 10_000)).reshape(10_000, -1)
    states = law.states.reshape(-1, draws.shape[1])
    for value in np.unique(states):
        share = law.probs @ (states == value)
        bound = 5.5 * np.sqrt(share * (1 - share) / 10_000)
        assert np.all(np.abs(np.mean(draws == value, axis=0) - share) < bound)


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("ising", 0.3),
        ("spin glass", [-0.5, 0.2, 0.9]),
        ("boltzmann machine", [0.1, 0.5, 0.7]),
        ("restricted machine", [0.2, 0.5, 0.9]),
    ],
)
def test_a_path_begins_at_given_means(name, means):
    """Within 5.5 standard errors: false alarms below 1e-6; a shift of 0.06 is seen."""
    path = LinearPath.from_means(ENERGIES[name], means)
    draws = np.asarray(path.sample_base(KEY, 20_000))
    error = 5.5 * draws.std(axis=0) / np.sqrt(20_000)
    assert np.all(np.abs(draws.mean(axis=0) - np.asarray(means)) < error)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        (
            "ising",
            lambda energy: LinearPath(energy, [0.1, 0.2]),
            r"`fields` of shape \(\); got \(2,\)",
        ),
        (
            "potts",
            lambda energy: LinearPath(energy, [0.1]),
            r"`fields` of shape \(\) or \(2,\); got \(1,\)",
        ),
        ("spin glass", lambda energy: LinearPath(energy, np.nan), "`fields` must be finite"),
        ("restricted machine", lambda energy: LinearPath(energy, [0.5]), r"or \(3,\); got \(1,\)"),
        (
            "restricted machine",
            lambda energy: LinearPath.from_means(energy, 1.0),
            r"`means` must be within \(0, 1\); got 1\.0",
        ),
        (
            "spin glass",
            lambda energy: LinearPath.from_means(energy, -1),
            r"`means` must be within \(-1, 1\); got -1",
        ),
        (
            "potts",
            lambda energy: LinearPath.from_means(energy, 0.5),
            "must have sites of two values",
        ),
    ],
)
def test_fields_that_do_not_fit_are_refused(name, make, message):
    with pytest.raises(ValueError, match=message):
        make(ENERGIES[name])


@pytest.mark.parametrize(
    "name",
    [
        "ising",
        "spin glass, fields",
        "potts, fields",
        "boltzmann machine",
        "restricted machine, fields",
    ],
)
def test_annealing_by_sweeps_gives_the_sum_over_all_states(name):
    """Within 5.5 standard errors: false alarms below 4e-8; log Z_0 off by 0.1 is seen."""
    path = PATHS[name]
    estimate = annealed_importance_sampling(path, KEY, schedule=150)
    error = estimate.log_z - float(EnumerationNormalizer()(path.energy))
    assert estimate.std_error < 0.02
    assert abs(error) < 5.5 * estimate.std_error


@pytest.mark.parametrize(
    "energy", [Gaussian([0.0], [[1.0]]), GaussianBernoulliRBM([[1.0]], [0.0], [0.0])]
)
@pytest.mark.parametrize("make", [LinearPath, lambda energy: LinearPath.from_means(energy, 0.5)])
def test_other_energies_are_refused(energy, make):
    with pytest.raises(TypeError, match="`energy` must be an AbstractLinearEnergy, such as Ising"):
        make(energy)


def test_a_base_law_asks_for_a_geometric_path():
    law = default_base(ENERGIES["ising"])
    assert isinstance(as_path(ENERGIES["ising"], law), GeometricPath)


def held(estimate, log_z, half_width):
    low, high = estimate.interval
    return low < log_z < high and high - low < 2 * half_width


@pytest.mark.slow
@pytest.mark.parametrize("size", LOG_Z)
@pytest.mark.parametrize(
    "estimator",
    [annealed_importance_sampling, sequential_monte_carlo, thermodynamic_integration],
    ids=lambda estimator: estimator.__name__,
)
def test_critical_tori_by_default(estimator, size):
    """Kaufman's value within an interval of half-width 0.1; nominal ones miss in 5% of seeds, this is one."""
    assert held(estimator(Ising((size, size), CRITICAL), KEY), LOG_Z[size], 0.1)


@pytest.mark.parametrize("shape", [(8, 8), (2, 2)])
def test_steps_are_divided_until_they_lose_no_more_than_is_allowed(shape):
    """Each pilot step alike, within 2,000 temperatures; steps that are asked for stay as they are."""
    path = LinearPath(Ising(shape, CRITICAL, periodic=False))
    moves = moves_along(None, 1, path)
    pilot, fine, capped = (
        as_schedule(None, path, moves, KEY, told)
        for told in (0.9, Fineness(0.9, 0.04), Fineness(0.9, 1e-6))
    )
    parts = math.ceil(pilot.num_steps * (1 - 0.9) / 0.04)
    assert fine.num_steps == parts * pilot.num_steps
    ladder = np.asarray(pilot.inverse_temperatures)
    np.testing.assert_array_equal(fine.inverse_temperatures[::parts], ladder)
    lengths = np.diff(fine.inverse_temperatures).reshape(pilot.num_steps, -1)
    np.testing.assert_allclose(
        lengths, np.diff(ladder)[:, None] / parts * np.ones_like(lengths), rtol=1e-3
    )
    assert 2_000 - pilot.num_steps < capped.num_steps <= 2_000


def test_other_paths_are_divided_as_the_pilot_has_them():
    path = GeometricPath(Quartic())
    moves = moves_along(None, 1, path)
    ladders = [
        as_schedule(None, path, moves, KEY, told).inverse_temperatures
        for told in (0.9, Fineness(0.9, 0.01))
    ]
    np.testing.assert_array_equal(*ladders)


def by_exchange(energy, num_warmup, num_samples, **options):
    """A run of 32 chains that sweep by blocks and exchange."""
    mcmc = MCMC(
        ReplicaExchange(BlockGibbs(ebm.as_model(energy)), **options),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=32,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(KEY)
    return mcmc


@pytest.mark.slow
def test_a_critical_torus_by_replica_exchange():
    """log Z, the energy per site in units of the coupling, and replicas that travel both ways."""
    energy = Ising((8, 8), CRITICAL)
    mcmc = by_exchange(energy, num_warmup=500, num_samples=2_000, num_replicas=8)
    estimate = exchange_estimate(mcmc)
    assert held(estimate, LOG_Z[8], 0.1)
    assert estimate.diagnostics["round_trip_rate"] > 0.01
    per_site = jax.vmap(jax.vmap(energy))(mcmc.get_samples(group_by_chain=True)["x"])
    chains = np.asarray(per_site.mean(1)) / (64 * CRITICAL)
    # Student's law of 31 degrees of freedom is beyond 6.2 in 7e-7.
    assert abs(chains.mean() + 1.49159) < 6.2 * chains.std(ddof=1) / np.sqrt(32)


@pytest.mark.slow
def test_a_restricted_machine_by_replica_exchange_from_the_means_of_its_data():
    """log Z within 6.2 standard errors, on 31 degrees of freedom in 7e-7 not; replicas travel both ways."""
    machine = RestrictedBoltzmannMachine.random(jax.random.key(2), 10, 6, 1.5)
    path = LinearPath.from_means(machine, np.linspace(0.2, 0.8, 10))
    mcmc = by_exchange(machine, num_warmup=200, num_samples=500, base=path, num_replicas=6)
    estimate = exchange_estimate(mcmc)
    assert abs(estimate.log_z - float(EnumerationNormalizer()(machine))) < 6.2 * estimate.std_error
    assert estimate.std_error < 0.02
    assert estimate.diagnostics["round_trip_rate"] > 0.01
