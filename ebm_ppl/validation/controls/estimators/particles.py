"""Planted bugs in sequential Monte Carlo."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import LinearPath
from ebm_ppl.partition import LogPartitionEstimate, estimate_from_log_weights
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.cases.estimators.sequential_monte_carlo import (
    PARTICLES,
    RUNS,
    STEPS,
    WORK,
)
from ebm_ppl.validation.controls._estimator import EstimatorControl
from ebm_ppl.validation.partition_problems import machine, machine_log_z


def _run(rng_key: PRNGKey, *, resets: bool) -> Float[Array, ""]:
    """Particles that are resampled after every step, written out."""
    path = LinearPath(machine())
    ladder = jnp.linspace(0.0, 1.0, STEPS + 1)
    key_start, *keys = jax.random.split(rng_key, STEPS + 1)
    x = path.sample_base(key_start, PARTICLES)
    log_weights, log_z = jnp.zeros(PARTICLES), path.log_z_base
    for step, key in enumerate(keys):
        start, end = ladder[step], ladder[step + 1]
        key_resample, key_move = jax.random.split(key)
        log_weights += jax.vmap(path.log_ratio, in_axes=(0, None, None))(x, start, end)
        cumulated = jnp.cumsum(jax.nn.softmax(log_weights))
        levels = jax.random.uniform(key_resample, (PARTICLES,))
        chosen = jnp.minimum(jnp.searchsorted(cumulated, levels), PARTICLES - 1)
        log_z += logsumexp(log_weights) - jnp.log(1.0 * PARTICLES)
        log_weights = jnp.zeros(PARTICLES) if resets else log_weights[chosen] - log_weights.mean()
        x = jax.vmap(path.at(end).gibbs_sweep)(jax.random.split(key_move, PARTICLES), x[chosen])
    return log_z


@functools.partial(jax.jit, static_argnames="resets")
def _runs(rng_keys: PRNGKey, *, resets: bool) -> Float[Array, " runs"]:
    return jax.vmap(functools.partial(_run, resets=resets))(rng_keys)


def _estimate(rng_key: PRNGKey, *, resets: bool) -> LogPartitionEstimate:
    log_z = _runs(jax.random.split(rng_key, RUNS), resets=resets)
    return estimate_from_log_weights(np.asarray(log_z, np.float64))


CONTROLS = (
    EstimatorControl(
        "resampling without a reset of weights",
        "particles that were resampled by their weights keep them, and count twice",
        EstimatorCase("control", functools.partial(_estimate, resets=False), machine_log_z, "Z"),
    ),
    EstimatorControl(
        "multinomial resampling after every step",
        "any resampling that draws particles in proportion to their weights leaves the mean of Z's "
        "estimates as it is",
        EstimatorCase(
            "control", functools.partial(_estimate, resets=True), machine_log_z, "Z", WORK
        ),
        equivalent=True,
    ),
)
