"""Samplers of the benchmark: each a compiled function from a key to the draws of all chains."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer import NUTS
from numpyro.infer.mcmc import MCMCKernel

from benchmarks.samplers import blackjax_microcanonical
from benchmarks.samplers.targets import Target
from ebm_ppl.samplers import MALA, MAMS, MCLMC, ChEESHMC
from validation.chains import batch_functions

Run = Callable[[jax.Array], jax.Array]
"""Draws of shape `(chains, samples, dim)` from a key."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A sampler and how long it runs.

    Attributes:
        library: Whose it is.
        name: Its name in the table.
        num_chains: Chains that run as one batch.
        num_warmup: Steps of warm-up.
        num_samples: Draws of each chain, times the patience that the target asks for.
        build: Makes the run for a target.
    """

    library: str
    name: str
    num_chains: int
    num_warmup: int
    num_samples: int
    build: "Callable[[Target, Method], Run]"


def starts(target: Target, method: Method, rng_key: jax.Array) -> jax.Array:
    """Where chains start: uniformly within 2 of the origin, as NumPyro has it."""
    shape = (method.num_chains, target.dim)
    return jax.random.uniform(rng_key, shape, minval=-2.0, maxval=2.0)


def numpyro_kernel(make: Callable[[Any], MCMCKernel]) -> Callable[[Target, Method], Run]:
    """A run of a NumPyro kernel, one of ours among them, in one compiled loop."""

    def build(target: Target, method: Method) -> Run:
        init, sample = batch_functions(make(target.potential), True, method.num_warmup)
        length = method.num_samples * target.patience

        def step(state: Any, _: None) -> tuple[Any, jax.Array]:
            state = sample(state)
            return state, state.z

        @jax.jit
        def run(rng_key: jax.Array) -> jax.Array:
            key_start, key_run = jax.random.split(rng_key)
            keys = jax.random.split(key_run, method.num_chains)
            state = init(keys, starts(target, method, key_start))
            state = jax.lax.fori_loop(0, method.num_warmup, lambda _, s: sample(s), state)
            draws = jax.lax.scan(step, state, None, length=length)[1]
            return jnp.swapaxes(draws, 0, 1)

        return run

    return build


def one_after_another(make: Callable[[Any], MCMCKernel]) -> Callable[[Target, Method], Run]:
    """The same, chain by chain."""

    def build(target: Target, method: Method) -> Run:
        alone = dataclasses.replace(method, num_chains=1)
        run = numpyro_kernel(make)(target, alone)

        def all_runs(rng_key: jax.Array) -> jax.Array:
            return jnp.concatenate([run(k) for k in jax.random.split(rng_key, method.num_chains)])

        return all_runs

    return build


def blackjax_chees(target: Target, method: Method) -> Run:
    """BlackJAX's ChEES-HMC with its estimate of a diagonal mass matrix."""
    import blackjax
    import optax

    def logdensity(z: jax.Array) -> jax.Array:
        return -target.potential(z)

    warmup = blackjax.chees_adaptation(
        logdensity, method.num_chains, mass_matrix_estimation="diagonal"
    )

    @jax.jit
    def run(rng_key: jax.Array) -> jax.Array:
        key_start, key_warmup, key_run = jax.random.split(rng_key, 3)
        positions = starts(target, method, key_start)
        (states, parameters), _ = warmup.run(
            key_warmup, positions, 0.1, optax.adam(0.025), method.num_warmup
        )
        kernel = jax.vmap(blackjax.dhmc(logdensity, **parameters).step)

        def step(states: Any, rng_key: jax.Array) -> tuple[Any, jax.Array]:
            states, _ = kernel(jax.random.split(rng_key, method.num_chains), states)
            return states, states.position

        keys = jax.random.split(key_run, method.num_samples * target.patience)
        return jnp.swapaxes(jax.lax.scan(step, states, keys)[1], 0, 1)

    return run


def in_one_batch(sample: Callable[..., jax.Array]) -> Callable[[Target, Method], Run]:
    """A run of chains each of which is tuned by itself."""

    def build(target: Target, method: Method) -> Run:
        lengths = method.num_warmup, method.num_samples * target.patience

        @jax.jit
        def run(rng_key: jax.Array) -> jax.Array:
            key_start, key_run = jax.random.split(rng_key)
            return sample(target, starts(target, method, key_start), key_run, lengths)

        return run

    return build


def blackjax_nuts(target: Target, method: Method) -> Run:
    """BlackJAX's NUTS with window adaptation of a diagonal mass matrix, chain by chain."""
    import blackjax

    def logdensity(z: jax.Array) -> jax.Array:
        return -target.potential(z)

    warmup = blackjax.window_adaptation(blackjax.nuts, logdensity)

    @jax.jit
    def run_one(rng_key: jax.Array, start: jax.Array) -> jax.Array:
        key_warmup, key_run = jax.random.split(rng_key)
        (state, parameters), _ = warmup.run(key_warmup, start, method.num_warmup)
        kernel = blackjax.nuts(logdensity, **parameters).step

        def step(state: Any, rng_key: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = kernel(rng_key, state)
            return state, state.position

        return jax.lax.scan(
            step, state, jax.random.split(key_run, method.num_samples * target.patience)
        )[1]

    def run(rng_key: jax.Array) -> jax.Array:
        key_start, key_run = jax.random.split(rng_key)
        positions = starts(target, method, key_start)
        keys = jax.random.split(key_run, method.num_chains)
        return jnp.stack([run_one(*pair) for pair in zip(keys, positions, strict=True)])

    return run


def _nuts(potential: Any) -> NUTS:
    return NUTS(potential_fn=potential)


def _chees(potential: Any) -> ChEESHMC:
    return ChEESHMC(potential_fn=potential)


def _dense_chees(potential: Any) -> ChEESHMC:
    return ChEESHMC(potential_fn=potential, dense_mass=True)


def _mams(potential: Any) -> MAMS:
    return MAMS(potential_fn=potential)


def _dense_mams(potential: Any) -> MAMS:
    return MAMS(potential_fn=potential, dense_mass=True)


def _mclmc(potential: Any) -> MCLMC:
    return MCLMC(potential_fn=potential)


def _dense_mclmc(potential: Any) -> MCLMC:
    return MCLMC(potential_fn=potential, dense_mass=True)


def _mala(potential: Any) -> MALA:
    return MALA(potential_fn=potential)


METHODS = [
    Method("ebm_ppl", "ChEESHMC", 64, 400, 600, numpyro_kernel(_chees)),
    Method("ebm_ppl", "ChEESHMC, dense", 64, 400, 600, numpyro_kernel(_dense_chees)),
    Method("ebm_ppl", "ChEESHMC, dense", 256, 200, 400, numpyro_kernel(_dense_chees)),
    Method("ebm_ppl", "MAMS", 64, 400, 600, numpyro_kernel(_mams)),
    Method("ebm_ppl", "MAMS, dense", 64, 400, 600, numpyro_kernel(_dense_mams)),
    Method("ebm_ppl", "MCLMC", 64, 400, 6000, numpyro_kernel(_mclmc)),
    Method("ebm_ppl", "MCLMC, dense", 64, 400, 2000, numpyro_kernel(_dense_mclmc)),
    Method("ebm_ppl", "MALA", 64, 400, 2000, numpyro_kernel(_mala)),
    Method("NumPyro", "NUTS, one by one", 4, 1000, 1000, one_after_another(_nuts)),
    Method("NumPyro", "NUTS", 4, 1000, 1000, numpyro_kernel(_nuts)),
    Method("NumPyro", "NUTS", 64, 400, 600, numpyro_kernel(_nuts)),
]
if importlib.util.find_spec("blackjax") is not None:
    METHODS += [
        Method("BlackJAX", "ChEES", 64, 400, 600, blackjax_chees),
        Method("BlackJAX", "MCLMC", 64, 1500, 6000, in_one_batch(blackjax_microcanonical.mclmc)),
        Method(
            "BlackJAX",
            "adjusted MCLMC",
            64,
            600,
            600,
            in_one_batch(blackjax_microcanonical.adjusted),
        ),
        Method("BlackJAX", "NUTS, one by one", 4, 1000, 1000, blackjax_nuts),
    ]
