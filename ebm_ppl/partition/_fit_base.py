"""A base law that the target itself teaches."""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_instance, check_key
from ebm_ppl._errors import NonFiniteEnergyError
from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import GeometricPath
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import SlowMixingWarning
from ebm_ppl.partition._fitted_law import fitted_law
from ebm_ppl.partition._lowered import lowered
from ebm_ppl.partition._moves import moves_along
from ebm_ppl.partition._pilot import as_schedule
from ebm_ppl.partition._sequential import run_particles
from ebm_ppl.samplers.moves import Kernels

_COMPONENTS = 8
_THRESHOLD = 0.9
_PARTICLES, _RUNS = 2_000, 4
_WIDENING = 0.5
"""Of noise, over the root of the number of coordinates: weights of a law that is too narrow have no mean."""
_BISECTIONS = 20
_PATIENCE, _RISE = 5, 1.1
"""Rounds in which a law's share has to rise by a tenth, or it is at its end."""
_LEAST_SHARE = 0.1
"""Effective share of the draws to which weights are flattened: fewer would fit a law to themselves."""


def fit_base(
    energy: AbstractEnergy,
    rng_key: PRNGKey,
    *,
    base: Any = None,
    num_rounds: int = 20,
    num_draws: int = 10_000,
    kernel: Kernels = None,
    num_steps: int = 2,
) -> dist.Distribution:
    r"""Fit a base law to an energy: annealed particles first, then rounds of importance sampling.

    The law has one coordinate after the other, in an order that is found,
    $$x_j = m_j(x_{<j}) + s_j(x_{<j})\, u_j,$$
    with means $m_j$ that are quadratic and log scales $\log s_j$ that are linear in each coordinate before,
    and a mixture of eight normal laws and a heavy tail, Student's $t$ of two degrees of freedom, as the
    noise $u_j$. Coefficients that the points do not tell from 0 vanish. So normal laws, funnels, bananas and
    products of wells are among them. Where the support is not all reals, it is a law of unconstrained
    coordinates.

    It is first fitted to particles that are annealed from `base`, as those of
    [`sequential_monte_carlo`][ebm_ppl.partition.sequential_monte_carlo]. They lag on hard targets, so in
    each of the rounds that follow, draws of the law, with weights $w = e^{-E} / q$, teach the next one.
    Draws of a law need no chain to get to them, and the law's heavy tails reach beyond the points that it
    was fitted to. Weights are flattened to $w^\alpha$ with the largest $\alpha \le 1$ whose effective
    sample size is a tenth of the draws. Rounds end where five of them have brought no better law, and none
    that is much poorer. Every fit is in closed form but for the noise: weighted least squares for means and
    log scales, expectation maximisation for mixtures.

    Give it to [`importance_sampling`][ebm_ppl.partition.importance_sampling], whose weights are unbiased
    and of whose draws none lags, or as `base` to the estimators that anneal, with another key. It fits
    badly where modes are tied across coordinates, since a product of two modes in each of ten coordinates has
    $2^{10}$, and in many coordinates, whose errors multiply: then the effective sample size is small, and
    $\hat k$ tells of it. Of a mode that no particle has met it knows nothing.

    Args:
        energy: An energy of real coordinates.
        rng_key: Random key.
        base: Where particles begin, as in `annealed_importance_sampling`: of a target with far modes, a law
            that covers them all.
        num_rounds: Number of rounds of importance sampling, at most; with none the law is that of the
            particles, of which no share is known.
        num_draws: Number of draws in each.
        kernel: What moves particles, as in `annealed_importance_sampling`.
        num_steps: Number of its steps at each temperature.

    Returns:
        The law, on the energy's support: of all rounds the one with the largest effective share of weights.

    Raises:
        TypeError: If `base` is no distribution.
        ValueError: If `energy` is no energy or has states, or an argument is outside its bounds.
        NonFiniteEnergyError: If draws carry next to no weight.

    Warns:
        SlowMixingWarning: If the law's weights have an effective share below a tenth, or of the last five
            rounds one has less than half of that: the law does not yet fit.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.partition import fit_base, importance_sampling
        >>> key_fit, key_run = jax.random.split(jax.random.key(0))
        >>> energy = Gaussian([1.0, -1.0], [[0.5, 0.2], [0.2, 1.0]])
        >>> base = fit_base(energy, key_fit, num_rounds=2)
        >>> estimate = importance_sampling(energy, base, key_run)
        >>> abs(estimate.log_z - 1.4496) < 0.1  # log(2 pi sqrt(0.46))
        True

    References:
        O. Cappé, R. Douc, A. Guillin, J.-M. Marin and C. P. Robert (2008). Adaptive importance sampling in
        general mixture classes. *Statistics and Computing* 18(4), 447-459.
        L. I. Midgley, V. Stimper, G. N. C. Simm, B. Schölkopf and J. M. Hernández-Lobato (2023). Flow
        annealed importance sampling bootstrap. *ICLR*.
    """
    check_instance("energy", energy, AbstractEnergy, "an AbstractEnergy")
    if energy.support.is_discrete:
        raise ValueError("`energy` must be of real coordinates; got one of states.")
    check_count("num_rounds", num_rounds, 0)
    check_count("num_draws", num_draws, 100)
    check_key("rng_key", rng_key)
    key_particles, key_rounds = jax.random.split(rng_key)
    points, log_weights = _particles(energy, key_particles, base, kernel, num_steps)
    law = best = _fitted(energy, points, log_weights)
    shares: list[float] = []
    for key in jax.random.split(key_rounds, num_rounds):
        points, log_weights = _weighted_draws(energy, law, key, num_draws)
        logs = np.asarray(log_weights, np.float64)
        shares.append(_effective_share(logs))
        best = law if shares[-1] == max(shares) else best
        if _rise_no_more(shares):
            break
        law = _fitted(energy, points, _flattened(logs))
    if shares and not (max(shares) >= _LEAST_SHARE and _is_settled(shares)):
        warnings.warn(
            f"Weights of the law have an effective share of {max(shares):.2g}, and of "
            f"{min(shares[-_PATIENCE:]):.2g} in the poorest of the last rounds. Below {_LEAST_SHARE}, or "
            "more than a factor of 2 apart, it does not yet fit, and intervals may lack mass. Take more "
            "`num_rounds` or `num_draws`, or a `base` that is nearer to the target.",
            SlowMixingWarning,
            stacklevel=2,
        )
    return best


def _particles(
    energy: AbstractEnergy,
    rng_key: PRNGKey,
    base: Any,
    kernel: Kernels,
    num_steps: int,
) -> tuple[Float[Array, "n *event"], Float[np.ndarray, " n"]]:
    """Annealed particles of a few runs, each as heavy as its estimate of Z."""
    key_pilot, key_runs = jax.random.split(rng_key)
    path, _ = lowered(GeometricPath(energy, base), rng_key)
    moves = moves_along(kernel, num_steps, path)
    ladder = as_schedule(None, path, moves, key_pilot, _THRESHOLD)
    keys = jax.random.split(key_runs, _RUNS)
    log_z, positions, log_weights, _ = run_particles(path, moves, ladder, keys, _PARTICLES)
    shares = np.asarray(log_weights, np.float64)
    shares -= np.logaddexp.reduce(shares, axis=1, keepdims=True)
    shares += log_z.in_float64[:, None]
    return positions.reshape(-1, *energy.event_shape), _flattened(shares.reshape(-1))


def _rise_no_more(shares: list[float]) -> bool:
    """Whether a good law has become no better in the last rounds, and no worse."""
    before, last = max(shares[:-_PATIENCE], default=0.0), max(shares[-_PATIENCE:])
    return before >= _LEAST_SHARE and last < _RISE * before and _is_settled(shares)


def _is_settled(shares: list[float]) -> bool:
    """Whether no law of the last rounds is much poorer than the best: draws of one miss mass by chance."""
    return min(shares[-_PATIENCE:]) >= 0.5 * max(shares)


@eqx.filter_jit
def _weighted_draws(
    energy: AbstractEnergy, law: dist.Distribution, rng_key: PRNGKey, count: int
) -> tuple[Float[Array, "count *event"], Float[Array, " count"]]:
    x = jnp.asarray(law.sample(fast_key(rng_key), (count,)))
    log_weights = -jax.vmap(energy)(x) - law.log_prob(x)
    return x, jnp.where(jnp.isfinite(log_weights), log_weights, -jnp.inf)


def _flattened(log_weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The largest power of weights, up to the first, of which enough are left."""
    if not np.any(np.isfinite(log_weights)):
        return log_weights
    highest = log_weights - np.max(log_weights)
    if _effective_share(highest) >= _LEAST_SHARE:
        return highest
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (
            (middle, high) if _effective_share(middle * highest) >= _LEAST_SHARE else (low, middle)
        )
    return low * highest


def _effective_share(log_weights: Float[np.ndarray, " n"]) -> float:
    """Effective sample size as a share of the number of weights; 0 if there is none above 0."""
    if not np.any(np.isfinite(log_weights)):
        return 0.0
    weights = np.exp(log_weights - np.max(log_weights))
    return float(weights.sum() ** 2 / (len(weights) * np.sum(weights**2)))


def _fitted(
    energy: AbstractEnergy, x: Float[Array, "n *event"], log_weights: Float[np.ndarray, " n"]
) -> dist.Distribution:
    law = fitted_law(energy, x, log_weights, _COMPONENTS, _WIDENING)
    if law is None:
        raise NonFiniteEnergyError(
            "Fewer than twenty draws carry all weight: give a `base` that is nearer to the target."
        )
    return law
