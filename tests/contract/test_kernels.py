"""What NumPyro's users may rely on, asked of every kernel that the package exports."""

import contextlib
import functools
import inspect
import pickle
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import TypeCheckError
from numpyro.infer import MCMC, Gibbs, init_to_value

from ebm_ppl import samplers
from ebm_ppl._precision import float64
from ebm_ppl.samplers import AbstractEnergyKernel, AbstractKernel, run_short_chain
from tests.contract.runs import assert_close, draws, run

KERNELS = [
    kernel
    for kernel in vars(samplers).values()
    if inspect.isclass(kernel)
    and issubclass(kernel, AbstractKernel)
    and not issubclass(kernel, AbstractEnergyKernel)  # these take no bare potential
    and not inspect.isabstract(kernel)
]
# One with a proposal and one that carries a momentum; the others share all of their machinery.
STAND_FOR_THE_REST = (samplers.MALA, samplers.UnderdampedLangevin)
# And one with a proposal law of its own, and one whose chains share their trajectories.
KINDS = (*STAND_FOR_THE_REST, samplers.IndependenceMetropolis, samplers.ChEESHMC)
# What is asked here holds however well XLA optimises, and hundreds of programs run but once.
pytestmark = pytest.mark.usefixtures("light_compilation")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask every kernel, but for what the base class alone makes: of a model, or of chains in parallel.

    Of a model every kernel runs one; the rest is asked of one kernel of each kind.
    """
    runs_model = TestModels.test_constrain_and_collect_deterministic_sites
    in_parallel = TestChainMethods.test_agree_in_parallel
    is_shared = metafunc.cls is TestModels or metafunc.function is in_parallel
    quick = STAND_FOR_THE_REST[:1] if is_shared else STAND_FOR_THE_REST
    metafunc.parametrize(
        "cls",
        [
            pytest.param(cls, id=cls.__name__, marks=() if cls in quick else pytest.mark.slow)
            for cls in KERNELS
            if cls in KINDS or metafunc.function is runs_model or not is_shared
        ],
    )


Kernel = type[AbstractKernel]
# Long trajectories would make much of rounding, and be refused for ever next to a wall.
FIXED = {
    "adapt_step_size": False,
    "adapt_mass_matrix": False,
    "step_size": 0.1,
    "trajectory_length": 0.2,
}
TUNED = {"adapt_step_size": True, "adapt_mass_matrix": True, "step_size": 0.1}
START = jnp.array([[0.0, 1.0], [2.0, -1.0]])
DATA = jnp.array([1.0, 2.0, 1.5])


def potential(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2 / jnp.array([1.0, 4.0]))


def standard(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2)


def model(y: jax.Array = DATA) -> None:
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.5))
    numpyro.deterministic("total", loc + scale)
    numpyro.sample("y", dist.Normal(loc, scale), obs=y)


def make(cls: Kernel, *, of: Any = potential, dim: int = 2, **options: Any) -> Any:
    """Build a kernel, with those of the options that it has."""
    source = {"model": of} if of is model else {"potential_fn": of}
    return cls(**source, **known_options(cls, dim, options))


def known_options(cls: Kernel, dim: int, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that a kernel has, and what it cannot do without."""
    options = {"proposal": dist.Normal(0.0, 1.5).expand([dim]).to_event(1)} | options
    return {name: options[name] for name in options.keys() & parameters(cls)}


def parameters(cls: Kernel) -> set[str]:
    """Names of the arguments of a kernel."""
    return set(inspect.signature(cls).parameters)


def require(cls: Kernel, name: str) -> None:
    """Skip what a kernel cannot be asked, as it has no such argument."""
    if name not in parameters(cls):
        pytest.skip(f"{cls.__name__} has no `{name}`")


FIELDS = ("adapt_state.step_size", "accept_prob", "potential_energy", "i")


@functools.cache
def fixed_run(cls: Kernel, of: Any = potential) -> MCMC:
    """One run without adaptation, to compare with; not to be run again."""
    start = None if of is model else START
    return run(make(cls, of=of, **FIXED), init_params=start, extra_fields=FIELDS)


@functools.cache
def tuned_run(cls: Kernel, of: Any) -> tuple[MCMC, list[str]]:
    """Two runs with warm-up, and the names of what XLA compiled for the second."""
    start = None if of is model else START
    options = {"init_params": start, "extra_fields": FIELDS}
    mcmc = run(make(cls, of=of, **TUNED), num_warmup=20, **options)
    with compilations() as names:
        mcmc.run(jax.random.key(1), **options)
    return mcmc, names


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Names of what XLA compiles meanwhile."""
    names: list[str] = []

    def listen(event: str, _: float, **details: Any) -> None:
        if "backend_compile" in event:
            names.append(str(details.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def agree_with_vectorised(cls: Kernel, method: Any) -> None:
    """Draws and fields are those of vectorised chains."""
    options = {"init_params": START, "extra_fields": FIELDS}
    mcmc, batched = run(make(cls, **FIXED), chain_method=method, **options), fixed_run(cls)
    assert_close(draws(mcmc), draws(batched))
    fields = (one.get_extra_fields(group_by_chain=True) for one in (mcmc, batched))
    assert_close(*fields)


# NumPyro wraps its own loop in a new `jit` at each run without a progress bar.
COMPILED_AT_EVERY_RUN = {"jit(_fori_collect_loop)"}


def pickle_and_run(cls: Kernel, source: Any) -> None:
    """A run goes on after it was pickled, and a kernel draws the same."""
    mcmc = fixed_run(cls, source)
    again = pickle.loads(pickle.dumps(mcmc))
    assert_same(draws(again), draws(mcmc))
    again.post_warmup_state = again.last_state
    pickle.loads(pickle.dumps(again)).run(jax.random.key(1))
    kernel = pickle.loads(pickle.dumps(make(cls, of=source, **FIXED)))
    start = None if source is model else START
    assert_close(draws(run(kernel, init_params=start)), draws(mcmc))


def positions(kernel: Any, start: jax.Array, num_steps: int = 20) -> jax.Array:
    """What chains from some starts draw, of shape `(chains, steps, dim)`; to be compiled by the caller."""

    def advance(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = kernel.sample(state, (), {})
        return state, state.z

    state = kernel.init(jax.random.split(jax.random.key(0), len(start)), 0, start)
    return jnp.swapaxes(jax.lax.scan(advance, state, length=num_steps)[1], 0, 1)


def assert_same(left: Any, right: Any) -> None:
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


class TestClaims:
    def test_are_consistent(self, cls: Kernel) -> None:
        assert cls.exact == (cls.bias_order is None)
        assert cls.potential_evaluations_per_step >= 1

    def test_count_what_a_step_evaluates(self, cls: Kernel) -> None:
        calls: Counter[str] = Counter()

        @jax.custom_vjp
        def counted(z: jax.Array) -> jax.Array:
            calls["potential"] += 1
            return potential(z)

        def forward(z: jax.Array) -> tuple[jax.Array, jax.Array]:
            return counted(z), z

        def backward(z: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
            calls["gradient"] += 1
            return (cotangent * jax.grad(potential)(z),)

        counted.defvjp(forward, backward)
        kernel = make(cls, of=counted, **FIXED)
        state = kernel.init(jax.random.key(0), 0, START[0])
        calls.clear()
        jax.make_jaxpr(lambda state: kernel.sample(state, (), {}))(state)
        assert calls["potential"] == cls.potential_evaluations_per_step
        assert calls["gradient"] == cls.gradient_evaluations_per_step
        assert (state.z_grad is None) == (cls.gradient_evaluations_per_step == 0)


class TestChainMethods:
    def test_agree_for_the_same_keys(self, cls: Kernel) -> None:
        batched = fixed_run(cls)
        assert draws(batched).shape == (2, 20, 2)
        assert float(jnp.var(draws(batched))) > 0
        fields = batched.get_extra_fields(group_by_chain=True)
        assert set(fields) == {"diverging", *FIELDS}
        assert {value.shape for value in fields.values()} == {(2, 20)}
        np.testing.assert_array_equal(fields["i"], [np.arange(1, 21)] * 2)
        energy = jax.vmap(jax.vmap(potential))(draws(batched))
        np.testing.assert_allclose(fields["potential_energy"], energy, rtol=1e-5, atol=1e-6)
        for method in ("sequential", jax.vmap):
            agree_with_vectorised(cls, method)

    @pytest.mark.filterwarnings("ignore:There are not enough devices")
    def test_agree_in_parallel(self, cls: Kernel) -> None:
        agree_with_vectorised(cls, "parallel")

    def test_share_one_adaptation_when_vectorised(self, cls: Kernel) -> None:
        mcmc, _ = tuned_run(cls, potential)
        state = mcmc.last_state
        assert state.iteration.shape == state.adaptation.step_size.shape == ()
        assert state.adaptation.inverse_mass_matrix.shape == (2,)
        assert state.i.shape == state.adapt_state.step_size.shape == (2,)
        fields = mcmc.get_extra_fields(group_by_chain=True)
        np.testing.assert_array_equal(fields["i"], [np.arange(21, 41)] * 2)


class TestModels:
    def test_agree_in_turn_and_with_arguments_under_jit(self, cls: Kernel) -> None:
        kernel = make(cls, of=model, **FIXED)
        in_turn = run(kernel, 0, DATA, chain_method="sequential", jit_model_args=True)
        assert_close(draws(fixed_run(cls, model)), draws(in_turn))

    def test_pickle(self, cls: Kernel) -> None:
        pickle_and_run(cls, model)

    @pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
    def test_do_not_compile_twice(self, cls: Kernel) -> None:
        assert set(tuned_run(cls, model)[1]) <= COMPILED_AT_EVERY_RUN

    def test_constrain_and_collect_deterministic_sites(self, cls: Kernel) -> None:
        sites = draws(tuned_run(cls, model)[0])
        assert sites.keys() == {"loc", "scale", "total"}
        assert bool(jnp.all(sites["scale"] > 0))
        np.testing.assert_allclose(sites["total"], sites["loc"] + sites["scale"], rtol=1e-5)
        constrained = make(cls, of=model).postprocess_fn((DATA,), {})
        assert constrained("anything") == "anything"  # before `init`

    def test_start_where_told(self, cls: Kernel) -> None:
        strategy = init_to_value(values={"loc": 0.5, "scale": 2.0})
        kernel = make(cls, of=model, init_strategy=strategy)
        state = kernel.init(jax.random.key(0), 0, None, (DATA,), {})
        np.testing.assert_allclose([state.z["loc"], state.z["scale"]], [0.5, np.log(2.0)])
        given = {"loc": jnp.array(0.1), "scale": jnp.array(0.2)}
        state = kernel.init(jax.random.key(0), 0, given, (DATA,), {})
        assert_same(state.z, given)
        with pytest.raises(ValueError, match=r"sites \['loc', 'scale'\]; got \['loc'\]"):
            kernel.init(jax.random.key(0), 0, {"loc": jnp.array(0.1)}, (DATA,), {})

    def test_give_their_potential_and_transforms(self, cls: Kernel) -> None:
        kernel = make(cls, of=model)
        for ask in (kernel.get_potential_fn, kernel.get_constrain_fn):
            with pytest.raises(RuntimeError, match="run `init` first"):
                ask((DATA,), {})
        state = kernel.init(jax.random.key(0), 0, None, (DATA,), {})
        energy = kernel.get_potential_fn((DATA,), {})(state.z)
        np.testing.assert_allclose(energy, state.potential_energy, rtol=1e-5)
        values = kernel.get_constrain_fn((DATA,), {})(state.z)
        np.testing.assert_allclose(values["scale"], jnp.exp(state.z["scale"]), rtol=1e-6)
        assert values.keys() == {"loc", "scale"}

    def test_refresh_for_other_arguments(self, cls: Kernel) -> None:
        kernel = make(cls, of=model)
        keys = jax.random.split(jax.random.key(0), 2)
        for key in (keys[0], keys):
            state = kernel.init(key, 0, None, (DATA,), {})
            fresh = kernel.refresh(state, (DATA + 1,), {})
            other = make(cls, of=model).init(key, 0, state.z, (DATA + 1,), {})
            assert_close(fresh.potential_energy, other.potential_energy)
            assert_close(fresh.z_grad, other.z_grad)
            assert_same(fresh.z, state.z)

    def test_are_blocks_of_gibbs(self, cls: Kernel) -> None:
        first, second = make(cls, of=model, dim=1, **TUNED), make(cls, of=model, dim=1)
        blocks = Gibbs([(first, ["loc"]), (second, ["scale"])])
        mcmc = run(blocks, 0, DATA, num_warmup=300, num_samples=2000, num_chains=1)
        sites = mcmc.get_samples()
        assert bool(jnp.all(sites["scale"] > 0))
        # The bound is many standard errors wide; a block blind to the data would sit at 0.
        assert abs(float(jnp.mean(sites["loc"])) - posterior_mean()) < 0.5


@functools.cache
def posterior_mean() -> float:
    """Posterior mean of `loc`, summed over a grid of both sites."""
    loc, log_scale = np.meshgrid(np.linspace(-4, 6, 300), np.linspace(-3, 3, 300))
    residuals = (np.asarray(DATA) - loc[..., None]) / np.exp(log_scale)[..., None]
    energy = 0.5 * (loc**2 + (log_scale / 0.5) ** 2 + np.sum(residuals**2, axis=-1))
    weight = np.exp(-energy - len(DATA) * log_scale)
    return float(np.sum(weight * loc) / np.sum(weight))


class TestRuns:
    @pytest.mark.parametrize("chains", [1, 2])
    def test_freeze_what_warmup_learned_and_resume(self, cls: Kernel, chains: int) -> None:
        start = START if chains == 2 else START[0]
        options = {"num_warmup": 30, "num_chains": chains, "init_params": start}
        mcmc = MCMC(
            make(cls, **TUNED),
            num_warmup=30,
            num_samples=10,
            num_chains=chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.warmup(jax.random.key(0), init_params=start)
        learned = mcmc.post_warmup_state.adaptation
        assert np.allclose(learned.inverse_mass_matrix, 1.0) != (
            "inverse_mass_matrix" in parameters(cls)
        )
        parts = []
        for _ in range(2):
            mcmc.run(mcmc.post_warmup_state.rng_key)
            assert_same(mcmc.last_state.adaptation, learned)
            parts.append(draws(mcmc))
            mcmc.post_warmup_state = mcmc.last_state
        assert np.all(mcmc.last_state.iteration == 50)
        if chains == 2:
            assert not np.allclose(parts[0][0], parts[0][1])
        else:
            long = run(make(cls, **TUNED), num_samples=20, **options)
            assert_close(jnp.concatenate(parts, axis=1), draws(long), 1e-3)

    def test_obey_a_step_size_put_into_the_state_or_traced(self, cls: Kernel) -> None:
        require(cls, "step_size")
        tiny, large = 1e-3, 0.1

        def start_of(kernel: Any) -> Any:
            return kernel.init(jax.random.key(0), 0, START[0])

        def advance(step_size: Any) -> jax.Array:
            kernel = make(cls, **{**FIXED, "step_size": step_size})
            return kernel.sample(start_of(kernel), (), {}).z

        def advance_obeying(step_size: jax.Array) -> jax.Array:
            kernel = make(cls, **{**FIXED, "step_size": large})
            state = start_of(kernel)
            state = state._replace(adaptation=state.adaptation._replace(step_size=step_size))
            return kernel.sample(state, (), {}).z

        @jax.jit
        def compared(step_sizes: jax.Array) -> Any:
            stated = jnp.stack([advance(tiny), advance(large)])
            return stated, jax.vmap(advance)(step_sizes), jax.vmap(advance_obeying)(step_sizes)

        stated, traced, obeyed = compared(jnp.array([tiny, large]))
        assert not np.allclose(stated[0], stated[1], rtol=0, atol=1e-5)
        assert_close(traced, stated, 1e-6)
        assert_close(obeyed, stated, 1e-6)

    def test_pickle(self, cls: Kernel) -> None:
        pickle_and_run(cls, potential)

    @pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
    def test_do_not_compile_twice(self, cls: Kernel) -> None:
        assert set(tuned_run(cls, potential)[1]) <= COMPILED_AT_EVERY_RUN

    @pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
    def test_show_their_acceptance_beside_the_progress_bar(
        self,
        cls: Kernel,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for variable in ("CI", "PYTEST_XDIST_WORKER"):  # MCMC shows no bar under these
            monkeypatch.delenv(variable, raising=False)
        kernel = make(cls, **TUNED)
        mcmc = run(kernel, init_params=START, num_warmup=20, progress_bar=True)
        assert "acc. prob=" in capsys.readouterr().err
        with compilations() as names:
            mcmc.run(jax.random.key(1), init_params=START)
        assert names == []
        text = kernel.get_diagnostics_str(mcmc.last_state)
        mean = float(jnp.mean(mcmc.last_state.mean_accept_prob))
        shown = f"step size {float(mcmc.last_state.adaptation.step_size):.2e}"
        assert text.startswith(shown) == ("step_size" in parameters(cls))
        assert f"acc. prob={mean:.2f}" in text


class TestPositions:
    def test_may_be_pytrees(self, cls: Kernel) -> None:
        def of_dict(z: dict[str, jax.Array]) -> jax.Array:
            return potential(jnp.append(z["a"], z["b"]))

        flat = draws(fixed_run(cls))
        start = {"a": START[:, 0], "b": START[:, 1:]}
        tree = draws(run(make(cls, of=of_dict, **FIXED), init_params=start))
        assert tree["a"].shape == (2, 20)
        assert tree["b"].shape == (2, 20, 1)
        assert_close(jnp.concatenate([tree["a"][..., None], tree["b"]], -1), flat)

    @pytest.mark.parametrize("chains", [1, 2])
    def test_may_be_scalars(self, cls: Kernel, chains: int) -> None:
        """The shapes alone tell."""
        batch = (2,) if chains == 2 else ()
        kernel = make(cls, of=lambda z: 0.5 * z**2, dim=1, **TUNED)
        keys = jax.random.split(jax.random.key(0)) if batch else jax.random.key(0)

        def two_states(start: jax.Array) -> Any:
            state = kernel.init(keys, 30, start)
            return state, kernel.sample(state, (), {})

        before, after = jax.eval_shape(two_states, jnp.zeros(batch))
        assert before == after
        assert after.z.shape == after.accept_prob.shape == batch

    def test_take_raw_keys_and_are_thinned(self, cls: Kernel) -> None:
        mcmc = MCMC(
            make(cls, **FIXED),
            num_warmup=0,
            num_samples=20,
            thinning=2,
            num_chains=2,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.PRNGKey(0), init_params=START)
        assert_close(draws(mcmc), draws(fixed_run(cls))[:, 1::2])

    def test_are_whitened(self, cls: Kernel) -> None:
        """A Gaussian of covariance C sampled with mass matrix 1/C is a standard one with none."""
        require(cls, "inverse_mass_matrix")
        dense = jnp.array([[2.0, 0.9], [0.9, 1.0]])
        diagonal = jnp.array([4.0, 0.25])

        def coloured(matrix: jax.Array) -> jax.Array:
            covariance = matrix if matrix.ndim == 2 else jnp.diag(matrix)
            root, precision = jnp.linalg.cholesky(covariance), jnp.linalg.inv(covariance)
            is_dense = matrix.ndim == 2
            options = {**FIXED, "inverse_mass_matrix": matrix, "dense_mass": is_dense}
            kernel = make(cls, of=lambda z: 0.5 * z @ precision @ z, **options)
            return positions(kernel, START @ root.T) @ jnp.linalg.inv(root).T

        @jax.jit
        def compared() -> list[jax.Array]:
            plain = positions(make(cls, of=standard, **FIXED), START)
            return [plain, coloured(dense), coloured(diagonal)]

        plain, *others = compared()
        assert float(jnp.var(plain)) > 0
        for other in others:
            assert_close(other, plain, 1e-3)

    @pytest.mark.parametrize("dense", [False, True])
    def test_keep_their_precision(self, cls: Kernel, dense: bool) -> None:
        """Where double precision is at hand; the shapes alone tell, so nothing is compiled."""
        kernel = make(cls, **TUNED, dense_mass=dense)
        keys = jax.random.split(jax.random.key(0), 2)

        def two_states(start: jax.Array) -> Any:
            state = kernel.init(keys, 30, start)
            return state, kernel.sample(state, (), {})

        def dtypes(state: Any) -> list[Any]:
            return [leaf.dtype for leaf in jax.tree.leaves(state._replace(rng_key=None))]

        with float64():
            for dtype in ("float32", "float64"):
                before, after = jax.eval_shape(two_states, jnp.asarray(START, dtype))
                assert dtypes(before) == dtypes(after)
                floating = {d for d in dtypes(after) if jnp.issubdtype(d, jnp.floating)}
                assert floating == {jnp.dtype(dtype)}


class TestRefusals:
    def test_of_steps_that_are_not_finite(self, cls: Kernel) -> None:
        def states(value: jax.Array) -> Any:
            def walled(z: jax.Array) -> jax.Array:
                return jnp.where(jnp.all(jnp.abs(z) < 0.3), potential(z), value)

            kernel = make(cls, of=walled, **FIXED)
            keys = jax.random.split(jax.random.key(0), 2)

            def advance(state: Any, _: None) -> tuple[Any, Any]:
                state = kernel.sample(state, (), {})
                return state, (state.z, state.diverging, state.accept_prob, state.potential_energy)

            return jax.lax.scan(advance, kernel.init(keys, 0, jnp.zeros((2, 2))), length=200)[1]

        values = jnp.array([jnp.nan, jnp.inf, -jnp.inf])
        for z, diverging, accept_prob, energy in zip(
            *jax.jit(jax.vmap(states))(values), strict=True
        ):
            assert bool(jnp.all(jnp.abs(z) < 0.3))
            assert bool(jnp.all(jnp.isfinite(energy)))
            assert 0 < int(diverging.sum()) < diverging.size
            assert bool(jnp.all(accept_prob[diverging] == 0))
            stayed = jnp.all(z[1:] == z[:-1], axis=-1)
            assert bool(jnp.all(stayed[diverging[1:]]))

    def test_of_last_steps_that_are_not_finite(self, cls: Kernel) -> None:
        """A short chain leaves out the gradient at its end, not the potential.

        Power: of 64 chains of three large steps between near walls, several have to turn back.
        """

        def walled(z: jax.Array) -> jax.Array:
            return jnp.where(jnp.all(jnp.abs(z) < 0.3), potential(z), jnp.inf)

        kernel = make(cls, of=walled, **FIXED)
        run = jax.jit(jax.vmap(lambda key: run_short_chain(kernel, jnp.zeros(2), 3, key)))
        ends, accept_prob = run(jax.random.split(jax.random.key(0), 64))
        assert bool(jnp.all(jnp.abs(ends) < 0.3))
        assert float(accept_prob.min()) < 1

    def test_of_starts(self, cls: Kernel) -> None:
        kernel = make(cls)
        with pytest.raises(ValueError, match="`init_params` must be provided with `potential_fn`"):
            kernel.init(jax.random.key(0), 0)
        with pytest.raises(ValueError, match="floating-point; got int32"):
            kernel.init(jax.random.key(0), 0, jnp.zeros(2, dtype=int))
        with pytest.raises(ValueError, match=r"leading shape \(3,\); got shape \(2, 2\)"):
            kernel.init(jax.random.split(jax.random.key(0), 3), 0, START)
        with pytest.raises(ValueError, match="finite potential energy; got inf in 1 of 2 chains"):
            kernel.init(jax.random.split(jax.random.key(0)), 0, START.at[1].set(jnp.inf))
        with pytest.raises(
            ValueError, match="`num_warmup` must be an integer of at least 0; got -1"
        ):
            kernel.init(jax.random.key(0), -1, START[0])
        with pytest.raises(ValueError, match=r"must return a scalar; got shapes \[\(2,\)\]"):
            make(cls, of=lambda z: z).init(jax.random.key(0), 0, START[0])

    def test_of_arguments(self, cls: Kernel) -> None:
        for source in ({}, {"model": model, "potential_fn": potential}):
            with pytest.raises(
                ValueError, match="Exactly one of `model` and `potential_fn` must be"
            ):
                cls(**source, **known_options(cls, 2, {}))
        # The annotations are checked too while tests run, and speak first.
        with pytest.raises((ValueError, TypeCheckError), match="potential_fn"):
            make(cls, of=3)

    def test_of_tuning(self, cls: Kernel) -> None:
        require(cls, "step_size")
        for step_size in (0.0, -1.0, float("nan"), "big"):
            with pytest.raises(
                ValueError, match="`step_size` must be a finite number above 0; got"
            ):
                make(cls, step_size=step_size)
        with pytest.raises((ValueError, TypeCheckError), match="dense_mass"):
            make(cls, dense_mass="yes")
        if "target_accept_prob" in parameters(cls):
            with pytest.raises(ValueError, match=r"`target_accept_prob` must be a number in \(0"):
                make(cls, target_accept_prob=1.0)

    @pytest.mark.parametrize(
        ("matrix", "dense", "message"),
        [
            (jnp.ones(3), False, r"shape \(2,\) with `dense_mass=False`; got \(3,\)"),
            (jnp.eye(2), False, r"shape \(2,\) with `dense_mass=False`; got \(2, 2\)"),
            (jnp.array([1.0, -1.0]), False, "positive definite"),
            (jnp.array([1.0, 0.0]), True, "positive definite"),
            (jnp.array([[1.0, 2.0], [2.0, 1.0]]), True, "positive definite"),
            (jnp.array([[1.0, 0.5], [0.0, 1.0]]), True, "positive definite"),
        ],
    )
    def test_of_mass_matrices(self, cls: Kernel, matrix: Any, dense: bool, message: str) -> None:
        require(cls, "inverse_mass_matrix")
        kernel = make(cls, inverse_mass_matrix=matrix, dense_mass=dense)
        with pytest.raises(ValueError, match=message):
            kernel.init(jax.random.key(0), 0, START[0])

    def test_of_wrapping_a_potential(self, cls: Kernel) -> None:
        with pytest.raises(ValueError, match="`wrap_model` needs a kernel built from `model`"):
            make(cls).wrap_model(lambda model: model)
