"""Estimates of log Z by annealed importance sampling, for use inside a kernel."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from ebm_ppl._checks import check_count
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import as_path
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition import AnnealingSchedule
from ebm_ppl.partition._anneal import forward_log_weights
from ebm_ppl.partition._moves import moves_along
from ebm_ppl.samplers.moves import Kernels


class AnnealedLogZ(eqx.Module):
    r"""Annealed importance sampling with one schedule for all parameters, for `NoisyMetropolis`.

    It is `annealed_importance_sampling` without its pilot run and without its error bar, so that JAX can
    trace it. Its variance should be far below $1 / n^2$ for $n$ observations.

    Attributes:
        schedule: The schedule, as `adaptive_schedule` finds it at typical parameters, with step sizes if
            the kernel takes one.
        base: Base law of the geometric path; by default
            [`default_base`][ebm_ppl.annealing.default_base].
        num_chains: Number of chains.
        kernel: As for `annealed_importance_sampling`.
        num_steps: Number of the kernel's steps at each temperature.

    Raises:
        ValueError: If a number is not positive; when it runs, if the kernel takes a step size and neither
            it nor the schedule has one.

    Examples:
        >>> import jax
        >>> from ebm_ppl.doubly_intractable import AnnealedLogZ
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.partition import adaptive_schedule
        >>> schedule = adaptive_schedule(Quartic(), jax.random.key(0))
        >>> log_z = AnnealedLogZ(schedule, num_chains=10_000)
        >>> print(f"{log_z(Quartic(a=0.5), jax.random.key(1)):.1f}")  # 0.4414
        0.4

    References:
        R. M. Neal (2001). Annealed importance sampling. *Statistics and Computing* 11, 125-139.
    """

    schedule: AnnealingSchedule
    base: Any = None
    num_chains: int = eqx.field(static=True, default=100)
    kernel: Kernels = None
    num_steps: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_count("num_chains", self.num_chains)
        check_count("num_steps", self.num_steps)

    def __call__(self, energy: AbstractEnergy, rng_key: PRNGKey) -> Scalar:
        """Estimate log Z of an energy, whose parameters may be traced."""
        path = as_path(energy, self.base)
        moves = moves_along(self.kernel, self.num_steps, path)
        if moves.is_tunable and self.schedule.step_sizes is None:
            raise ValueError(
                "`schedule` must bring step sizes for a kernel that takes one, as that of "
                "`adaptive_schedule` does; got None."
            )
        weights, *_ = forward_log_weights(path, moves, self.schedule, rng_key, self.num_chains)
        log_mean = logsumexp(weights.total - weights.lost) - jnp.log(self.num_chains)
        return log_mean + path.log_z_base
