"""Annealed importance sampling from the target back to the base law."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_interval, check_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import AbstractPath, as_path
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._anneal import reverse_log_weights
from ebm_ppl.partition._edge import check_inside
from ebm_ppl.partition._estimate import LogPartitionEstimate, estimate_from_log_weights
from ebm_ppl.partition._judged import Groups, judged
from ebm_ppl.partition._lowered import lowered
from ebm_ppl.partition._moves import moves_along
from ebm_ppl.partition._pilot import FINENESS, Schedule, as_schedule
from ebm_ppl.partition._rest import MOST_POINTS
from ebm_ppl.samplers.moves import Kernels


def reverse_annealed_importance_sampling(
    target: AbstractEnergy | AbstractPath,
    draws: Float[Array, "num_chains *event"],
    rng_key: PRNGKey,
    *,
    base: Any = None,
    schedule: Schedule = None,
    kernel: Kernels = None,
    num_steps: int = 2,
    threshold: float | None = None,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ by chains that start at draws of the target and are heated to the base law.

    The same steps as in
    [`annealed_importance_sampling`][ebm_ppl.partition.annealed_importance_sampling], from $\beta_K = 1$
    down. Their weights average to $1 / Z$, so $\log Z$ is *over*estimated on average, where forward runs
    underestimate it: the two intervals bracket the truth. A mode that no forward chain finds is in the
    draws, and the bracket then gapes.

    All of this holds for independent exact draws. Draws of a chain that has not converged give a bracket
    of the wrong law; correlated ones too narrow an interval. Where the target's tails are lighter than
    those of the base law, the step to $\beta = 0$ has weights without a variance, which matters little only
    if $\beta_1$ is small: the schedule that a pilot run chooses sees to that, even spacing does not.

    Args:
        target: The energy, or a path to it.
        draws: Independent draws of the target, in its support, shape `(num_chains,) + event_shape`; one
            chain starts at each.
        rng_key: Random key.
        base: As in `annealed_importance_sampling`.
        schedule: As in `annealed_importance_sampling`.
        kernel: As in `annealed_importance_sampling`.
        num_steps: Number of the kernel's steps at each temperature: more than on the way to the target, since
            a chain that lags behind the law that spreads leaves it to a few others to carry the weight.
        threshold: As in `annealed_importance_sampling`.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate, with the diagnostics of a forward run; `log_weights` are those of $1 / Z$.

    Raises:
        TypeError: If `target` or `base` is no energy, path or distribution.
        ValueError: If an argument is outside its bounds, or a draw at the edge of the support.
        NonFiniteEnergyError: If the energy is NaN somewhere on the way.

    Warns:
        HeavyTailWarning: If the weights have too heavy a tail for an interval.
        SmallSampleWarning: If the effective sample size is below 10.
        SlowMixingWarning: If points at the end drift under more of the kernel's steps; there is no interval.
        MissedModeWarning: If a place that should hold mass was found where no point is.
        EdgeWarning: If floats do not resolve much of the target's mass, at an edge of its support.
        ResolutionWarning: If rounding of large energies is more than the statistical error.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.partition import reverse_annealed_importance_sampling
        >>> draws = 2.0 * jax.random.normal(jax.random.key(0), (1000, 1))
        >>> estimate = reverse_annealed_importance_sampling(
        ...     Gaussian([0.0], [[4.0]]), draws, jax.random.key(1)
        ... )
        >>> abs(estimate.log_z - 1.6121) < 5 * estimate.std_error  # log(2 sqrt(2 pi))
        True

    References:
        R. B. Grosse, Z. Ghahramani and R. P. Adams (2015). Sandwiching the marginal likelihood using
        bidirectional Monte Carlo. arXiv:1511.02543.
    """
    check_interval("level", level, 0.0, 1.0)
    if threshold is not None:
        check_interval("threshold", threshold, 0.0, 1.0)
    check_key("rng_key", rng_key)
    path, reference = lowered(as_path(target, base), rng_key)
    shape = np.shape(draws)
    if len(shape) < 1 or shape[1:] != tuple(path.energy.event_shape) or shape[0] < 2:
        raise ValueError(
            f"Expected `draws` of shape (num_chains, *{tuple(path.energy.event_shape)}) with at least 2 "
            f"chains; got {shape}."
        )
    moves = moves_along(kernel, num_steps, path)
    key_pilot, key_run = jax.random.split(rng_key)
    ladder = as_schedule(
        schedule, path, moves, key_pilot, FINENESS if threshold is None else threshold
    )
    points = jnp.asarray(draws, dtype=float)
    check_inside(path.energy, points)
    log_weights, positions, accept_prob = reverse_log_weights(path, moves, ladder, key_run, points)
    inverse = estimate_from_log_weights(
        log_weights.in_float64 - float(path.log_z_base) + reference,
        level=level,
        diagnostics={"schedule": ladder, "accept_prob": accept_prob, "positions": positions},
    )
    ends = inverse.interval
    estimate = LogPartitionEstimate(
        log_z=-inverse.log_z,
        std_error=inverse.std_error,
        interval=None if ends is None else (-ends[1], -ends[0]),
        ess=inverse.ess,
        diagnostics={**inverse.diagnostics, "log_bias": -inverse.diagnostics["log_bias"]},
    )
    first = points[:MOST_POINTS, None]
    return judged(
        estimate,
        path,
        points,
        jax.random.fold_in(rng_key, 1),
        reference=reference,
        groups=Groups(moves, ladder, first, np.zeros(len(first))),
    )
