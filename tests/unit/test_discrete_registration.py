"""Discrete energies as NumPyro potentials, models and distributions, and what is refused one."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pytest
from numpyro.distributions import constraints
from numpyro.infer import HMC, MCMC, NUTS, BarkerMH, Predictive

import ebm_ppl as ebm
from ebm_ppl.energies import RestrictedBoltzmannMachine, from_callable
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.trainers import as_batch

pytestmark = pytest.mark.usefixtures("light_compilation")

KEY = jax.random.key(0)
MACHINE = RestrictedBoltzmannMachine(
    [[1.5, -0.5], [-1.0, 0.8], [0.3, 1.0]], [0.2, -0.4, 0.1], [0.1, -0.3]
)
LEVELS = from_callable(
    lambda x: 0.3 * x[0] + 0.2 * (x[0] - x[1]) ** 2,
    (2,),
    constraints.independent(constraints.integer_interval(-1, 2), 1),
)


@pytest.mark.parametrize("energy", [MACHINE, LEVELS], ids=["binary", "integers"])
def test_tables_hold_the_law(energy):
    table = enumerate_states(energy)
    energies = np.array([float(energy(x)) for x in table.states])
    probs = np.exp(-energies) / np.exp(-energies).sum()
    np.testing.assert_allclose(table.probs, probs, rtol=1e-5)
    np.testing.assert_allclose(table.probs.sum(), 1.0, rtol=1e-14)
    np.testing.assert_allclose(table.log_z, ebm.EnumerationNormalizer().exact(energy), rtol=1e-14)
    np.testing.assert_array_equal(table.number_of(table.states), np.arange(len(table.states)))
    with pytest.raises(ValueError, match="must lie in the energy's support"):
        table.number_of(table.states + 0.5)
    with pytest.raises(ValueError, match="must lie in the energy's support"):
        table.number_of(table.states + 7)


@pytest.mark.parametrize("energy", [MACHINE, LEVELS], ids=["binary", "integers"])
def test_distributions_have_the_moments_of_the_table(energy):
    law = ebm.EnergyDistribution(energy, log_z=ebm.EnumerationNormalizer())
    table = enumerate_states(energy)
    np.testing.assert_allclose(law.log_prob(table.states), table.log_probs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(law.log_prob(table.states.astype(int)), table.log_probs, rtol=1e-5)
    np.testing.assert_allclose(law.mean, table.probs @ table.states, rtol=1e-6)
    second = table.probs @ table.states**2
    np.testing.assert_allclose(law.variance, second - table.mean() ** 2, rtol=1e-5)
    np.testing.assert_allclose(law.entropy(), -table.probs @ table.log_probs, rtol=1e-6)
    assert law.is_discrete
    assert ebm.EnergyDistribution(energy, log_z=table).log_normalizer() == np.float32(table.log_z)


def test_draws_follow_the_table():
    """False alarm: 16 shares at 5.5 standard errors each, 6e-7 in all."""
    table = enumerate_states(LEVELS)
    draws = ebm.EnergyDistribution(LEVELS).sample(KEY, (100, 1000))
    assert draws.shape == (100, 1000, 2)
    share = np.bincount(table.number_of(draws).ravel(), minlength=16) / 100_000
    error = np.sqrt(table.probs * (1 - table.probs) / 100_000)
    assert np.all(np.abs(share - table.probs) < 5.5 * error)


def test_draws_and_moments_need_fixed_parameters():
    @jax.jit
    def draw(machine):
        return ebm.EnergyDistribution(machine).sample(KEY)

    with pytest.raises(NotImplementedError, match="needs fixed parameters"):
        draw(MACHINE)
    with pytest.raises(ValueError, match="at most 1048576 states to be tabulated; got 2097152"):
        enumerate_states(from_callable(jnp.sum, (21,), constraints.boolean))
    with pytest.raises(ValueError, match="finite support of fixed bounds"):
        enumerate_states(ebm.energies.Quartic())


def test_positions_are_states():
    potential = ebm.potential_fn(MACHINE)
    state = jnp.array([1.0, 0.0, 1.0])
    assert potential.position_shape == (3,)
    np.testing.assert_array_equal(potential.constrain(state), state)
    np.testing.assert_array_equal(potential.unconstrain(state), state)
    assert potential(state) == MACHINE(state)


def test_real_kernels_are_refused_a_discrete_energy():
    for source in (
        {"potential_fn": ebm.potential_fn(MACHINE)},
        {"model": ebm.as_model(MACHINE)},
    ):
        for kernel in (ebm.MALA, ebm.RandomWalkMetropolis, ebm.Langevin):
            with pytest.raises(ValueError, match="must be given an energy of real points; got the"):
                kernel(**source)
    kernel = NUTS(potential_fn=ebm.potential_fn(MACHINE))
    with pytest.raises(TypeError, match="The potential of a discrete energy has no gradient"):
        MCMC(kernel, num_warmup=1, num_samples=1).run(KEY, init_params=jnp.zeros(3))
    with pytest.raises(ValueError, match="must be given an energy of real points"):
        ebm.fit(MACHINE, np.eye(3), ebm.PersistentCD(), optax.sgd(0.1), rng_key=KEY, num_steps=1)


def test_the_parameters_of_a_potential_have_their_gradient():
    state = jnp.array([1.0, 0.0, 1.0])
    gradient = jax.grad(lambda machine: ebm.potential_fn(machine)(state))(MACHINE)
    np.testing.assert_array_equal(gradient.visible_bias, -state)


def test_models_start_at_states_or_where_told():
    kernel = ebm.BlockGibbs(ebm.as_model(MACHINE, name="units"))
    init = jax.jit(lambda keys: kernel.init(keys, 0).z["units"])
    start = np.asarray(init(jax.random.split(KEY, 500)))
    # 1500 fair coins: 5.5 standard errors.
    assert set(np.unique(start)) == {0.0, 1.0}
    assert abs(start.mean() - 0.5) < 5.5 * 0.5 / np.sqrt(1500)
    given = {"units": jnp.array([0.0, 1.0, 1.0])}
    state = kernel.init(KEY, 0, given)
    np.testing.assert_array_equal(state.z["units"], given["units"])
    assert state.potential_energy == MACHINE(given["units"])
    with pytest.raises(ValueError, match=r"sites \['units'\]; got \['x'\]"):
        kernel.init(KEY, 0, {"x": given["units"]})
    with pytest.raises(ValueError, match="`wrap_model` needs a model of real sites"):
        kernel.wrap_model(lambda model: model)


def test_observed_states_condition_other_sites():
    """A discrete energy inside a larger model, observed: its log probability is counted."""
    table = enumerate_states(MACHINE)

    def model():
        loc = numpyro.sample("loc", numpyro.distributions.Normal(0.0, 1.0))
        machine = RestrictedBoltzmannMachine(
            MACHINE.weights, MACHINE.visible_bias + loc, MACHINE.hidden_bias
        )
        law = ebm.EnergyDistribution(machine, log_z=ebm.EnumerationNormalizer())
        numpyro.sample("x", law, obs=jnp.asarray(table.states[5], dtype=float))

    log_density, _ = numpyro.infer.util.log_density(model, (), {}, {"loc": jnp.array(0.0)})
    expected = table.log_probs[5] - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_density, expected, rtol=1e-5)


def mixed():
    """A latent discrete energy beside a real site."""
    loc = numpyro.sample("loc", numpyro.distributions.Normal(0.0, 1.0))
    x = numpyro.sample("x", ebm.EnergyDistribution(MACHINE))
    numpyro.sample("y", numpyro.distributions.Normal(loc + x.sum(), 1.0), obs=1.0)


def test_kernels_that_cannot_sample_a_model_of_states_say_which_can():
    for kernel in (NUTS, HMC, BarkerMH):
        mcmc = MCMC(kernel(ebm.as_model(MACHINE)), num_warmup=1, num_samples=1, progress_bar=False)
        with pytest.raises(RuntimeError, match="'for BlockGibbs or GibbsWithGradients only'"):
            mcmc.run(KEY)


def test_states_that_are_latent_in_a_larger_model_are_refused():
    for kernel in (NUTS, ebm.MALA, ebm.RandomWalkMetropolis):
        mcmc = MCMC(kernel(mixed), num_warmup=1, num_samples=1, progress_bar=False)
        with pytest.raises(
            RuntimeError, match="EnergyDistribution distribution at site x does not"
        ):
            mcmc.run(KEY)


def test_what_needs_real_points_is_refused_states():
    two = from_callable(lambda x: 0.3 * x.sum(), (2,), constraints.boolean)
    with pytest.raises(ValueError, match="Sum over its states: EnumerationNormalizer"):
        ebm.quadrature.normalize(two)
    with pytest.raises(ValueError, match="by MCMC with BlockGibbs or GibbsWithGradients"):
        ebm.EnergyDistribution(ebm.energies.Ising((5, 5), 0.4)).sample(KEY)
    normal = numpyro.distributions.Normal(jnp.zeros(3), 1.0).to_event(1)
    coins = numpyro.distributions.Bernoulli(jnp.full(3, 0.5)).to_event(1)
    for energy, noise, message in (
        (
            MACHINE,
            normal,
            "must be a law on states, as RestrictedBoltzmannMachine is; got one on real",
        ),
        (ebm.energies.Gaussian(jnp.zeros(3), jnp.eye(3)), coins, "must be a law on real points"),
    ):
        with pytest.raises(ValueError, match=message):
            ebm.NoiseContrastive(noise).init(energy, as_batch(energy, np.eye(3)), KEY)
    ebm.NoiseContrastive(coins).init(MACHINE, as_batch(MACHINE, np.eye(3)), KEY)


def test_traces_and_predictions_of_discrete_sites_work():
    draws = Predictive(mixed, num_samples=5)(KEY)
    assert draws["x"].shape == (5, 3)
