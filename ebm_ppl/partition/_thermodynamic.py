"""Thermodynamic integration: log Z as an integral over temperatures, of means along a ladder of chains."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from ebm_ppl._checks import check_count, check_interval, check_key, check_positive
from ebm_ppl._errors import NonFiniteEnergyError
from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import AbstractPath, LinearPath, as_path
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, SlowMixingWarning
from ebm_ppl.partition._judged import Groups, judged, thinned
from ebm_ppl.partition._kronrod import kronrod
from ebm_ppl.partition._ladders import run_ladders
from ebm_ppl.partition._lowered import lowered
from ebm_ppl.partition._moves import log_ratios, moves_along, start_at_base
from ebm_ppl.partition._pilot import as_schedule
from ebm_ppl.samplers.moves import Kernels

_LENGTH = (500, 200)  # draws, and warm-up before them
# At half as many draws the half-width on the critical Ising torus of 16 x 16 is 0.10 to 0.12, from 14 CPU
# seconds; with 200 moves of warm-up two panels were five standard errors too low.
_LINEAR = (8_000, 1_000)
_LEAST_EXCHANGE = 0.02
_LARGEST_R_HAT = 1.1


class SlowExchangeWarning(UserWarning):
    """Chains at neighbouring temperatures hardly ever exchange their states: the ladder is torn."""


def thermodynamic_integration(
    target: AbstractEnergy | AbstractPath,
    rng_key: PRNGKey,
    *,
    base: Any = None,
    num_ensembles: int = 16,
    num_draws: int | None = None,
    num_warmup: int | None = None,
    num_panels: int = 1,
    power: float = 3.0,
    kernel: Kernels = None,
    num_steps: int = 1,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ by integrating over inverse temperatures, with chains that exchange states.

    $$\log Z = \log Z_0 + \int_0^1 E_{\beta}\left[\frac{\partial}{\partial \beta} \log f_\beta(x)\right]
    d\beta,$$
    along a path of laws $f_\beta$. The integral is a Gauss-Kronrod rule in $u = \beta^{1/p}$, one
    chain standing at each node. After each move, chains at neighbouring nodes exchange their states with
    probability
    $$\min\left(1, \frac{f_{\beta'}(x)\, f_\beta(x')}{f_\beta(x)\, f_{\beta'}(x')}\right),$$
    even and odd pairs by turns, so that cold chains are fed by hot ones, which cross barriers.

    The error is that among independent ensembles, each a ladder of its own from its own start, so it counts
    everything that differs between them, correlation included. Each estimates $\log Z$, not $Z$, with no
    bias but those of the start and of the rule. The embedded Gauss rule of half the nodes tells how far
    off the rule may be: what of the two rules' difference exceeds twice its standard error widens the
    interval.

    Args:
        target: The energy, or a path to it, as in
            [`annealed_importance_sampling`][ebm_ppl.partition.annealed_importance_sampling].
        rng_key: Random key.
        base: Base law of a geometric path, as there.
        num_ensembles: Number of independent ladders, at least 2; they run side by side.
        num_draws: Number of moves and exchanges whose states count, at least 4; by default 500, on a
            `LinearPath`, whose sweeps cost little, 8,000.
        num_warmup: Number of moves and exchanges before. Chains start where others went that were annealed
            from the base law, so they need no more than to settle; by default 200, on a `LinearPath` 1,000.
        num_panels: Number of panels of the rule, each of fifteen temperatures. More bring neighbours
            nearer, and exchanges more often.
        power: The exponent $p$, which crowds temperatures near the base law, where the integrand is steep.
        kernel: Kernel, as in `annealed_importance_sampling`; its step sizes are tuned by a pilot run.
        num_steps: Number of the kernel's steps in a move.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate; `ess` is the number of ensembles. Diagnostics: `level`, `inverse_temperatures`,
        `integrand` (its mean at each), `ensembles` (the estimates), `exchange` (how often each pair of
        neighbours exchanged, of its attempts), `r_hat` (split R-hat of the integrand at each temperature)
        and `quadrature_error` (by which the interval is wider on either side).

    Raises:
        TypeError: If `target` or `base` is no energy, path or distribution.
        ValueError: If an argument is outside its bounds.
        NonFiniteEnergyError: If the energy is infinite or NaN at a draw of the base law, or later.

    Warns:
        SlowExchangeWarning: If a pair of neighbours exchanged in less than 2% of its attempts.
        SlowMixingWarning: If R-hat of the integrand is above 1.1 at a temperature.
        MissedModeWarning: If a place that should hold mass was found where no point is.
        EdgeWarning: If floats do not resolve much of the target's mass, at an edge of its support.
        ResolutionWarning: If rounding of large energies is more than the statistical error.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
        >>> from ebm_ppl.partition import thermodynamic_integration
        >>> machine = RestrictedBoltzmannMachine([[2.0], [-1.0]], [0.0, 0.5], [-0.5])
        >>> estimate = thermodynamic_integration(machine, jax.random.key(0))
        >>> abs(estimate.log_z - 2.6006) < 5 * estimate.std_error  # the sum over all four states
        True

    References:
        A. Gelman and X.-L. Meng (1998). Simulating normalizing constants: from importance sampling to
        bridge sampling to path sampling. *Statistical Science* 13(2), 163-185.
        N. Friel and A. N. Pettitt (2008). Marginal likelihood estimation via power posteriors. *Journal of
        the Royal Statistical Society B* 70(3), 589-607.
        S. Syed, A. Bouchard-Côté, G. Deligiannidis and A. Doucet (2022). Non-reversible parallel tempering:
        a scalable highly parallel MCMC scheme. *Journal of the Royal Statistical Society B* 84(2).
    """
    check_count("num_ensembles", num_ensembles, 2)
    check_count("num_panels", num_panels)
    check_positive("power", power)
    check_interval("level", level, 0.0, 1.0)
    check_key("rng_key", rng_key)
    path, reference = lowered(as_path(target, base), rng_key)
    length = _LINEAR if isinstance(path, LinearPath) else _LENGTH
    num_draws, num_warmup = (
        default if given is None else given
        for given, default in zip((num_draws, num_warmup), length, strict=True)
    )
    check_count("num_draws", num_draws, 4)
    check_count("num_warmup", num_warmup, 0)
    moves = moves_along(kernel, num_steps, path)
    nodes, *_ = kronrod(num_panels, power)
    key_check, key_pilot, key_run = jax.random.split(rng_key, 3)
    if not bool(_is_finite_at_base(path, key_check)):
        raise NonFiniteEnergyError(
            "The energy is infinite or NaN where the base law has mass: the integral would miss the jump "
            "at the inverse temperature 0. Give a base law within the target's support."
        )
    ladder = as_schedule(np.concatenate([[0.0], nodes, [1.0]]), path, moves, key_pilot, 0.5)
    step_sizes = None if ladder.step_sizes is None else ladder.step_sizes[:-1]
    run = run_ladders(
        path,
        moves,
        ladder.inverse_temperatures[1:-1],
        step_sizes,
        key_run,
        num_ensembles,
        num_draws,
        num_warmup,
    )
    # Even and odd pairs attempt to exchange by turns.
    attempts = (num_draws + 1 - np.arange(len(nodes) - 1) % 2) // 2
    rates = np.asarray(run.exchanges, np.float64) / attempts
    if rates.min() < _LEAST_EXCHANGE:
        warnings.warn(
            f"Chains at two neighbouring temperatures exchanged in {rates.min():.1%} of their attempts: the "
            "ladder is torn there. Take more `num_panels`, or another base law.",
            SlowExchangeWarning,
            stacklevel=2,
        )
    r_hat = run.r_hat(num_draws)
    if np.any(r_hat > _LARGEST_R_HAT):
        warnings.warn(
            f"Chains mix slowly: R-hat of the integrand is up to {np.nanmax(r_hat):.2f}, above "
            f"{_LARGEST_R_HAT}, so that log Z may be off by more than its error. Take more `num_draws`, or a "
            "`kernel` that moves faster.",
            SlowMixingWarning,
            stacklevel=2,
        )
    means = run.total.in_float64 / num_draws
    estimate = estimate_from_ladders(
        means,
        (num_panels, power),
        float(path.log_z_base) - reference,
        level,
        {
            "exchange": rates,
            "r_hat": r_hat,
            "integrand": means.mean(axis=1) - reference,
        },
    )
    assert run.coldest is not None  # for the type checker
    # The coldest node is not quite the target, and there alone its draws are at rest.
    groups = Groups(moves, ladder, thinned(run.coldest), np.zeros(num_ensembles), float(nodes[-1]))
    return judged(
        estimate,
        path,
        run.coldest.reshape(-1, *path.energy.event_shape),
        jax.random.fold_in(rng_key, 1),
        reference=reference,
        groups=groups,
    )


def estimate_from_ladders(
    means: Float[np.ndarray, "nodes ensembles"],
    rule: tuple[int, float],
    log_z_base: float,
    level: float,
    diagnostics: Mapping[str, Any],
) -> LogPartitionEstimate:
    """Estimate from the mean integrand at each node in each ensemble.

    Args:
        means: Mean integrands.
        rule: Number of panels and power of the rule whose nodes they are.
        log_z_base: Log partition function of the base law.
        level: Probability that the interval is to cover log Z.
        diagnostics: What is to stand among the estimate's diagnostics.

    Returns:
        The estimate, as `thermodynamic_integration` describes it.

    Raises:
        NonFiniteEnergyError: If a mean is not finite.
    """
    if not np.isfinite(means).all():
        raise NonFiniteEnergyError("The integrand is not finite at every temperature.")
    nodes, fine, coarse = kronrod(*rule)
    ensembles = fine @ means + log_z_base
    log_z, error = _mean_and_error(ensembles)
    gap, gap_error = _mean_and_error((fine - coarse) @ means)
    quadrature_error = max(abs(gap) - 2 * gap_error, 0.0)
    count = len(ensembles)
    half_width = float(special.stdtrit(count - 1, (1 + level) / 2)) * error + quadrature_error
    return LogPartitionEstimate(
        log_z=log_z,
        std_error=error,
        interval=(log_z - half_width, log_z + half_width),
        ess=float(count),
        diagnostics={
            "level": level,
            "inverse_temperatures": nodes,
            "integrand": means.mean(axis=1),
            "ensembles": ensembles,
            "quadrature_error": quadrature_error,
            **diagnostics,
        },
    )


def _mean_and_error(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))


@eqx.filter_jit
def _is_finite_at_base(path: AbstractPath, rng_key: PRNGKey) -> Array:
    """Whether the target has mass at a thousand draws of the base law."""
    z = start_at_base(path, rng_key, 1_000)
    return jnp.all(jnp.isfinite(log_ratios(path, z, jnp.zeros(()), jnp.ones(()))))
