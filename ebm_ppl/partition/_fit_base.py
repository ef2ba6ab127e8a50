"""A base law that particles of the target teach."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions.transforms import IdentityTransform, ReshapeTransform

from ebm_ppl._checks import check_count, check_instance, check_interval, check_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import GeometricPath
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._supports import unconstraining
from ebm_ppl.partition._autoregressive import AutoregressiveLaw
from ebm_ppl.partition._autoregressive_fit import fit_conditionals
from ebm_ppl.partition._centre import centred
from ebm_ppl.partition._moves import as_moves
from ebm_ppl.partition._pilot import as_schedule
from ebm_ppl.partition._sequential import run_particles

_COMPONENTS = 4
_THRESHOLD = 0.9


def fit_base(
    energy: AbstractEnergy,
    rng_key: PRNGKey,
    *,
    base: Any = None,
    num_particles: int = 500,
    num_runs: int = 4,
    num_rounds: int = 3,
    kernel: Callable[..., Any] | None = None,
    num_steps: int = 2,
    threshold: float = _THRESHOLD,
) -> dist.Distribution:
    check_instance("energy", energy, AbstractEnergy, "an AbstractEnergy")
    check_count("num_rounds", num_rounds)
    check_count("num_particles", num_particles, 2)
    check_count("num_runs", num_runs)
    check_interval("threshold", threshold, 0.0, 1.0)
    check_key("rng_key", rng_key)
    for key in jax.random.split(rng_key, num_rounds):
        key_pilot, key_runs = jax.random.split(key)
        path, _ = centred(GeometricPath(energy, base), key)
        moves = as_moves(kernel, num_steps, path)
        ladder = as_schedule(None, path, moves, key_pilot, threshold)
        keys = jax.random.split(key_runs, num_runs)
        log_z, positions, log_weights, _ = run_particles(path, moves, ladder, keys, num_particles)
        shares = np.asarray(log_weights, np.float64)
        shares -= np.logaddexp.reduce(shares, axis=1, keepdims=True)
        shares += log_z.in_float64[:, None]
        print("round", log_z.in_float64.mean(), log_z.in_float64.std(), len(ladder.inverse_temperatures))
        base = fitted_law(energy, positions.reshape(-1, *energy.event_shape), shares.reshape(-1))
    return base


def fitted_law(
    energy: AbstractEnergy,
    x: Float[Array, "n *event"],
    log_weights: Float[np.ndarray, " n"],
    num_components: int = _COMPONENTS,
) -> dist.Distribution:
    """An autoregressive law of weighted points, on the energy's support."""
    transform = unconstraining(energy.support)
    z = np.asarray(jax.vmap(transform.inv)(x), np.float64).reshape(len(x), -1)
    weights = np.exp(log_weights - np.max(log_weights))
    law = AutoregressiveLaw(fit_conditionals(z, weights / weights.sum(), num_components))
    shape = transform.inverse_shape(energy.event_shape)
    parts = [] if len(shape) == 1 else [ReshapeTransform(shape, law.event_shape)]
    parts += [] if isinstance(transform, IdentityTransform) else [transform]
    return dist.TransformedDistribution(law, parts) if parts else law
