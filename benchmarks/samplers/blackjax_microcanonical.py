"""BlackJAX's microcanonical kernels, each chain tuned by itself, and all of them run as one batch."""

from typing import Any

import jax

from benchmarks.samplers.targets import Target

TARGET_ACCEPTANCE = 0.9
"""Acceptance to which `adjusted` tunes."""


def mclmc(
    target: Target, positions: jax.Array, rng_key: jax.Array, lengths: tuple[int, int]
) -> Any:
    """Unadjusted; draws of shape `(chains, samples, dim)`.

    Args:
        target: The target.
        positions: Where the chains start, shape `(chains, dim)`.
        rng_key: Random key.
        lengths: Number of steps of the warm-up, in three equal phases, and of draws.
    """
    import blackjax
    from blackjax.mcmc.mclmc import build_kernel, init

    num_warmup, num_samples = lengths

    def logdensity(z: jax.Array) -> jax.Array:
        return -target.potential(z)

    def run_one(position: jax.Array, rng_key: jax.Array) -> jax.Array:
        key_init, key_tune, key_run = jax.random.split(rng_key, 3)
        kernel = build_kernel()
        # Each phase of the tuning takes a tenth of the number that it is given.
        state, parameters, _ = blackjax.mclmc_find_L_and_step_size(
            mclmc_kernel=kernel,
            num_steps=10 * num_warmup // 3,
            state=init(position, logdensity, key_init),
            rng_key=key_tune,
            logdensity_fn=logdensity,
        )

        def step(state: Any, rng_key: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = kernel(
                rng_key,
                state,
                logdensity,
                parameters.inverse_mass_matrix,
                parameters.L,
                parameters.step_size,
            )
            return state, state.position

        return jax.lax.scan(step, state, jax.random.split(key_run, num_samples))[1]

    return jax.vmap(run_one)(positions, jax.random.split(rng_key, len(positions)))


def adjusted(
    target: Target, positions: jax.Array, rng_key: jax.Array, lengths: tuple[int, int]
) -> Any:
    """Adjusted, with random trajectory lengths, which is BlackJAX's recommendation; arguments as `mclmc`.

    Of the three phases of its warm-up the last, which would learn the length, is off by default.
    """
    import blackjax
    from blackjax.mcmc.adjusted_mclmc_dynamic import (
        build_kernel,
        init,
        make_random_trajectory_length_fn,
    )

    num_warmup, num_samples = lengths

    def logdensity(z: jax.Array) -> jax.Array:
        return -target.potential(z)

    def run_one(position: jax.Array, rng_key: jax.Array) -> jax.Array:
        key_init, key_tune, key_run = jax.random.split(rng_key, 3)
        kernel = build_kernel(integration_steps_fn=make_random_trajectory_length_fn(True))
        state, parameters, _ = blackjax.adjusted_mclmc_find_L_and_step_size(
            mclmc_kernel=kernel,
            logdensity_fn=logdensity,
            num_steps=10 * num_warmup // 3,
            state=init(position, logdensity, key_init),
            rng_key=key_tune,
            target=TARGET_ACCEPTANCE,
        )

        def step(state: Any, rng_key: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = kernel(
                rng_key,
                state,
                logdensity,
                parameters.step_size,
                inverse_mass_matrix=parameters.inverse_mass_matrix,
                integration_steps_params=(parameters.L / parameters.step_size,),
            )
            return state, state.position

        return jax.lax.scan(step, state, jax.random.split(key_run, num_samples))[1]

    return jax.vmap(run_one)(positions, jax.random.split(rng_key, len(positions)))
