"""What NumPyro's users may rely on, asked of replica exchange over kernels of both libraries."""

import functools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, NUTS, BarkerMH, Gibbs

from ebm_ppl._precision import float64
from ebm_ppl.partition import exchange_estimate
from ebm_ppl.samplers import MALA, ChEESHMC, RandomWalkMetropolis, ReplicaExchange
from tests.contract import runs
from tests.contract.runs import assert_close, draws

KERNELS = [MALA, ChEESHMC, NUTS]
"""One of each kind: of this package, with a trajectory that all chains share, and of NumPyro."""

STANDS_FOR_THE_REST = MALA
pytestmark = pytest.mark.usefixtures("light_compilation")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every kernel must run; the rest is asked of one of each kind."""
    runs_all = metafunc.function is test_fields_are_collected_and_nothing_is_compiled_twice
    kernels = [*KERNELS, RandomWalkMetropolis, BarkerMH] if runs_all else KERNELS
    metafunc.parametrize(
        "cls",
        [
            pytest.param(
                cls,
                id=cls.__name__,
                marks=() if cls is STANDS_FOR_THE_REST else pytest.mark.slow,
            )
            for cls in kernels
        ],
    )


Kernel = Callable[..., Any]
FIXED = {"adapt_step_size": False, "adapt_mass_matrix": False, "step_size": 0.3}
START = jnp.array([[0.0, 1.0], [2.0, -1.0]])
DATA = jnp.array([1.0, 2.0, 1.5])


def potential(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2 / jnp.array([1.0, 4.0]))


def model(y: jax.Array = DATA) -> None:
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.5))
    numpyro.deterministic("total", loc + scale)
    numpyro.sample("y", dist.Normal(loc, scale), obs=y)


def make(cls: Kernel, *, of: Any = potential, fixed: bool = True, **options: Any) -> Any:
    source = {"model": of} if of is model else {"potential_fn": of}
    inner = cls(**source, **(FIXED if fixed else {}))
    return ReplicaExchange(inner, **{"num_replicas": 3, "adapt_ladder": not fixed} | options)


# Three levels take three times as many steps.
run = functools.partial(runs.run, num_samples=10)


@functools.cache
def fixed_run(cls: Kernel, of: Any = potential) -> MCMC:
    return run(make(cls, of=of), init_params=None if of is model else START)


SLOWLY = pytest.mark.slow
# NumPyro wraps its own loop in a new `jit` at each run without a progress bar.
COMPILED_AT_EVERY_RUN = {"jit(_fori_collect_loop)"}


@SLOWLY
def test_chain_methods_agree_for_the_same_keys(cls: Kernel) -> None:
    batched = draws(fixed_run(cls))
    for method in ("sequential", jax.vmap):
        other = run(make(cls), init_params=START, chain_method=method)
        assert_close(draws(other), batched)
        assert_close(other.last_state.record, fixed_run(cls).last_state.record)
    assert float(jnp.var(batched)) > 0


@SLOWLY
def test_models_agree_in_turn_and_with_arguments_under_jit(cls: Kernel) -> None:
    batched = fixed_run(cls, model)
    kernel = make(cls, of=model)
    other = run(kernel, 0, DATA, chain_method="sequential", jit_model_args=True)
    assert_close(draws(other), draws(batched))
    assert_close(other.last_state.record, batched.last_state.record)
    assert all(float(jnp.var(leaf)) > 0 for leaf in jax.tree.leaves(draws(batched)))


SHAPES = {
    "exchange_prob": (2,),
    "walkers": (3,),
    "record.round_trips": (),
    "inverse_temperatures": (3,),
    "adapt_state.step_size": (2,),
    "potential_energy": (),
    "accept_prob": (),
    "i": (),
}


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_fields_are_collected_and_nothing_is_compiled_twice(
    cls: Kernel, compilations: list[str]
) -> None:
    options = {"init_params": START, "extra_fields": tuple(SHAPES)}
    mcmc = run(make(cls, fixed=False), num_warmup=8, **options)
    fields = mcmc.get_extra_fields(group_by_chain=True)
    assert {name: value.shape for name, value in fields.items()} == {
        name: (2, 10, *shape) for name, shape in (SHAPES | {"diverging": ()}).items()
    }
    np.testing.assert_array_equal(fields["i"], [np.arange(9, 19)] * 2)
    energy = jax.vmap(jax.vmap(potential))(draws(mcmc))
    np.testing.assert_allclose(fields["potential_energy"], energy, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.sort(fields["walkers"]), np.tile(np.arange(3), (2, 10, 1)))
    assert np.isfinite(exchange_estimate(mcmc).std_error)
    compilations.clear()
    mcmc.run(jax.random.key(1), **options)
    assert set(compilations) <= COMPILED_AT_EVERY_RUN
    assert "of exchanges" in mcmc.sampler.get_diagnostics_str(mcmc.last_state)


@SLOWLY
def test_models_run_from_their_prior(cls: Kernel) -> None:
    """Every level's potential is that of the prior times a power of the likelihood, Jacobian included."""
    kernel = make(cls, of=model, inverse_temperatures=[0.0, 0.3, 1.0])
    state = kernel.init(jax.random.key(0), 0, None, (DATA,), {})
    sample = jax.jit(lambda state: kernel.sample(state, (DATA,), {}))
    for _ in range(3):
        state = sample(state)
    z = state.inner.z
    prior = dist.Normal(0, 1).log_prob(z["loc"]) + dist.Normal(0, 0.5).log_prob(z["scale"])
    law = dist.Normal(z["loc"][:, None], jnp.exp(z["scale"])[:, None])
    expected = -prior - jnp.array([0.3, 1.0]) * law.log_prob(DATA).sum(-1)
    np.testing.assert_allclose(state.inner.potential_energy, expected, rtol=1e-4, atol=1e-4)
    sites = kernel.postprocess_fn((DATA,), {})(state.z)
    assert sites.keys() == {"loc", "scale", "total"}
    np.testing.assert_allclose(sites["total"], sites["loc"] + sites["scale"], rtol=1e-5)
    values = kernel.get_constrain_fn((DATA,), {})(state.z)
    np.testing.assert_allclose(values["scale"], jnp.exp(state.z["scale"]), rtol=1e-6)
    assert kernel.model is model


@pytest.mark.slow
def test_wrapped_models_have_their_own_potential(cls: Kernel) -> None:
    def shifted(wrapped: Callable) -> Callable:
        return lambda y=DATA: wrapped(y + 1)

    kernel = make(cls, of=model).wrap_model(shifted)
    state = kernel.init(jax.random.key(0), 0, None, (DATA,), {})
    other = make(cls, of=model)
    expected = other.init(jax.random.key(0), 0, state.z, (DATA + 1,), {})
    assert_close(state.potential_energy, expected.potential_energy)
    refreshed = other.refresh(
        other.init(jax.random.key(0), 0, state.z, (DATA,), {}), (DATA + 1,), {}
    )
    assert_close(refreshed.inner.potential_energy, expected.inner.potential_energy)
    with pytest.raises(ValueError, match="`wrap_model` needs a kernel built from `model`"):
        make(cls).wrap_model(shifted)


@SLOWLY
@pytest.mark.parametrize("chains", [1, 2])
def test_what_warmup_learned_is_frozen_and_a_run_resumes(cls: Kernel, chains: int) -> None:
    start = START if chains == 2 else START[0]
    mcmc = MCMC(
        make(cls, fixed=False),
        num_warmup=30,
        num_samples=10,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.warmup(jax.random.key(0), init_params=start)
    learned, parts = mcmc.post_warmup_state, []
    for _ in range(2):
        mcmc.run(mcmc.post_warmup_state.rng_key)
        last = mcmc.last_state
        parts.append(draws(mcmc))
        pairs = zip(
            jax.tree.leaves((last.ladder, last.adaptation.step_size)),
            jax.tree.leaves((learned.ladder, learned.adaptation.step_size)),
            strict=True,
        )
        for after, before in pairs:
            np.testing.assert_array_equal(after, before)
        mcmc.post_warmup_state = last
    assert np.all(mcmc.last_state.iteration == 50)
    levels = np.atleast_2d(learned.ladder.inverse_temperatures)
    assert not np.any(levels[:, 1] == 0.125)
    if chains == 2:
        assert not np.allclose(parts[0][0], parts[0][1])
    else:
        options = {"num_warmup": 30, "num_samples": 20, "num_chains": 1, "init_params": start}
        assert_close(
            jnp.concatenate(parts, axis=1), draws(run(make(cls, fixed=False), **options)), 1e-3
        )


@pytest.mark.slow
def test_kernels_and_runs_pickle(cls: Kernel) -> None:
    for source, start in ((potential, START), (model, None)):
        mcmc = fixed_run(cls, source)
        again = pickle.loads(pickle.dumps(mcmc))
        assert_close(draws(again), draws(mcmc))
        again.post_warmup_state = again.last_state
        pickle.loads(pickle.dumps(again)).run(jax.random.key(1))
        kernel = pickle.loads(pickle.dumps(make(cls, of=source)))
        assert_close(draws(run(kernel, init_params=start)), draws(mcmc))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_nothing_is_compiled_twice_for_a_model(cls: Kernel, compilations: list[str]) -> None:
    mcmc = run(make(cls, of=model, fixed=False), num_warmup=20)
    compilations.clear()
    mcmc.run(jax.random.key(1))
    assert set(compilations) <= COMPILED_AT_EVERY_RUN


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Names of what XLA compiles while the test runs."""
    names: list[str] = []

    def listen(event: str, _: float, **details: Any) -> None:
        if "backend_compile" in event:
            names.append(str(details.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.slow
def test_positions_may_be_pytrees_and_scalars(cls: Kernel) -> None:
    def of_dict(z: dict[str, jax.Array]) -> jax.Array:
        return potential(jnp.append(z["a"], z["b"]))

    start = {"a": START[:, 0], "b": START[:, 1:]}
    tree = draws(run(make(cls, of=of_dict), init_params=start))
    joined = jnp.concatenate([tree["a"][..., None], tree["b"]], -1)
    assert_close(joined, draws(fixed_run(cls)))
    for chains, start in ((1, jnp.zeros(())), (2, jnp.zeros(2))):
        kernel = make(cls, of=lambda z: 0.5 * z**2, adapt_base=True)
        mcmc = run(kernel, init_params=start, num_chains=chains, num_warmup=10)
        assert draws(mcmc).shape == (chains, 10)


@pytest.mark.slow
def test_raw_keys_give_the_same_draws(cls: Kernel) -> None:
    options = {"num_warmup": 0, "num_samples": 10, "num_chains": 2, "progress_bar": False}
    mcmc = MCMC(make(cls), chain_method="vectorized", **options)
    mcmc.run(jax.random.PRNGKey(0), init_params=START)
    assert_close(draws(mcmc), draws(fixed_run(cls)))


def test_precision_is_kept(cls: Kernel) -> None:
    """Where double precision is at hand; the shapes alone tell, so nothing is compiled."""
    if cls in (NUTS, BarkerMH):
        pytest.skip("NumPyro's kernels take the precision of the session")
    keys = jax.random.split(jax.random.key(0), 2)
    for adapt_base in (False, True):
        kernel = make(cls, fixed=False, adapt_base=adapt_base)

        def two_states(start: jax.Array, kernel: ReplicaExchange = kernel) -> Any:
            state = kernel.init(keys, 30, start)
            return state, kernel.sample(state, (), {})

        with float64():
            for dtype in ("float32", "float64"):
                states = jax.eval_shape(two_states, jnp.asarray(START, dtype))
                kinds = [
                    [(leaf.dtype, leaf.shape) for leaf in jax.tree.leaves(state)]
                    for state in states
                ]
                assert kinds[0] == kinds[1]
                floating = {d for d, _ in kinds[1] if jnp.issubdtype(d, jnp.floating)}
                assert floating == {jnp.dtype(dtype)}


def test_bad_starts_are_refused(cls: Kernel) -> None:
    kernel = make(cls)
    with pytest.raises(ValueError, match="`init_params` must be provided with `potential_fn`"):
        kernel.init(jax.random.key(0), 0)
    with pytest.raises(ValueError, match=r"leading shape \(3,\); got shape \(2, 2\)"):
        kernel.init(jax.random.split(jax.random.key(0), 3), 0, START)
    with pytest.raises(ValueError, match="finite potential energy; got inf in 1 of 2 chains"):
        kernel.init(jax.random.split(jax.random.key(0)), 0, START.at[1].set(jnp.inf))
    with pytest.raises(ValueError, match="`num_warmup` must be an integer of at least 0; got -1"):
        kernel.init(jax.random.key(0), -1, START[0])


def test_walls_are_not_crossed(cls: Kernel) -> None:
    """Draws of the base law that the target forbids, or whose potential is no number, stay where they are."""

    def walled(z: jax.Array) -> jax.Array:
        inside = jnp.all(jnp.abs(z) < 2.5)
        outside = jnp.where(z[0] > 0, jnp.inf, jnp.nan)
        return jnp.where(inside, potential(z), outside)

    kernel = make(cls, of=walled, base=dist.Normal(0.0, 3.0).expand((2,)))

    def advance(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = kernel.sample(state)
        return state, state.z

    @jax.jit
    def steps(keys: jax.Array) -> tuple[Any, jax.Array]:
        return jax.lax.scan(advance, kernel.init(keys, 0, jnp.zeros((2, 2))), length=200)

    last, z = steps(jax.random.split(jax.random.key(0)))
    assert bool(jnp.all(jnp.abs(z) < 2.5))
    assert 0.05 < float(last.acceptance.min()) < 0.9
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in last.record)


@pytest.mark.slow
def test_ladders_are_blocks_of_gibbs(cls: Kernel) -> None:
    kernel = ReplicaExchange(cls(model, **FIXED), num_replicas=3)
    blocks = Gibbs([(kernel, ["loc"]), (MALA(model), ["scale"])])
    mcmc = run(blocks, 0, DATA, num_warmup=100, num_samples=300, num_chains=1)  # pyright: ignore[reportArgumentType]
    sites = mcmc.get_samples()
    assert bool(jnp.all(sites["scale"] > 0))
    assert 0.3 < float(jnp.mean(sites["loc"])) < 1.9
