"""States of discrete laws by NumPyro's name, and what NumPyro's samplers make of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.nn import logsumexp
from numpyro.distributions import constraints
from numpyro.infer import HMC, DiscreteGibbs, DiscreteHMCGibbs, MixedHMC
from numpyro.infer.gibbs import discrete_latent_sites, discrete_support_sizes, prototype_trace
from numpyro.infer.util import log_density

import ebm_ppl as ebm
from ebm_ppl.energies import from_callable
from ebm_ppl.energies._spin import spin
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.quadrature import enumerate_states
from tests.unit.energies.test_every_energy import SHIPPED

pytestmark = pytest.mark.usefixtures("light_compilation")


def numbers(lower: Any, upper: Any) -> ebm.energies.AbstractEnergy:
    return from_callable(
        lambda x: 0.3 * x**2 - 0.8 * x, (), constraints.integer_interval(lower, upper)
    )


LEVELS = numbers(0, 3)
BIT = from_callable(lambda x: 0.7 * x, (), constraints.boolean)
COUNTED = {"levels": LEVELS, "bit": BIT}
OTHERS = {
    "from_one": numbers(1, 3),
    "from_below": numbers(-1, 2),
    "spin": from_callable(lambda x: 0.7 * x, (), spin),
    "levels_of_two": from_callable(
        lambda x: 0.3 * x.sum(), (2,), constraints.integer_interval(0, 2)
    ),
} | {name: energy for name, energy in SHIPPED.items() if StateSpace.of(energy) is not None}
"""Laws whose states are not 0, 1, 2 and so on of one coordinate."""

of_every_law = pytest.mark.parametrize("name", [*COUNTED, *OTHERS])


def law_of(name: str, *log_z: Any) -> ebm.EnergyDistribution:
    return ebm.EnergyDistribution((COUNTED | OTHERS)[name], *log_z)


@of_every_law
def test_states_are_those_of_the_table(name: str) -> None:
    law = law_of(name)
    states = law.enumerate_support()
    np.testing.assert_array_equal(states, enumerate_states(law.energy).states)
    np.testing.assert_array_equal(states, law.enumerate_support(expand=False))
    assert states.dtype == law.sample(jax.random.key(0)).dtype
    assert bool(jnp.all(law.support(states)))


@of_every_law
def test_probabilities_of_all_states_add_up(name: str) -> None:
    states = law_of(name).enumerate_support()
    exact = ebm.EnumerationNormalizer()(law_of(name).energy)
    np.testing.assert_allclose(logsumexp(law_of(name).log_prob(states)), exact, rtol=1e-5)
    normalised = law_of(name, ebm.EnumerationNormalizer())
    np.testing.assert_allclose(logsumexp(normalised.log_prob(states)), 0.0, atol=2e-6)


def test_traced_parameters_have_states_and_gradients() -> None:
    """The derivative of log Z is minus the mean of that of the energy."""

    def log_z(slope: jax.Array) -> jax.Array:
        energy = from_callable(
            jax.tree_util.Partial(lambda slope, x: slope * x, slope), (), constraints.boolean
        )
        law = ebm.EnergyDistribution(energy, log_z=0.0)
        return logsumexp(law.log_prob(law.enumerate_support()))

    slope = jax.jit(jax.grad(log_z))(jnp.array(0.7))
    np.testing.assert_allclose(slope, -jax.nn.sigmoid(-0.7), rtol=1e-6)


@pytest.mark.parametrize("name", COUNTED)
def test_batches_repeat_the_states_or_not(name: str) -> None:
    law = law_of(name).expand([3, 2])
    assert law.has_enumerate_support
    count = StateSpace.of(COUNTED[name]).total
    states = law.enumerate_support()
    assert states.shape == (count, 3, 2)
    assert law.enumerate_support(expand=False).shape == (count, 1, 1)
    assert law.log_prob(states).shape == (count, 3, 2)
    np.testing.assert_array_equal(states[:, 0, 0], np.arange(count))
    assert law.mask(False).enumerate_support().shape == (count, 3, 2)


def test_only_states_that_count_from_zero_are_enumerated_by_numpyro() -> None:
    assert all(law_of(name).has_enumerate_support for name in COUNTED)
    assert not any(law_of(name).has_enumerate_support for name in OTHERS)
    many = ebm.EnergyDistribution(numbers(0, 2**20))
    assert not many.has_enumerate_support
    with pytest.raises(ValueError, match="at most 1048576 states to be tabulated; got 1048577"):
        many.enumerate_support()
    assert ebm.EnergyDistribution(numbers(0, 2**20 - 1)).has_enumerate_support


def test_laws_without_finitely_many_fixed_states_have_none() -> None:
    real = ebm.EnergyDistribution(ebm.energies.Quartic())
    assert not real.has_enumerate_support
    with pytest.raises(ValueError, match="finite support of fixed bounds to be enumerated"):
        real.enumerate_support()

    @jax.jit
    def traced(upper: jax.Array) -> jax.Array:
        return jnp.array(ebm.EnergyDistribution(numbers(0, upper)).has_enumerate_support)

    assert not traced(jnp.array(3))


def observed(name: str) -> Callable[[], None]:
    """A latent state that is seen under noise."""

    def model() -> None:
        x = numpyro.sample("x", law_of(name))
        numpyro.sample("y", dist.Normal(jnp.sum(x), 1.5), obs=1.2)

    return model


def log_weights(name: str) -> jax.Array:
    """Log posterior of each state, up to a constant."""
    states = law_of(name).enumerate_support()
    return jax.vmap(lambda x: log_density(observed(name), (), {}, {"x": x})[0])(states)


def test_states_are_summed_out_of_a_model_by_hand() -> None:
    states = np.arange(4.0)
    prior = np.exp(0.8 * states - 0.3 * states**2)
    likelihood = np.exp(-0.5 * ((1.2 - states) / 1.5) ** 2) / np.sqrt(2 * np.pi) / 1.5
    evidence = logsumexp(log_weights("levels")) - ebm.EnumerationNormalizer()(LEVELS)
    np.testing.assert_allclose(evidence, np.log(prior @ likelihood / prior.sum()), rtol=1e-5)


@pytest.mark.parametrize("modified", [False, True])
def test_gibbs_of_numpyro_samples_levels(modified: bool) -> None:
    """Four shares at 5.5 standard errors of 4,000 chains' ends: false alarm 2e-7."""
    kernel = DiscreteGibbs(observed("levels"), modified=modified)

    def last(key: jax.Array) -> jax.Array:
        state = kernel.init(key, 0, None, (), {})
        return jax.lax.fori_loop(0, 30, lambda _, state: kernel.sample(state, (), {}), state).z["x"]

    ends = jax.jit(jax.vmap(last))(jax.random.split(jax.random.key(0), 4000))
    share = np.bincount(np.asarray(ends, dtype=int), minlength=4) / 4000
    probs = np.asarray(jax.nn.softmax(log_weights("levels")))
    assert np.all(np.abs(share - probs) < 5.5 * np.sqrt(probs * (1 - probs) / 4000))


@pytest.mark.parametrize("plate", [None, 3])
def test_numpyro_knows_the_values_of_each_coordinate(plate: int | None) -> None:
    def model() -> None:
        law = law_of("levels")
        numpyro.sample("x", law if plate is None else law.expand([plate]))

    trace = prototype_trace(model, jax.random.key(0), (), {})
    assert discrete_latent_sites(trace) == ("x",)
    assert discrete_support_sizes(trace, ("x",))["x"].tolist() == (4 if plate is None else [4] * 3)


@pytest.mark.parametrize("name", OTHERS)
def test_samplers_of_numpyro_that_would_sample_others_wrongly_refuse_them(name: str) -> None:
    """They propose 0, ..., K - 1 to each coordinate by itself, K the number of states."""

    def model() -> None:
        numpyro.sample("coin", dist.Bernoulli(0.5))
        observed(name)()

    def beside_a_real_site() -> None:
        numpyro.sample("loc", dist.Normal())
        model()

    for kernel in (
        DiscreteGibbs(model),
        DiscreteHMCGibbs(HMC(beside_a_real_site)),
        MixedHMC(HMC(beside_a_real_site)),
    ):
        with pytest.raises((ValueError, RuntimeError), match=r"sites \['x'\]|at site x does not"):
            kernel.init(jax.random.key(0), 1, None, (), {})
