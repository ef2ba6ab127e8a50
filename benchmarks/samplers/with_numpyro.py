"""Runs of NumPyro's kernels, ours among them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer.mcmc import MCMCKernel

from benchmarks.samplers._method import Method, Run, starts
from benchmarks.samplers.targets import Target
from ebm_ppl.validation.chains import batch_functions


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
