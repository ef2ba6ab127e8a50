"""Annealed importance sampling, from the base law to the target."""

from typing import Any

import jax

from ebm_ppl._checks import check_count, check_interval, check_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import AbstractPath, as_path
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._anneal import forward_log_weights
from ebm_ppl.partition._estimate import LogPartitionEstimate, estimate_from_log_weights
from ebm_ppl.partition._judged import Groups, judged
from ebm_ppl.partition._lowered import lowered
from ebm_ppl.partition._moves import moves_along
from ebm_ppl.partition._pilot import FINENESS, Schedule, as_schedule
from ebm_ppl.partition._rest import MOST_POINTS
from ebm_ppl.samplers.moves import Kernels


def annealed_importance_sampling(
    target: AbstractEnergy | AbstractPath,
    rng_key: PRNGKey,
    *,
    base: Any = None,
    num_chains: int = 1_000,
    schedule: Schedule = None,
    kernel: Kernels = None,
    num_steps: int = 1,
    threshold: float | None = None,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ by chains that are drawn from a base law and annealed to the target.

    A chain starts at a draw $x_0$ of the base law. At each $\beta_k$ it gathers the weight of the step
    to it and then moves by a kernel that leaves $f_{\beta_k}$ invariant,
    $$w = Z_0 \prod_{k=1}^K \frac{f_{\beta_k}(x_{k-1})}{f_{\beta_{k-1}}(x_{k-1})}, \qquad E[w] = Z,$$
    whether or not the chains get anywhere near equilibrium. The mean of the weights is unbiased for $Z$;
    its logarithm is below $\log Z$ on average. Chains that do not mix make the weights vary, and where no
    chain finds a mode, no weight tells of it: compare with
    [`reverse_annealed_importance_sampling`][ebm_ppl.partition.reverse_annealed_importance_sampling].

    A kernel without an acceptance step (`Langevin`) leaves no $f_{\beta_k}$ invariant, and the estimate is
    then biased by an amount that no error bar shows.

    Args:
        target: The energy, or a path to it. The path to a lattice or a Boltzmann machine, restricted or not,
            is a [`LinearPath`][ebm_ppl.annealing.LinearPath] from all states alike, to any other energy a
            [`GeometricPath`][ebm_ppl.annealing.GeometricPath].
        rng_key: Random key.
        base: Base law of a geometric path: a NumPyro distribution or a normalised `EnergyDistribution`; by
            default [`default_base`][ebm_ppl.annealing.default_base], of unconstrained coordinates or states.
        num_chains: Number of chains, at least 2; they run side by side.
        schedule: Inverse temperatures that rise from 0 to 1, a number of evenly spaced steps, or an
            [`AnnealingSchedule`][ebm_ppl.partition.AnnealingSchedule]; by default a pilot run chooses them.
            Where it brings no step sizes and the kernel takes one, a pilot run tunes them.
        kernel: Called with `potential_fn`, and with `step_size` where that is tuned: a kernel class of this
            package or of NumPyro, a `functools.partial` of one, or [`Moves`][ebm_ppl.samplers.Moves], whose
            schedules are of the inverse temperature. Several take turns, each with a step size that it
            brings. By default MALA; of discrete points block Gibbs where the path knows their conditional
            laws, else Gibbs with gradients.
        num_steps: Number of the kernel's steps at each temperature. Gibbs with gradients changes one
            coordinate a step: about as many steps as there are coordinates make a sweep.
        threshold: Conditional effective sample size at which a pilot run places temperatures; by default
            0.995, and on a `LinearPath` its steps are divided, into 2,000 at most, until together they lose
            no more than a tenth of it.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate, with the diagnostics of
        [`estimate_from_log_weights`][ebm_ppl.partition.estimate_from_log_weights] and `schedule`,
        `accept_prob` (of each temperature) and `positions`, where the chains ended, in the support: with
        the weights a sample of the target.

    Raises:
        TypeError: If `target` or `base` is no energy, path or distribution.
        ValueError: If an argument is outside its bounds.
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
        >>> from ebm_ppl.partition import annealed_importance_sampling
        >>> energy = Gaussian([1.0, -1.0], [[0.5, 0.2], [0.2, 1.0]])
        >>> estimate = annealed_importance_sampling(energy, jax.random.key(0))
        >>> log_z = 1.4496  # log(2 pi sqrt(0.46))
        >>> abs(estimate.log_z - log_z) < 5 * estimate.std_error, estimate.std_error < 0.05
        (True, True)

    References:
        R. M. Neal (2001). Annealed importance sampling. *Statistics and Computing* 11, 125-139.
        R. Salakhutdinov and I. Murray (2008). On the quantitative analysis of deep belief networks.
        *ICML* 25.
    """
    check_count("num_chains", num_chains, 2)
    check_interval("level", level, 0.0, 1.0)
    if threshold is not None:
        check_interval("threshold", threshold, 0.0, 1.0)
    check_key("rng_key", rng_key)
    path, reference = lowered(as_path(target, base), rng_key)
    moves = moves_along(kernel, num_steps, path)
    key_pilot, key_run = jax.random.split(rng_key)
    ladder = as_schedule(
        schedule, path, moves, key_pilot, FINENESS if threshold is None else threshold
    )
    log_weights, positions, accept_prob = forward_log_weights(
        path, moves, ladder, key_run, num_chains
    )
    estimate = estimate_from_log_weights(
        log_weights.in_float64 + float(path.log_z_base) - reference,
        level=level,
        diagnostics={"schedule": ladder, "accept_prob": accept_prob, "positions": positions},
    )
    weights = estimate.diagnostics["log_weights"]
    first = slice(MOST_POINTS)
    return judged(
        estimate,
        path,
        positions,
        jax.random.fold_in(rng_key, 1),
        log_weights=weights,
        reference=reference,
        groups=Groups(moves, ladder, positions[first, None], weights[first]),
    )
