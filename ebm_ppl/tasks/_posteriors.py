"""Draws from many independent posteriors in one compiled program, and how well their chains have mixed."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from ebm_ppl._checks import check_count, check_interval, check_key
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import PRNGKey
from ebm_ppl.partition import SlowMixingWarning
from ebm_ppl.samplers import MCMC

KernelOf: TypeAlias = Callable[[Any], Any]
"""Makes a kernel of a NumPyro model: `ChEESHMC`, `NUTS`, or `functools.partial(MALA, step_size=0.1)`."""

R_HAT_LIMIT = 1.01
"""Above this chains have not mixed (Vehtari et al. 2021)."""


class RunSettings(NamedTuple):
    """How long chains are, and how many."""

    num_warmup: int
    num_samples: int
    num_chains: int
    probability: float


def run_settings(
    rng_key: PRNGKey, num_warmup: int, num_samples: int, num_chains: int, probability: Any
) -> RunSettings:
    """Read the settings of a run.

    Raises:
        ValueError: If one is outside its bounds.
    """
    check_key("rng_key", rng_key)
    check_count("num_warmup", num_warmup, 0)
    check_count("num_samples", num_samples, 4)
    check_count("num_chains", num_chains, 2)
    check_interval("probability", probability, 0.0, 1.0)
    return RunSettings(num_warmup, num_samples, num_chains, float(probability))


class Posteriors(NamedTuple):
    """Draws of many posteriors, what they say of each coordinate, and how well chains have mixed."""

    mean: Float[Array, "num *event"]
    standard_deviation: Float[Array, "num *event"]
    lower: Float[Array, "num *event"]
    upper: Float[Array, "num *event"]
    draws: Float[Array, "num chains samples *event"]
    r_hat: Float[np.ndarray, "num *event"]
    ess: Float[np.ndarray, "num *event"]


def posteriors(
    model_at: Callable[[Any, Any], Any],
    shared: Any,
    observed: Any,
    kernel: KernelOf,
    rng_key: PRNGKey,
    settings: RunSettings,
    what: str,
) -> Posteriors:
    """Draw the site `x` of a model for each of many observations, and warn of chains that have not mixed.

    All problems advance together: a program that maps over them, whose chains are vectorised as ever. Nothing
    of warm-up is shared between problems, so that each has its own step size and mass matrix.

    Args:
        model_at: The NumPyro model of what all problems share and one observation.
        shared: What all problems share, a pytree.
        observed: Observations, a pytree of arrays with one leading axis.
        kernel: What makes a kernel of a model.
        rng_key: Random key.
        settings: Settings of the run.
        what: What the problems are called, for the warning.

    Returns:
        Draws, summaries and diagnostics of each problem.

    Warns:
        SlowMixingWarning: If R-hat is above 1.01 somewhere, in the name of the caller's caller.
    """

    def run(key: Array, shared: Any, observed: Any) -> Float[Array, "chains samples *event"]:
        mcmc = MCMC(
            kernel(model_at(shared, observed)),
            num_warmup=settings.num_warmup,
            num_samples=settings.num_samples,
            num_chains=settings.num_chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(key)
        return mcmc.get_samples(group_by_chain=True)["x"]

    def run_all(keys: Array, shared: Any, observed: Any) -> Any:
        return jax.vmap(run, in_axes=(0, None, 0))(keys, shared, observed)

    num = len(jax.tree.leaves(observed)[0])
    draws = SharedJit(run_all)(jax.random.split(rng_key, num), shared, observed)
    mixing = _mixing_of(draws)
    _warn_of_slow_mixing(mixing, what)
    return Posteriors(*_summarised(draws, settings.probability), draws, *mixing)


class Mixing(NamedTuple):
    """Diagnostics of chains, coordinate by coordinate; NaN where no chain moves."""

    r_hat: Float[np.ndarray, "num *event"]
    ess: Float[np.ndarray, "num *event"]


def _mixing_of(draws: Float[Array, "num chains samples *event"]) -> Mixing:
    """Split R-hat and effective sample size, problem by problem for the sake of memory."""
    found = [_mixing_of_one(one) for one in np.asarray(draws, np.float64)]
    return Mixing(*(np.stack(part) for part in zip(*found, strict=True)))


def _mixing_of_one(draws: Float[np.ndarray, "chains samples *event"]) -> Iterator[np.ndarray]:
    event_shape = draws.shape[2:]
    flat = draws.reshape(*draws.shape[:2], -1)
    moves = flat.std(axis=(0, 1)) > 0
    for diagnostic in (split_gelman_rubin, effective_sample_size):
        values = np.full(flat.shape[2], np.nan)
        if moves.any():
            values[moves] = _quietly(diagnostic, flat[:, :, moves])
        yield values.reshape(event_shape)


def _quietly(diagnostic: Callable[..., Any], draws: np.ndarray) -> np.ndarray:
    """A diagnostic, infinite or zero where chains stand still in different places."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(diagnostic(draws))


def _warn_of_slow_mixing(mixing: Mixing, what: str) -> None:
    """Warn if R-hat of some problem is above its limit, and say what helps."""
    worst = np.array([np.max(one[~np.isnan(one)], initial=1.0) for one in mixing.r_hat])
    slow = int(np.sum(worst > R_HAT_LIMIT))
    if slow > 0:
        warnings.warn(
            f"R-hat is above {R_HAT_LIMIT} in {slow} of {len(worst)} {what}, and {np.max(worst):.4g} in "
            f"number {np.argmax(worst)}: its chains have not mixed, and means and intervals may be off. "
            "More steps (`num_warmup`, `num_samples`) help chains that are slow; chains in different modes "
            "need a `kernel` that crosses between them, such as ReplicaExchange.",
            SlowMixingWarning,
            stacklevel=4,
        )


def _summarised(
    draws: Float[Array, "num chains samples *event"], probability: float
) -> tuple[Array, Array, Array, Array]:
    """Mean, standard deviation and both ends of the interval, summed up in double precision."""
    pooled = np.asarray(draws, np.float64).reshape(len(draws), -1, *draws.shape[3:])
    ends = [0.5 - 0.5 * probability, 0.5 + 0.5 * probability]
    lower, upper = np.quantile(pooled, ends, axis=1)
    summaries = pooled.mean(axis=1), pooled.std(axis=1), lower, upper
    mean, spread, lower, upper = (jnp.asarray(one, dtype=float) for one in summaries)
    return mean, spread, lower, upper
