"""What every estimator of a partition function returns: log Z, its error, and how far to trust either."""

import dataclasses
import math
import warnings
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float
from numpy.typing import NDArray

from ebm_ppl._checks import check_interval
from ebm_ppl._errors import NonFiniteEnergyError
from ebm_ppl.partition._interval import log_mean_interval
from ebm_ppl.partition._pareto import pareto_k
from ebm_ppl.partition._replicates import log_mean

PARETO_K_LIMIT = 0.7
"""Above this tail shape an average of weights says nothing about its own error."""

LEAST_ESS = 10
"""Below this effective sample size an estimate is warned of."""

LEAST_WEIGHTS = 2
"""Below this effective sample size one weight carries the estimate, and there is no interval."""


class HeavyTailWarning(UserWarning):
    r"""Weights have so heavy a tail ($\hat k > 0.7$) that their average has no usable error."""


class MissedModeWarning(UserWarning):
    """A place that should hold a share of the mass was found, and no point of the estimate is near it."""


class SmallSampleWarning(UserWarning):
    """A few weights carry the whole estimate: the effective sample size is below ten."""


class SlowMixingWarning(UserWarning):
    """Chains move too slowly to have come to rest, so that they may tell of where they started."""


class EdgeWarning(UserWarning):
    """Much of a law's mass lies nearer to the edge of its support than floats resolve."""


class ResolutionWarning(UserWarning):
    """Energies are so large that rounding alone moves log Z by more than its statistical error."""


class LogPartitionEstimate(eqx.Module):
    r"""An estimate of $\log Z$ with its error.

    It is a pytree, and normalises a distribution: `EnergyDistribution(energy, log_z=estimate)`.

    Attributes:
        log_z: The estimate of $\log Z$. Where `diagnostics` calls $\hat Z$ unbiased, it is
            $\log \hat Z$, which is below $\log Z$ on average, by about half the squared error.
        std_error: Standard error of `log_z`.
        interval: Confidence interval for $\log Z$, not symmetric about `log_z`; `None` where there is no
            ground to give one, of which a warning tells.
        ess: Effective sample size behind the estimate.
        diagnostics: What the method knows beside, by name.

    Examples:
        >>> import numpy as np
        >>> from ebm_ppl.partition import estimate_from_log_weights
        >>> log_weights = np.random.default_rng(0).normal(-0.5, 1.0, 1000)  # the mean weight is 1
        >>> print(estimate_from_log_weights(log_weights))
        log Z = -0.078 ± 0.038, 95% interval [-0.150, 0.004]
    """

    log_z: float
    std_error: float
    interval: tuple[float, float] | None
    ess: float
    diagnostics: Mapping[str, Any]

    def __str__(self) -> str:
        text = f"log Z = {self.log_z:.3f} ± {self.std_error:.3f}"
        if self.interval is None:
            return f"{text}, no interval"
        low, high = self.interval
        return f"{text}, {self.diagnostics['level']:.0%} interval [{low:.3f}, {high:.3f}]"


def estimate_from_log_weights(
    log_weights: Float[ArrayLike, "..."],
    *,
    level: float = 0.95,
    diagnostics: Mapping[str, Any] | None = None,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ from independent weights whose mean is $Z$.

    $$\hat Z = \frac1n \sum_{i=1}^n w_i, \qquad
    \text{ESS} = \frac{\left(\sum_i w_i\right)^2}{\sum_i w_i^2}.$$

    The standard error is that of the delta method. The interval is studentised: its ends are as far from
    $\log \hat Z$ as weights so skewed make $\log \hat Z$ deviate, in standard errors of its own.

    Args:
        log_weights: Logarithms of the weights, shape `(n,)` with $n \ge 2$; $-\infty$ where one is 0.
        level: Probability that the interval is to cover $\log Z$.
        diagnostics: What is to stand among the estimate's diagnostics.

    Returns:
        The estimate. Its diagnostics are `level`, `pareto_k` (see
        [`pareto_k`][ebm_ppl.partition.pareto_k]), `log_bias`, which is the mean of $\log \hat Z - \log Z$
        to first order, `log_weights`, and those given.

    Raises:
        NonFiniteEnergyError: If a weight is NaN or infinite, or none is above 0.
        ValueError: If there are fewer than two weights.

    Warns:
        HeavyTailWarning: If $\hat k > 0.7$; there is no interval then.
        SmallSampleWarning: If the effective sample size is below 10; below 2 there is no interval.

    References:
        A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry (2024). Pareto smoothed importance sampling.
        *Journal of Machine Learning Research* 25(72).
    """
    check_interval("level", level, 0.0, 1.0)
    values = np.asarray(log_weights, dtype=np.float64)
    _check_log_weights(values)
    log_z, error = (float(value) for value in log_mean(values))
    ess = len(values) / (1 + error**2 * (len(values) - 1))
    shape = pareto_k(values)
    # One weight alone, or a tail too heavy for its mean, tells nothing of the error. The shape of few
    # weights is NaN, which is not too heavy.
    tells_nothing = shape > PARETO_K_LIMIT or ess < LEAST_WEIGHTS
    warn_if_unreliable(shape, ess)
    return LogPartitionEstimate(
        log_z=log_z,
        std_error=error,
        interval=None if tells_nothing else log_mean_interval(values, level),
        ess=ess,
        diagnostics={
            "level": level,
            "pareto_k": shape,
            "log_bias": -0.5 * error**2,
            "log_weights": values,
            **(diagnostics or {}),
        },
    )


def warn_if_unreliable(shape: float, ess: float) -> None:
    """Warn of a heavy tail or a small effective sample size."""
    if shape > PARETO_K_LIMIT:
        warnings.warn(
            f"The weights have a tail of shape k = {shape:.2f}, above {PARETO_K_LIMIT}: their average may be "
            "far off without a sign, so there is no interval. The proposal or the path misses mass of the "
            "target; let it overlap more, or take more temperatures.",
            HeavyTailWarning,
            stacklevel=3,
        )
    if ess < LEAST_ESS:
        warnings.warn(
            f"The effective sample size is {ess:.1f}, below {LEAST_ESS}: a few weights carry the estimate.",
            SmallSampleWarning,
            stacklevel=3,
        )


def at_rest(estimate: LogPartitionEstimate, p_value: float, limit: float) -> LogPartitionEstimate:
    """An estimate without an interval if its points were still drifting.

    Args:
        estimate: The estimate.
        p_value: That of the points at the end being at rest.
        limit: Below this they are not.

    Returns:
        The estimate, with the p-value among its diagnostics.

    Warns:
        SlowMixingWarning: If they are not.
    """
    if p_value < limit:
        warnings.warn(
            "Points at the end of the path are not at rest: more steps of the kernel carry them where they "
            "have not been. log Z is probably too low, and there is no interval. Take more `num_steps`, more "
            "temperatures (a higher `threshold`), a `kernel` that moves faster, or a wider `base`.",
            SlowMixingWarning,
            stacklevel=3,
        )
    return dataclasses.replace(
        estimate,
        interval=None if p_value < limit else estimate.interval,
        diagnostics={**estimate.diagnostics, "rest_p_value": p_value},
    )


def _check_log_weights(values: NDArray[np.float64]) -> None:
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"Expected `log_weights` of shape (n,) with n >= 2; got {values.shape}.")
    if np.isnan(values).any() or np.max(values) == math.inf:
        raise NonFiniteEnergyError(
            "A weight is NaN or infinite: the energy or a law is not finite."
        )
    if np.max(values) == -math.inf:
        raise NonFiniteEnergyError("Every weight is 0: the energy is infinite at all draws.")
