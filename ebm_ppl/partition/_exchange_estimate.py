"""log Z from a run of replica exchange, at no further cost."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.infer import MCMC
from scipy import special

from ebm_ppl._checks import check_interval
from ebm_ppl._errors import NonFiniteEnergyError
from ebm_ppl.annealing import AbstractPath, as_path
from ebm_ppl.partition._estimate import LogPartitionEstimate
from ebm_ppl.partition._judged import Groups, judged, thinned
from ebm_ppl.partition._lowered import at_resolution
from ebm_ppl.partition._moves import moves_along
from ebm_ppl.partition._pilot import AnnealingSchedule
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import ReplicaExchange, ReplicaExchangeState

_SEED = 0
"""Looks take no key: a run determines its estimate."""
_SMALLEST = 1e-30


def exchange_estimate(
    run: MCMC | ReplicaExchangeState, *, level: float = 0.95
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ of the target of `ReplicaExchange` from its chains.

    $$\log Z = \log Z_0 + \sum_k \log \frac{Z_{k+1}}{Z_k}, \qquad
    \frac{Z_{k+1}}{Z_k} = e^{\delta_k}
    \frac{\operatorname{E}_k\left[f_{k+1} / (f_{k+1} + e^{\delta_k} f_k)\right]}
    {\operatorname{E}_{k+1}\left[e^{\delta_k} f_k / (f_{k+1} + e^{\delta_k} f_k)\right]},$$

    a bridge between each level and the next, which is best where the guess $\delta_k$ is right; warm-up has
    made it. The means run over all exchanges since warm-up, whether or not they were collected. $Z$ is
    that of $e^{-U}$ for the kernel's potential $U$, and the evidence for a NumPyro model whose base law is
    its prior.

    The error is that among chains, which are independent ladders: each contributes its own share of the
    mean, correlation along the chain included.

    The draws of an energy are looked at as those of other estimators are: whether they drift under more
    steps, whether scouts find a mode that none of them is near, and whether a law fitted to them finds more
    mass. A state alone has no draws, and a model or another potential no such looks.

    Args:
        run: The `MCMC` after a run, or its `last_state`, of two chains or more.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate; `ess` is the number of chains. Diagnostics: `level`, `inverse_temperatures`, `steps`
        (estimates of $\log Z_{k+1} / Z_k$), `exchange` (mean acceptance of each pair), `barrier`,
        `round_trip_rate` and `chains` (each chain's deviation from the estimate, to first order).

    Raises:
        ValueError: If there is only one chain, the kernel was another one, or nothing has been drawn since
            warm-up.
        NonFiniteEnergyError: If two neighbours' laws do not overlap at all.

    Warns:
        SlowMixingWarning: If draws drift, or a law fitted to them finds more mass; there is no interval.
        MissedModeWarning: If a place that should hold mass was found where no draw is.
        EdgeWarning: If floats do not resolve much of the target's mass, at an edge of its support.
        ResolutionWarning: If rounding of large potentials is more than the statistical error.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.partition import exchange_estimate
        >>> from ebm_ppl.samplers import MALA, ReplicaExchange
        >>> kernel = ReplicaExchange(
        ...     MALA(potential_fn=lambda z: 2 * (z - 1.0) ** 2), num_replicas=4
        ... )
        >>> mcmc = MCMC(
        ...     kernel,
        ...     num_warmup=200,
        ...     num_samples=1000,
        ...     num_chains=16,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros(16))
        >>> estimate = exchange_estimate(mcmc)
        >>> abs(estimate.log_z - 0.2258) < 5 * estimate.std_error  # log(sqrt(pi / 2))
        True

    References:
        C. H. Bennett (1976). Efficient estimation of free energy differences from Monte Carlo data.
        *Journal of Computational Physics* 22, equation 7.
        M. R. Shirts and J. D. Chodera (2008). Statistically optimal analysis of samples from multiple
        equilibrium states. *Journal of Chemical Physics* 129.
    """
    check_interval("level", level, 0.0, 1.0)
    state = run.last_state if isinstance(run, MCMC) else run
    if not isinstance(state, ReplicaExchangeState):
        raise ValueError(
            f"`run` must be a run of ReplicaExchange; its last state is a {type(state).__name__}."
        )
    record = state.record
    attempts, up, down = (
        np.asarray(a, np.float64) for a in (record.num_attempts, record.up, record.down)
    )
    if up.ndim < 2 or len(up) < 2:
        raise ValueError(
            "`run` must be of at least 2 chains, among which there is an error; got 1."
        )
    if attempts.min() < 1:
        raise ValueError(
            "`run` must hold two draws or more since warm-up, in which every pair tries to exchange; got "
            f"{attempts.min():.0f} attempts of a pair."
        )
    guesses = np.asarray(state.ladder.log_z_steps, np.float64)
    # Chains that learned ladders of their own estimate each by itself.
    shares = (up, down) if guesses.ndim == 2 else (up.mean(0), down.mean(0))
    if not all(share.min() > 0 for share in shares):
        raise NonFiniteEnergyError(
            "The laws at two neighbouring temperatures do not overlap, or their energies are so far from 0 "
            "that warm-up has not found by how much: take more replicas, or a base law that is nearer to the "
            "target, or write the energy without its constant."
        )
    log_z_base = float(np.mean(state.ladder.log_z_base))
    steps, chains = _bridges(guesses, up, down)
    log_z, error = (
        log_z_base + float(steps.sum()),
        float(chains.std(ddof=1)) / math.sqrt(len(chains)),
    )
    half_width = float(special.stdtrit(len(chains) - 1, (1 + level) / 2)) * error
    potentials = np.asarray(state.potential_energy)
    loss = float(np.finfo(potentials.dtype).eps * np.mean(np.abs(potentials)))
    estimate = LogPartitionEstimate(
        log_z=log_z,
        std_error=error,
        interval=(log_z - half_width, log_z + half_width),
        ess=float(len(chains)),
        diagnostics={
            "level": level,
            "inverse_temperatures": np.asarray(state.ladder.inverse_temperatures),
            "steps": steps,
            "exchange": np.asarray(state.acceptance),
            "barrier": float(state.barrier),
            "round_trip_rate": float(state.round_trip_rate),
            "chains": chains,
        },
    )
    if not isinstance(run, MCMC):
        return at_resolution(estimate, loss)
    return _judged_by_draws(estimate, run, loss)


def _judged_by_draws(
    estimate: LogPartitionEstimate, run: MCMC, loss: float
) -> LogPartitionEstimate:
    """What the draws of an energy say of the estimate; of other targets there is no look."""
    kernel = run.sampler
    assert isinstance(kernel, ReplicaExchange)  # for the type checker
    if kernel.energy is None:
        return at_resolution(estimate, loss)
    chains = kernel.points(run.get_samples(group_by_chain=True))
    path, points = as_path(kernel.energy, None), chains.reshape(-1, *kernel.energy.event_shape)
    rng_key = jax.random.key(_SEED)
    moves = moves_along(None, 1, path)
    sizes = _step_sizes(path, points) if moves.is_tunable else None
    schedule = AnnealingSchedule(jnp.asarray([0.0, 1.0]), sizes)
    groups = Groups(moves, schedule, thinned(chains), np.zeros(len(chains)))
    return judged(estimate, path, points, rng_key, groups=groups, loss=loss)


def _step_sizes(path: AbstractPath, points: Float[Array, "n *event"]) -> Float[Array, "1"]:
    """A tenth of the variance of the middle coordinate: the look takes steps up to 32 times that."""
    z = jax.vmap(potential_fn(path.energy).unconstrain)(points).reshape(len(points), -1)
    return jnp.atleast_1d(jnp.maximum(0.1 * jnp.median(jnp.nanvar(z, axis=0)), _SMALLEST))


def _bridges(
    guesses: Float[np.ndarray, "..."],
    up: Float[np.ndarray, "chains pairs"],
    down: Float[np.ndarray, "chains pairs"],
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " chains"]]:
    """Estimates of each pair's log ratio, and what each chain's sum of them deviates by."""
    if guesses.ndim == 2:
        own = guesses + np.log(up) - np.log(down)
        return own.mean(0), own.sum(1) - own.sum(1).mean()
    steps = guesses + np.log(up.mean(0)) - np.log(down.mean(0))
    return steps, (up / up.mean(0) - down / down.mean(0)).sum(1)
