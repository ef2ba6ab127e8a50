"""`MCMC` here is NumPyro's, to the last bit of every draw; its programs are shared."""

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import numpyro.infer
import pytest

import ebm_ppl as ebm
from ebm_ppl import _numpyro
from tests.unit.test_shared_jit import Compilations, compilations  # noqa: F401  # a fixture

Y = jnp.array([1.0, 2.0, 0.5])
SETTINGS = {"num_warmup": 30, "num_samples": 20, "progress_bar": False}
VECTORISED = {"num_chains": 3, "chain_method": "vectorized"}


def model(y: Any = None) -> None:
    """A hierarchical model with a deterministic site."""
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    x = numpyro.sample("x", dist.Normal(0.0, scale).expand([3]))
    numpyro.deterministic("sum", jnp.sum(x))
    numpyro.sample("y", dist.Normal(jnp.asarray(x), 1.0), obs=y)


def run(host: Any, kernel: Any, fields: tuple[str, ...] = (), **settings: Any) -> Any:
    """What a run leaves behind."""
    mcmc = host(kernel, **{**SETTINGS, **settings})
    mcmc.run(jax.random.key(0), Y, extra_fields=fields)
    return mcmc.get_samples(True), mcmc.get_extra_fields(True), mcmc.last_state


def same(left: Any, right: Any) -> None:
    """Assert that two pytrees have equal arrays, keys among them."""

    def data(leaf: Any) -> np.ndarray:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(data(one), data(other))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(VECTORISED, id="vectorised"),
        pytest.param(
            {**VECTORISED, "thinning": 3, "progress_bar": True},
            id="thinned, with a bar",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {**VECTORISED, "jit_model_args": True}, id="arguments traced", marks=pytest.mark.slow
        ),
        pytest.param(
            {"num_chains": 2, "chain_method": "sequential"}, id="sequential", marks=pytest.mark.slow
        ),
        pytest.param(
            {"num_chains": 2, "chain_method": jax.vmap}, id="mapped", marks=pytest.mark.slow
        ),
    ],
)
def test_draws_are_numpyros_to_the_last_bit(settings: dict[str, Any]) -> None:
    fields = ("potential_energy", "mean_accept_prob")
    plain = {**settings, "progress_bar": False}
    ours = run(ebm.MCMC, ebm.MALA(model), fields, **settings)
    same(ours, run(numpyro.infer.MCMC, ebm.MALA(model), fields, **plain))


@pytest.mark.slow  # kernels of NumPyro take seconds to compile
@pytest.mark.parametrize("kernel", [numpyro.infer.NUTS, numpyro.infer.BarkerMH])
@pytest.mark.parametrize("bar", [False, True])
def test_kernels_of_numpyro_run_likewise(kernel: Any, bar: bool) -> None:
    fields = ("potential_energy", "~z.x")
    ours = run(ebm.MCMC, kernel(model), fields, progress_bar=bar)
    same(ours, run(numpyro.infer.MCMC, kernel(model), fields))


@pytest.mark.slow  # compiles three programs twice
def test_warm_up_that_is_collected_and_runs_that_go_on() -> None:
    runs = []
    for host in (ebm.MCMC, numpyro.infer.MCMC):
        mcmc = host(ebm.MALA(model), **SETTINGS, **VECTORISED)
        mcmc.warmup(jax.random.key(0), Y, collect_warmup=True)
        warmup = mcmc.get_samples()
        mcmc.run(jax.random.key(1), Y)
        first = mcmc.get_samples()
        mcmc.post_warmup_state = mcmc.last_state
        mcmc.run(jax.random.key(2), Y + 1)
        runs.append((warmup, first, mcmc.get_samples()))
    same(*runs)


def test_a_kernel_that_is_made_again_compiles_nothing(
    compilations: Compilations,  # noqa: F811
) -> None:
    def run_at(loc: float) -> float:
        potential = ebm.potential_fn(ebm.energies.Gaussian(jnp.array([loc, 0.0]), jnp.eye(2)))
        mcmc = ebm.MCMC(ebm.MALA(potential_fn=potential), **SETTINGS, **VECTORISED)
        mcmc.run(jax.random.key(0), init_params=jnp.full((3, 2), loc))
        return float(mcmc.get_samples()[:, 0].mean())

    first = run_at(0.0)
    before = compilations.count
    last = run_at(50.0)
    assert compilations.count == before
    assert last - first > 25  # the other energy was sampled


@pytest.mark.slow  # stands beside the test of potentials
@pytest.mark.parametrize("kernel", [ebm.ChEESHMC, ebm.MAMS, ebm.ReplicaExchange])
def test_a_kernel_of_a_model_with_other_data_compiles_nothing(
    kernel: Any,
    compilations: Compilations,  # noqa: F811
) -> None:
    def run_on(y: jax.Array) -> float:
        made = kernel(ebm.MALA(model)) if kernel is ebm.ReplicaExchange else kernel(model)
        mcmc = ebm.MCMC(made, **{**SETTINGS, "num_warmup": 200}, **VECTORISED)
        mcmc.run(jax.random.key(0), y)
        return float(mcmc.get_samples()["x"].mean())

    first = run_on(Y)
    run_on(Y)  # compiles what Python asks of a second kernel alone
    before = compilations.count
    last = run_on(Y + 20)
    assert compilations.count == before
    assert last - first > 5


@pytest.mark.slow
def test_a_kernel_that_does_something_else_is_compiled() -> None:
    """What would slip in if programs were told apart by shapes alone."""

    def run_at(step_size: float, power: int) -> np.ndarray:
        kernel = ebm.MALA(potential_fn=lambda z: jnp.sum(z**power), step_size=step_size)
        mcmc = ebm.MCMC(kernel, **SETTINGS)
        mcmc.run(jax.random.key(0), init_params=jnp.ones(2))
        return np.asarray(mcmc.get_samples())

    assert not np.array_equal(run_at(0.5, 2), run_at(0.5, 4))
    assert not np.array_equal(run_at(0.5, 2), run_at(0.25, 2))


def test_what_a_run_has_to_say_is_said_once_with_and_without_a_bar() -> None:
    flat = lambda z: jnp.where(jnp.abs(z).sum() < 10, 0.0, jnp.nan)  # noqa: E731
    for bar in (False, True):
        kernel = ebm.RandomWalkMetropolis(
            potential_fn=flat, step_size=1e6, adapt_step_size=False, adapt_mass_matrix=False
        )
        mcmc = ebm.MCMC(kernel, **{**SETTINGS, "progress_bar": bar})
        with pytest.warns(RuntimeWarning, match="refused every step") as caught:
            mcmc.run(jax.random.key(0), init_params=jnp.zeros(2))
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_pickles_after_a_run() -> None:
    energy = ebm.energies.Gaussian(jnp.zeros(2), jnp.eye(2))
    mcmc = ebm.MCMC(ebm.MALA(ebm.as_model(energy)), **SETTINGS)
    mcmc.run(jax.random.key(0))
    again = pickle.loads(pickle.dumps(mcmc))
    same(again.get_samples(), mcmc.get_samples())
    again.run(jax.random.key(0))
    same(again.get_samples(), mcmc.get_samples())


@pytest.mark.parametrize("part", _numpyro.MCMC_PARTS)
def test_parts_of_numpyros_mcmc_are_still_there(part: str) -> None:
    kernel = ebm.MALA(potential_fn=lambda z: z**2)
    assert hasattr(numpyro.infer.MCMC(kernel, num_warmup=1, num_samples=1), part), (
        f"NumPyro {numpyro.__version__} has no MCMC.{part}, which ebm_ppl/samplers/mcmc.py uses."
    )
