"""Weights, annealed or not, and particles are unbiased for Z; planted bugs are seen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer import HMC

import ebm_ppl as ebm
from ebm_ppl.annealing import AbstractPath, GeometricPath, LinearPath
from ebm_ppl.energies import (
    Gamma,
    Gaussian,
    GaussianMixture,
    Quartic,
    RestrictedBoltzmannMachine,
    from_callable,
)
from ebm_ppl.partition import (
    AnnealingSchedule,
    EnumerationNormalizer,
    HeavyTailWarning,
    adaptive_schedule,
    annealed_importance_sampling,
    importance_sampling,
    reverse_annealed_importance_sampling,
    sequential_monte_carlo,
)

KEY = jax.random.key(0)
MACHINE = RestrictedBoltzmannMachine(
    1.5 * jax.random.normal(jax.random.key(1), (8, 4)), -0.5 * jnp.ones(8), jnp.zeros(4)
)
NORMAL = Gaussian([1.0, -1.0], [[0.5, 0.2], [0.2, 1.0]])
NORMAL_LOG_Z = float(np.log(2 * np.pi) + 0.5 * np.log(0.46))


@functools.cache
def log_z():
    """Of the machine."""
    return float(EnumerationNormalizer()(MACHINE))


def standard_error_of_mean(estimate, log_z):
    """How many standard errors the mean of Z's estimates lies above Z."""
    ratios = np.exp(estimate.diagnostics["log_weights"] - log_z)
    return (ratios.mean() - 1) / (ratios.std(ddof=1) / np.sqrt(len(ratios)))


# Means of weights stay within 5.5 standard errors: each alarms falsely in 4e-8 of runs.


@pytest.mark.slow
def test_annealed_weights_are_unbiased_and_planted_bugs_are_seen():
    """Z off by 2% is nine standard errors away."""
    run = functools.partial(annealed_importance_sampling, num_chains=40_000, schedule=30)
    estimate = run(MACHINE, KEY)
    assert abs(standard_error_of_mean(estimate, log_z())) < 5.5
    assert abs(standard_error_of_mean(run(OffBase(MACHINE), KEY), log_z())) > 5.5
    assert abs(standard_error_of_mean(run(MissingStep(MACHINE), KEY), log_z())) > 5.5


class OffBase(AbstractPath):
    """Planted bug: the base law's normaliser is off by 0.02."""

    path: LinearPath

    def __init__(self, machine):
        self.path = LinearPath(machine)

    @property
    def energy(self):
        return self.path.energy

    @property
    def log_z_base(self):
        return self.path.log_z_base + 0.02

    def sample_base(self, rng_key, count):
        return self.path.sample_base(rng_key, count)

    def at(self, inverse_temperature):
        return self.path.at(inverse_temperature)

    def log_ratio(self, x, start, end):
        return self.path.log_ratio(x, start, end)


class MissingStep(OffBase):
    """Planted bug: the weight of the first step is left out."""

    @property
    def log_z_base(self):
        return self.path.log_z_base

    def log_ratio(self, x, start, end):
        return jnp.where(start == 0, 0.0, self.path.log_ratio(x, start, end))


@pytest.mark.parametrize("kernel", [ebm.MALA, ebm.Langevin], ids=["exact", "planted bug"])
def test_a_kernel_without_acceptance_is_seen(kernel):
    estimate = annealed_importance_sampling(
        NORMAL,
        KEY,
        num_chains=20_000,
        schedule=AnnealingSchedule(jnp.linspace(0.0, 1.0, 21), jnp.full(20, 0.3)),
        kernel=kernel,
    )
    is_off = abs(standard_error_of_mean(estimate, NORMAL_LOG_Z)) > 5.5
    assert is_off == (kernel is ebm.Langevin)


@pytest.mark.slow
def test_heated_chains_bracket_the_truth_from_above():
    states = jnp.array(np.stack(np.meshgrid(*[[0.0, 1.0]] * 8), -1).reshape(-1, 8))
    draws = states[jax.random.categorical(KEY, -jax.vmap(MACHINE)(states), shape=(20_000,))]
    heated = reverse_annealed_importance_sampling(MACHINE, draws, KEY, schedule=10)
    assert abs(standard_error_of_mean(heated, -log_z())) < 5.5
    low, high = heated.interval
    assert low < heated.log_z < high
    assert heated.diagnostics["log_bias"] > 0
    # Draws with one unit on, as in one time of nine, are draws of another law.
    wrong = reverse_annealed_importance_sampling(MACHINE, draws[draws[:, 6] == 1], KEY, schedule=10)
    assert abs(standard_error_of_mean(wrong, -log_z())) > 5.5


@pytest.mark.slow
def test_particles_are_unbiased():
    """Z off by 2% is seven standard errors away."""
    estimate = sequential_monte_carlo(MACHINE, KEY, num_particles=100, num_runs=1_000, schedule=10)
    assert abs(standard_error_of_mean(estimate, log_z())) < 5.5
    assert abs(standard_error_of_mean(estimate, log_z() - 0.02)) > 5.5
    assert 0 < estimate.diagnostics["resampled"] < 1
    weights = jax.nn.softmax(estimate.diagnostics["position_log_weights"], axis=1)
    mean = jnp.einsum("rp,rpv->v", weights, estimate.diagnostics["positions"]) / 1_000
    np.testing.assert_allclose(mean, _visible_mean(), atol=0.03)


def _visible_mean():
    grad = jax.grad(
        lambda bias: EnumerationNormalizer()(
            RestrictedBoltzmannMachine(MACHINE.weights, bias, MACHINE.hidden_bias)
        )
    )
    return grad(MACHINE.visible_bias)


@pytest.mark.slow
def test_constrained_supports_are_annealed_in_unconstrained_space():
    estimate = annealed_importance_sampling(Gamma(3.0, 1.0), KEY, num_chains=5_000, threshold=0.9)
    assert abs(standard_error_of_mean(estimate, np.log(2.0))) < 5.5
    positions = estimate.diagnostics["positions"]
    assert positions.shape == (5_000,)
    assert float(positions.min()) > 0


@pytest.mark.slow
def test_numpyro_kernels_move_the_chains():
    kernel = functools.partial(HMC, num_steps=3, adapt_step_size=False, adapt_mass_matrix=False)
    estimate = annealed_importance_sampling(NORMAL, KEY, kernel=kernel, threshold=0.9)
    assert abs(standard_error_of_mean(estimate, NORMAL_LOG_Z)) < 5.5


def test_importance_weights_and_a_mode_that_is_nearly_missed():
    bumps = GaussianMixture([0.5, 0.5], [[0.0], [6.0]], [[[1.0]], [[1.0]]])
    log_z = 0.5 * np.log(2 * np.pi)
    wide = importance_sampling(bumps, dist.Normal(3.0, 5.0).expand((1,)), KEY)
    assert abs(standard_error_of_mean(wide, log_z)) < 5.5
    with pytest.warns(HeavyTailWarning, match="tail of shape k"):
        narrow = importance_sampling(bumps, dist.Normal(0.0, 1.3).expand((1,)), KEY)
    assert narrow.interval is None


@pytest.mark.slow
def test_a_schedule_is_as_fine_as_asked_for():
    target, base = Gaussian([0.0], [[1.0]]), dist.Normal(3.0, 1.0).expand((1,))
    path = GeometricPath(target, base)
    schedule = adaptive_schedule(path, KEY, threshold=0.9, num_particles=4_000)
    # Log weights of a step are normal with deviation 3 * step: its share is exp(-9 step^2).
    steps = np.diff(schedule.inverse_temperatures)[:-1]
    np.testing.assert_allclose(steps, np.sqrt(-np.log(0.9)) / 3, rtol=0.1)
    assert np.all(np.asarray(schedule.step_sizes) > 0)
    with pytest.raises(ValueError, match=r"`threshold` must be lower: 0\.9999999"):
        adaptive_schedule(path, KEY, threshold=0.9999999, num_particles=10)


def test_runs_are_compiled_once():
    traces = []

    def energy(x):
        traces.append(1)
        return jnp.sum(x**2)

    target = from_callable(energy, (2,))
    for seed in range(2):
        annealed_importance_sampling(target, jax.random.key(seed), num_chains=100, schedule=3)
        if seed == 0:
            first = len(traces)
    assert len(traces) == first


def test_chains_where_the_energy_is_infinite_count_nothing():
    box = from_callable(lambda x: jnp.where(jnp.abs(x) < 1, 0.0, jnp.inf), ())
    estimate = importance_sampling(box, dist.Normal(0.0, 1.0), KEY)
    assert abs(standard_error_of_mean(estimate, np.log(2.0))) < 5.5
    broken = from_callable(lambda x: jnp.where(x < 1, 0.0, jnp.nan), ())
    with pytest.raises(ebm.NonFiniteEnergyError, match="A weight is NaN"):
        importance_sampling(broken, dist.Normal(0.0, 1.0), KEY)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: annealed_importance_sampling(Quartic(), KEY, num_chains=1),
            "`num_chains` must be",
        ),
        (lambda: annealed_importance_sampling(Quartic(), KEY, level=1.0), "`level` must be"),
        (lambda: annealed_importance_sampling(Quartic(), KEY, num_steps=0), "`num_steps` must be"),
        (lambda: annealed_importance_sampling(Quartic(), KEY, schedule=0), "`schedule` must be"),
        (
            lambda: annealed_importance_sampling(Quartic(), KEY, schedule=[0.0, 0.7, 0.5, 1.0]),
            "`schedule` must hold inverse temperatures that rise from 0 to 1",
        ),
        (
            lambda: annealed_importance_sampling(
                GeometricPath(Quartic()), KEY, base=dist.Normal(0.0, 1.0)
            ),
            "`base` must be None with a path",
        ),
        (lambda: sequential_monte_carlo(Quartic(), KEY, num_runs=1), "`num_runs` must be"),
        (lambda: sequential_monte_carlo(Quartic(), KEY, num_particles=1), "`num_particles` must"),
        (lambda: adaptive_schedule(Quartic(), KEY, threshold=1.0), "`threshold` must be"),
        (
            lambda: importance_sampling(Quartic(), dist.Normal(0.0, 1.0), KEY, num_draws=1),
            "`num_draws` must be",
        ),
        (
            lambda: reverse_annealed_importance_sampling(Quartic(), jnp.zeros((3, 1)), KEY),
            r"Expected `draws` of shape \(num_chains, \*\(\)\)",
        ),
    ],
)
def test_refuses_arguments_outside_their_bounds(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_refuses_a_proposal_that_is_no_law():
    with pytest.raises(TypeError, match="`proposal` must be a NumPyro distribution; got None"):
        importance_sampling(Quartic(), None, KEY)
