"""Simulation-based calibration: the rank of the true parameter among posterior draws is uniform.

The truth is one draw of the posterior given its data. It is put at a random place of a stationary chain,
which runs from there in both directions, so that with a reversible kernel its rank among the others is
exactly uniform, however slowly the chain mixes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.doubly_intractable import ExactDraws, Exchange, NoisyMetropolis
from ebm_ppl.energies import Ising
from ebm_ppl.partition import EnumerationNormalizer

pytestmark = pytest.mark.slow

NUM_REPLICATIONS = 1000
NUM_OTHERS = 63
THINNING = 5
NUM_DATA = 3
LEVEL = 1e-7
"""False-alarm rate of each test: the band around the distribution function of the ranks is then 0.09 wide on
each side (Dvoretzky, Kiefer and Wolfowitz; Massart), and a departure of 0.14 is seen with 99% power."""

BAND = np.sqrt(np.log(2 / LEVEL) / (2 * NUM_REPLICATIONS))
FIXED = {"step_size": 0.5, "adapt_step_size": False, "adapt_mass_matrix": False}
PRIOR = dist.Normal(0.2, 0.3)


def model(x):
    coupling = numpyro.sample("coupling", PRIOR)
    with numpyro.plate("data", NUM_DATA):
        energy = Ising((3, 3), coupling, periodic=False)
        numpyro.sample("x", ebm.EnergyDistribution(energy), obs=x)


def _ranks(kernel):
    """Rank of the truth in each replication, from 0 to `NUM_OTHERS`."""

    def chain(rng_key, coupling, x):
        state = kernel.init(rng_key, 0, {"coupling": coupling}, (x,))

        def advance(state, _):
            state = jax.lax.fori_loop(0, THINNING, lambda _, s: kernel.sample(s, (x,)), state)
            return state, state.z["coupling"]

        return jax.lax.scan(advance, state, length=NUM_OTHERS)[1]

    @jax.jit
    @jax.vmap
    def replicate(rng_key):
        key_prior, key_x, key_place, *keys = jax.random.split(rng_key, 5)
        coupling = PRIOR.sample(key_prior)
        energy = Ising((3, 3), coupling, periodic=False)
        x = ExactDraws()(
            ebm.doubly_intractable.EnergySite(energy, jnp.zeros((NUM_DATA, 3, 3))), key_x
        )
        place = jax.random.randint(key_place, (), 0, NUM_OTHERS + 1)
        before, after = (chain(key, coupling, x) < coupling for key in keys)
        index = jnp.arange(NUM_OTHERS)
        return jnp.sum(before * (index < place)) + jnp.sum(after * (index < NUM_OTHERS - place))

    return np.asarray(replicate(jax.random.split(jax.random.key(3), NUM_REPLICATIONS)))


@functools.cache
def _distance(way):
    """Largest distance of the ranks' distribution function from the uniform one."""
    kernel = {
        "exchange": lambda: Exchange(model, ExactDraws(), **FIXED),
        "exact log Z": lambda: NoisyMetropolis(
            model, lambda energy, rng_key: EnumerationNormalizer()(energy), **FIXED
        ),
        "no auxiliary ratio": lambda: Exchange(
            model, lambda site, rng_key: jnp.ones_like(site.x), **FIXED
        ),
        "no log Z": lambda: NoisyMetropolis(model, lambda energy, rng_key: 0.0, **FIXED),
    }[way]()
    counts = np.bincount(_ranks(kernel), minlength=NUM_OTHERS + 1)
    expected = np.arange(1, NUM_OTHERS + 2) / (NUM_OTHERS + 1)
    return np.max(np.abs(np.cumsum(counts) / NUM_REPLICATIONS - expected))


@pytest.mark.parametrize("way", ["exchange", "exact log Z"])
def test_ranks_are_uniform(way):
    assert _distance(way) < BAND


@pytest.mark.parametrize("way", ["no auxiliary ratio", "no log Z"])
def test_a_kernel_that_leaves_out_the_partition_function_is_caught(way):
    assert _distance(way) > BAND


def test_the_band_is_that_of_its_level():
    """Massart's bound is conservative: the exact test at the same distance has a lower level."""
    assert stats.kstwo.sf(BAND, NUM_REPLICATIONS) < LEVEL
