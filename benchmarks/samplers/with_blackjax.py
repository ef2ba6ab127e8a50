"""Runs of BlackJAX's samplers, with the warm-up that BlackJAX has for them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.samplers._method import Method, Run, starts
from benchmarks.samplers.targets import Target


def chees(target: Target, method: Method) -> Run:
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


def nuts(target: Target, method: Method) -> Run:
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


def mala(target: Target, method: Method) -> Run:
    """BlackJAX's MALA; one step size for all chains, from dual averaging to an acceptance of 0.7.

    In the first half of warm-up the step size is 0.01: at the steps that suit the bulk, a chain that starts
    in the quartic's tails stays there. For the same reason the acceptance is above the usual 0.574.
    """
    import blackjax
    from blackjax.adaptation.step_size import dual_averaging_adaptation

    def logdensity(z: jax.Array) -> jax.Array:
        return -target.potential(z)

    kernel = blackjax.mala.build_kernel()
    start_search, search, settle = dual_averaging_adaptation(0.7)

    def step_all(rng_key: jax.Array, states: Any, step_size: Any) -> tuple[Any, Any]:
        keys = jax.random.split(rng_key, method.num_chains)
        return jax.vmap(lambda key, state: kernel(key, state, logdensity, step_size))(keys, states)

    @jax.jit
    def run(rng_key: jax.Array) -> jax.Array:
        key_start, key_warmup, key_run = jax.random.split(rng_key, 3)
        positions = starts(target, method, key_start)
        states = jax.vmap(lambda z: blackjax.mala.init(z, logdensity))(positions)

        def warm_up(carry: tuple[Any, Any], rng_key: jax.Array) -> tuple[tuple[Any, Any], None]:
            states, found = carry
            states, info = step_all(rng_key, states, jnp.exp(found.log_step_size))
            return (states, search(found, jnp.mean(info.acceptance_rate))), None

        key_first, key_second = jax.random.split(key_warmup)
        half = method.num_warmup // 2
        states = jax.lax.fori_loop(
            0, half, lambda i, s: step_all(jax.random.fold_in(key_first, i), s, 0.01)[0], states
        )
        keys = jax.random.split(key_second, half)
        (states, found), _ = jax.lax.scan(warm_up, (states, start_search(0.1)), keys)
        step_size = settle(found)

        def step(states: Any, rng_key: jax.Array) -> tuple[Any, jax.Array]:
            states, _ = step_all(rng_key, states, step_size)
            return states, states.position

        keys = jax.random.split(key_run, method.num_samples * target.patience)
        return jnp.swapaxes(jax.lax.scan(step, states, keys)[1], 0, 1)

    return run
