"""The kernels over an energy's parameters: detailed balance, invariance, refusals."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.infer import MCMC
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.doubly_intractable import (
    EnergySite,
    ExactDraws,
    Exchange,
    NoisyMetropolis,
    normalized,
)
from ebm_ppl.doubly_intractable._sites import energy_sites
from ebm_ppl.energies import AbstractEnergy, Gaussian, Quartic, as_parameter, from_callable
from ebm_ppl.partition import EnumerationNormalizer
from ebm_ppl.quadrature import QuadratureNormalizer

pytestmark = pytest.mark.usefixtures("light_compilation")

KEY = jax.random.key(0)
NORMALIZER = QuadratureNormalizer(bounds=(-7.0, 7.0), num_intervals=128)


class Pair(AbstractEnergy):
    """Two units that are on together more often, the larger the coupling."""

    coupling: jax.Array = eqx.field(converter=as_parameter)
    event_shape = (2,)
    support = constraints.independent(constraints.boolean, 1)

    def _energy(self, x):
        return -self.coupling * x[0] * x[1] - 0.3 * x[0] + 0.2 * x[1]


def coupling_model(states):
    coupling = numpyro.sample("coupling", dist.Normal(0.0, 1.5))
    with numpyro.plate("data", len(states)):
        numpyro.sample("x", ebm.EnergyDistribution(Pair(coupling)), obs=states)


ALL_STATES = np.array(list(itertools.product([0.0, 1.0], repeat=2)))


def _energies(coupling):
    """Of all four states."""
    return -coupling * ALL_STATES[:, 0] * ALL_STATES[:, 1] - ALL_STATES @ [0.3, -0.2]


def _log_z(coupling):
    return np.log(np.exp(-_energies(coupling)).sum())


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, None, None, 0))
def _difference(start, end, states, draws):
    """What the kernel takes for the difference of log Z, with given draws of the auxiliary data."""
    kernel = Exchange(coupling_model, lambda site, rng_key: draws)
    sites = [{"x": EnergySite(Pair(c), states)} for c in (start, end)]
    return kernel.log_z_difference(*sites, KEY)


def _acceptance_of_exchange(start, end, numbers):
    """Probability to accept a proposal, the sum over all auxiliary data written out."""
    rows = np.array(list(itertools.product(range(4), repeat=len(numbers))))
    differences = np.asarray(_difference(start, end, ALL_STATES[numbers], ALL_STATES[rows]))
    log_target = [-0.5 * (c / 1.5) ** 2 - _energies(c)[numbers].sum() for c in (start, end)]
    log_prob = -_energies(end)[rows].sum(axis=1) - len(numbers) * _log_z(end)
    ratio = log_target[1] - log_target[0] - differences
    return np.sum(np.exp(log_prob + np.minimum(0.0, ratio)))


def test_exchange_is_in_detailed_balance():
    """Without chance: the flow of posterior mass is the same in both directions."""
    numbers = [3, 1]
    for first, second in ((-0.5, 1.0), (0.2, 2.5)):
        flows = []
        for start, end in ((first, second), (second, first)):
            log_posterior = -0.5 * (start / 1.5) ** 2 - _energies(start)[numbers].sum()
            share = np.exp(log_posterior - 2 * _log_z(start))
            flows.append(share * _acceptance_of_exchange(start, end, numbers))
        np.testing.assert_allclose(*flows, rtol=1e-5)


def test_noisy_metropolis_with_the_exact_log_z_is_metropolis():
    states = jnp.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    kernel = NoisyMetropolis(coupling_model, lambda energy, _: EnumerationNormalizer()(energy))
    sites = [{"x": EnergySite(Pair(c), states)} for c in (-0.5, 1.5)]
    difference = float(jax.jit(kernel.log_z_difference)(*sites, KEY))
    assert abs(difference - 3 * (_log_z(1.5) - _log_z(-0.5))) < 1e-5


# Invariance: parameters from the prior and data given them are one draw from the joint law; a kernel that
# leaves p(theta | x) invariant leaves the parameters distributed as the prior, whatever the data.

NUM_REPLICATES = 4000
NUM_DATA = 5
LEVEL = 1e-7
"""False-alarm rate of each test. With 4,000 replicates it sees a shift by 0.11 prior standard deviations,
or a change of them by 8%, with 99% power."""


def quartic_model(x):
    a = numpyro.sample("a", dist.Normal())
    with numpyro.plate("data", NUM_DATA):
        numpyro.sample("x", ebm.EnergyDistribution(Quartic(a=a, gamma=0.0)), obs=x)


@functools.cache
def _joint_draws(seed):
    """Parameters from the prior, data given them, and a key for each pair."""

    @jax.jit
    @jax.vmap
    def draw(rng_key):
        key_a, key_x, key_chain = jax.random.split(rng_key, 3)
        a = jax.random.normal(key_a)
        law = ebm.EnergyDistribution(Quartic(a=a, gamma=0.0), NORMALIZER)
        return a, law.sample(key_x, (NUM_DATA,)), key_chain

    return draw(jax.random.split(jax.random.key(seed), NUM_REPLICATES))


def _p_value(kernel, num_steps, seed):
    """Of the joint law after some steps being that of the start; mean acceptance probability."""

    @jax.jit
    @jax.vmap
    def run(a, x, rng_key):
        state, accept_prob = jax.lax.scan(
            lambda state, _: (new := kernel.sample(state, (x,)), new.accept_prob),
            kernel.init(rng_key, 0, {"a": a}, (x,)),
            length=num_steps,
        )
        return state.z["a"], jnp.mean(accept_prob)

    before, x, rng_keys = _joint_draws(seed)
    after, accept_prob = (np.asarray(v, np.float64) for v in run(before, x, rng_keys))
    before, statistic = np.asarray(before, np.float64), np.sum(np.square(x), axis=1)
    # The prior alone would not see a kernel that forgets the data.
    change = (after - before) * (statistic - np.mean(statistic))
    p_values = (
        stats.kstest(after, "norm").pvalue,
        2 * stats.norm.sf(abs(np.mean(after**2) - 1) / np.sqrt(2 / NUM_REPLICATES)),
        2 * stats.norm.sf(abs(np.mean(change)) / np.std(change) * np.sqrt(NUM_REPLICATES)),
    )
    return 3 * min(p_values), np.mean(accept_prob)


def _wide_importance(energy, rng_key):
    wide = dist.Normal(0.0, 1.5)
    x = wide.sample(rng_key, (500,))
    log_weights = -jax.vmap(energy)(x) - wide.log_prob(x)
    return jax.nn.logsumexp(log_weights) - jnp.log(500.0)


FIXED = {"step_size": 0.8, "adapt_step_size": False, "adapt_mass_matrix": False}
KERNELS = {
    "exchange": Exchange(quartic_model, ExactDraws(NORMALIZER), **FIXED),
    "exchange with long chains": Exchange(
        quartic_model,
        ebm.Moves(ebm.RandomWalkMetropolis, num_steps=30, step_size=1.0),
        **FIXED,
    ),
    "noisy": NoisyMetropolis(quartic_model, _wide_importance, **FIXED),
}


@pytest.mark.parametrize(
    "name",
    [
        name if name == "exchange" else pytest.param(name, marks=pytest.mark.slow)
        for name in KERNELS
    ],
)
def test_the_joint_law_of_parameters_and_data_is_invariant(name):
    p_value, accept_prob = _p_value(KERNELS[name], num_steps=10, seed=1)
    assert p_value > LEVEL
    assert 0.2 < accept_prob < 0.9


@pytest.mark.parametrize(
    "auxiliary",
    [
        lambda site, rng_key: site.x,  # the data themselves instead of fresh draws
        lambda site, rng_key: jnp.zeros_like(site.x),  # no auxiliary ratio at all
    ],
    ids=["data reused", "ratio left out"],
)
def test_a_wrong_auxiliary_ratio_is_caught(auxiliary):
    p_value, _ = _p_value(Exchange(quartic_model, auxiliary, **FIXED), num_steps=10, seed=1)
    assert p_value < LEVEL


def test_an_observation_that_a_plate_shares_counts_for_each_member():
    """As NumPyro's own likelihood counts it."""

    def shared(state):
        coupling = numpyro.sample("coupling", dist.Normal(0.0, 1.5))
        with numpyro.plate("data", 5):
            numpyro.sample("x", ebm.EnergyDistribution(Pair(coupling)), obs=state)

    values = {"coupling": jnp.asarray(0.7)}
    found = energy_sites(shared, (jnp.ones(2),), {}, values)["x"]
    expected = energy_sites(coupling_model, (jnp.ones((5, 2)),), {}, values)["x"]
    np.testing.assert_array_equal(found.x, expected.x)


def test_run_in_mcmc_and_tune_their_step():
    kernel = Exchange(coupling_model, ExactDraws())
    states = jnp.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    mcmc = MCMC(
        kernel,
        num_warmup=100,
        num_samples=100,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(KEY, states)
    draws = mcmc.get_samples(group_by_chain=True)["coupling"]
    assert draws.shape == (4, 100)
    assert len(np.unique(draws)) > 40
    assert 0.1 < float(jnp.mean(mcmc.last_state.mean_accept_prob)) < 0.6


class TestRefusals:
    def test_of_models_that_need_no_such_kernel(self):
        def known(x):
            a = numpyro.sample("a", dist.Normal())
            numpyro.sample("x", ebm.EnergyDistribution(Quartic(a=a), 0.0).expand([3]), obs=x)

        kernel = Exchange(known, ExactDraws(NORMALIZER))
        state = kernel.init(KEY, 0, {"a": jnp.zeros(())}, (jnp.zeros(3),))
        with pytest.raises(ValueError, match="`model` must have an observed EnergyDistribution"):
            kernel.sample(state, (jnp.zeros(3),))

    @pytest.mark.parametrize("obstacle", ["latent", "scaled or subsampled", "wrapped in a Masked"])
    def test_of_sites_whose_likelihood_is_not_plain(self, obstacle):
        def model(x):
            a = numpyro.sample("a", dist.Normal())
            law = ebm.EnergyDistribution(Quartic(a=a))
            if obstacle == "latent":
                numpyro.sample("x", law)
            elif obstacle.startswith("wrapped"):
                numpyro.sample("x", law.expand([3]).mask(jnp.arange(3) < 2), obs=x)
            else:
                with numpyro.handlers.scale(scale=10.0), numpyro.plate("data", 3):
                    numpyro.sample("x", law, obs=x)

        kernel = Exchange(model, ExactDraws(NORMALIZER))
        params = {"a": jnp.zeros(())} | ({"x": jnp.zeros(())} if obstacle == "latent" else {})
        state = kernel.init(KEY, 0, params, (jnp.zeros(3),))
        with pytest.raises(ValueError, match=f"'x' of `model` must be observed.*{obstacle}"):
            kernel.sample(state, (jnp.zeros(3),))

    def test_of_arguments(self):
        with pytest.raises(ValueError, match="`auxiliary` must be a function of a site"):
            Exchange(quartic_model, 3)
        with pytest.raises(ValueError, match="`log_z` must be a function of an energy"):
            NoisyMetropolis(quartic_model, 3.0)

    def test_draws_of_states_follow_their_law(self):
        """Each of eight shares within 5.5 standard errors, so a false alarm below 3e-7."""
        field = jnp.array([0.5, -1.0, 0.2])
        energy = from_callable(lambda x: field @ x, (3,), constraints.boolean)
        draws = np.asarray(ExactDraws()(EnergySite(energy, jnp.zeros((40_000, 3))), KEY))
        probs = np.exp(-np.asarray(field)) / (1 + np.exp(-np.asarray(field)))
        counts = np.bincount((draws @ [4, 2, 1]).astype(int), minlength=8) / len(draws)
        for number, share in enumerate(counts):
            bits = np.array([number >> 2, number >> 1, number]) & 1
            expected = np.prod(np.where(bits, probs, 1 - probs))
            assert abs(share - expected) < 5.5 * np.sqrt(expected / len(draws))

    def test_of_energies_that_cannot_be_drawn_exactly(self):
        site = EnergySite(Gaussian(jnp.zeros(1), jnp.eye(1)), jnp.zeros((2, 1)))
        with pytest.raises(ValueError, match="`normalizer` must be a QuadratureNormalizer"):
            ExactDraws()(site, KEY)
        many = EnergySite(from_callable(jnp.sum, (17,), constraints.boolean), jnp.zeros((2, 17)))
        with pytest.raises(ValueError, match="at most 65536 states for exact draws; got 131072"):
            ExactDraws()(many, KEY)


def test_all_kernels_take_one_model():
    """Its own text is what makes a model refuse to be evaluated without a partition function."""
    assert normalized(quartic_model, NORMALIZER).fn is quartic_model
    for kernel in KERNELS.values():
        assert kernel._model is quartic_model


def test_exchange_claims_to_be_exact_only_with_draws_that_are():
    """With one step of MALA from the data it is not: draws follow the observations."""

    def model():
        numpyro.sample("a", dist.Normal())

    assert Exchange(model, ExactDraws(NORMALIZER)).exact
    assert not Exchange(model, ebm.Moves(ebm.MALA)).exact
    assert not Exchange(model, lambda site, rng_key: site.x).exact
    assert not NoisyMetropolis(model, NORMALIZER).exact

    def drawn(site, rng_key):
        return ExactDraws(NORMALIZER)(site, rng_key)

    drawn.exact = True
    assert Exchange(model, drawn).exact
