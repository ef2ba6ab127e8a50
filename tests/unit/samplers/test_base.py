"""The plumbing of the base class that no single kernel shows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, Gibbs

from ebm_ppl import as_model
from ebm_ppl.energies import from_callable
from ebm_ppl.samplers import (
    MALA,
    MAMS,
    MCLMC,
    AbstractKernel,
    ChEESHMC,
    Langevin,
    RandomWalkMetropolis,
    ReplicaExchange,
    UnderdampedLangevin,
    WhitenedTarget,
)
from ebm_ppl.samplers._numpyro.starts import CompiledOnce

pytestmark = pytest.mark.usefixtures("light_compilation")


def standard(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2)


def test_a_kernel_without_claims_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must claim bias_order, reversible, .*; Unclear does not"):

        class Unclear(AbstractKernel):
            exact = True


def test_a_target_evaluates_in_whitened_coordinates() -> None:
    root = jnp.array([[2.0, 0.0], [1.0, 3.0]])
    origin, position = jnp.array([1.0, -1.0]), jnp.array([0.5, 2.0])
    point = WhitenedTarget(standard, origin, root).evaluate(position)
    z = origin + root @ position
    np.testing.assert_allclose(point.z, z)
    np.testing.assert_allclose(point.potential_energy, standard(z))
    expected = jax.grad(lambda w: standard(origin + root @ w))(position)
    np.testing.assert_allclose(point.gradient, expected)
    assert WhitenedTarget(standard, origin, root, uses_gradient=False).evaluate(z).gradient is None


def test_a_resumed_ensemble_gets_a_key_per_chain() -> None:
    kernel = MALA(potential_fn=standard)
    state = kernel.init(jax.random.split(jax.random.key(0), 3), 0, jnp.zeros((3, 2)))
    assert kernel.is_ensemble_kernel
    resumed = state._replace(rng_key=jax.random.key(1))
    assert resumed.rng_key.shape == (3,)
    single = kernel.init(jax.random.key(0), 0, jnp.zeros(2))
    assert not kernel.is_ensemble_kernel
    assert single._replace(rng_key=jax.random.key(1)).rng_key.shape == ()


def test_rejection_leaves_the_state_untouched_to_the_last_bit() -> None:
    kernel = RandomWalkMetropolis(
        potential_fn=standard, step_size=1e3, inverse_mass_matrix=jnp.full(2, 0.3)
    )
    state = kernel.init(jax.random.key(0), 0, jnp.array([0.1, 1 / 3]))
    new = jax.jit(kernel.sample)(state)
    assert float(new.accept_prob) < 1e-3
    np.testing.assert_array_equal(new.z, state.z)
    np.testing.assert_array_equal(new.potential_energy, state.potential_energy)


@pytest.mark.filterwarnings("ignore:Out-of-support values")
def test_gibbs_refuses_supports_that_depend_on_other_sites() -> None:
    def model() -> None:
        lower = numpyro.sample("lower", dist.Normal(0.0, 1.0))
        numpyro.sample("above", dist.Uniform(lower, lower + 1.0))

    blocks: Any = Gibbs([(MALA(model), ["lower"]), (MALA(model), ["above"])])
    mcmc = MCMC(blocks, num_warmup=0, num_samples=1, progress_bar=False)
    with pytest.raises(ValueError, match="do not depend on other sites; got "):
        mcmc.run(jax.random.key(0))


def test_supports_that_depend_on_other_sites_are_replayed() -> None:
    def model() -> None:
        lower = numpyro.sample("lower", dist.Normal(0.0, 1.0))
        numpyro.sample("above", dist.Uniform(lower, lower + 1.0))

    kernel = MALA(model)
    state = kernel.init(jax.random.key(0), 0)
    values = kernel.get_constrain_fn()({**state.z, "lower": jnp.asarray(5.0)})
    assert float(values["above"]) > 5.0


def test_initial_positions_of_new_model_arguments_are_drawn_anew() -> None:
    def model(low: jax.Array) -> None:
        numpyro.sample("x", dist.Uniform(low, low + 1.0))

    kernel = MALA(model)
    keys = jax.random.split(jax.random.key(0), 2)
    for low in (jnp.asarray(0.0), jnp.asarray(7.0)):
        state = kernel.init(keys, 0, None, (low,), {})
        x = jax.vmap(kernel.postprocess_fn((low,), {}))(state.z)["x"]
        assert bool(jnp.all((x > low) & (x < low + 1)))


def test_what_is_compiled_depends_on_where_arguments_stand() -> None:
    """The same array as another argument is another thing to close over."""
    array, compiled = jnp.ones(2), CompiledOnce()
    first = compiled(lambda x: x + 1, ((array,), {}))
    assert compiled(lambda x: x + 2, ((array,), {})) is first
    second = compiled(lambda x: x + 2, ((), {"y": array}))
    assert (float(first(0.0)), float(second(0.0))) == (1.0, 2.0)


@pytest.mark.parametrize("matrix", [np.array([2.0, 1.0]), jnp.array([[2.0, 0.5], [0.5, 1.0]])])
def test_a_kernel_with_a_mass_matrix_is_built_inside_a_trace(matrix: Any) -> None:
    kernel = MALA(
        potential_fn=standard, inverse_mass_matrix=matrix, dense_mass=np.ndim(matrix) == 2
    )

    def draw(rng_key: jax.Array) -> jax.Array:
        return kernel.sample(kernel.init(rng_key, 0, jnp.zeros(2))).z

    np.testing.assert_allclose(jax.jit(draw)(jax.random.key(0)), draw(jax.random.key(0)), rtol=1e-6)


def _without_latent_sites() -> None:
    numpyro.deterministic("w", jnp.ones(2))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=0.3)


KERNELS = [MALA, RandomWalkMetropolis, Langevin, UnderdampedLangevin, ChEESHMC, MAMS, MCLMC]


@pytest.mark.parametrize("chain_method", ["sequential", "vectorized"])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_a_model_without_latent_sites_has_empty_draws(
    kernel: Callable[..., AbstractKernel], chain_method: str
) -> None:
    mcmc = MCMC(
        kernel(_without_latent_sites),
        num_warmup=3,
        num_samples=4,
        num_chains=2,
        chain_method=chain_method,
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0))
    draws = mcmc.get_samples(group_by_chain=True)
    assert list(draws) == ["w"]
    np.testing.assert_array_equal(draws["w"], jnp.ones((2, 4, 2)))
    state: Any = mcmc.last_state
    assert jnp.all(state.mean_accept_prob == 1.0)
    assert not mcmc.get_extra_fields()["diverging"].any()


def test_replica_exchange_has_nothing_to_heat_there() -> None:
    kernel = ReplicaExchange(MALA(_without_latent_sites))
    with pytest.raises(ValueError, match="got a model without latent sites"):
        kernel.init(jax.random.key(0), 0)


# Starts of an energy


@pytest.mark.parametrize("batched", [False, True])
def test_an_energy_starts_where_numpyro_has_a_model_start(batched: bool) -> None:
    """From the same keys, to the last bit, and only where potential and gradient are finite."""
    edge = from_callable(lambda x: jnp.where(x[0] > 1, 0.5 * jnp.sum(x**2), jnp.nan), (2,))
    key = jax.random.split(jax.random.key(5), 6) if batched else jax.random.key(5)
    registered = as_model(edge)
    ours = MALA(registered).init(key, 10)
    theirs = MALA(lambda: registered()).init(key, 10)
    np.testing.assert_array_equal(ours.z["x"], theirs.z["x"])
    assert np.all(np.isfinite(ours.potential_energy))
    assert np.all(ours.z["x"][..., 0] > 1)


def test_an_energy_that_is_finite_nowhere_asks_for_a_start() -> None:
    nowhere = as_model(from_callable(lambda x: jnp.nan * x, ()))
    with pytest.raises(ValueError, match=r"`init_params` must be given .* for 3 of 3 chains"):
        MALA(nowhere).init(jax.random.split(jax.random.key(0), 3), 10)
    no_slope = as_model(from_callable(lambda x: jnp.sqrt(x - jax.lax.stop_gradient(x)), ()))
    with pytest.raises(ValueError, match="for 1 of 1 chains"):
        MALA(no_slope).init(jax.random.key(0), 10)
    RandomWalkMetropolis(no_slope).init(jax.random.key(0), 10)  # which asks for no gradient


def test_the_model_of_an_energy_takes_no_arguments() -> None:
    registered = as_model(from_callable(lambda x: 0.5 * x**2, ()))
    with pytest.raises(TypeError, match="The model of an energy takes no arguments; got"):
        MALA(registered).init(jax.random.key(0), 10, model_args=(jnp.ones(3),))
