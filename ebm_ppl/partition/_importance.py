"""Importance sampling: weights of draws from a law that is known."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_interval, check_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import AbstractPath, GeometricPath
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, estimate_from_log_weights
from ebm_ppl.partition._judged import judged
from ebm_ppl.partition._lowered import lowered


def importance_sampling(
    energy: AbstractEnergy,
    proposal: Any,
    rng_key: PRNGKey,
    *,
    num_draws: int = 10_000,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ by draws of a proposal, each weighted by what it stands for.

    $$\hat Z = \frac1n \sum_{i=1}^n \frac{e^{-E(x_i)}}{q(x_i)}, \qquad x_i \sim q, \qquad E[\hat Z] = Z.$$

    The proposal has to have tails at least as heavy as the target's, and mass at each of its modes. Where
    a tail is too light $\hat k$ says so. Of a mode that no draw has seen nothing can tell: where the
    proposal *nearly* misses it a few draws carry the estimate, $\hat k$ is above 0.7, and there is no
    interval; where it is out of reach altogether, all weights look well.

    Args:
        energy: The energy.
        proposal: A NumPyro distribution with the energy's support (batch axes count as independent
            coordinates), or a normalised `EnergyDistribution`.
        rng_key: Random key.
        num_draws: Number of draws, at least 2.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate, with the diagnostics of
        [`estimate_from_log_weights`][ebm_ppl.partition.estimate_from_log_weights] and `positions`, the
        draws.

    Raises:
        TypeError: If `energy` is no energy or `proposal` no distribution.
        ValueError: If `proposal` has another shape or support, or no normaliser, or a number is outside its
            bounds.
        NonFiniteEnergyError: If the energy is NaN or minus infinity at a draw.

    Warns:
        HeavyTailWarning: If the weights have too heavy a tail for an interval.
        SmallSampleWarning: If the effective sample size is below 10.
        MissedModeWarning: If a place that should hold mass was found where no point is.
        EdgeWarning: If floats do not resolve much of the target's mass, at an edge of its support.
        ResolutionWarning: If rounding of large energies is more than the statistical error.

    Examples:
        >>> import jax, numpyro.distributions as dist
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.partition import importance_sampling
        >>> proposal = dist.StudentT(5.0, 0.0, 1.0)
        >>> estimate = importance_sampling(Quartic(a=0.0, b=0.0), proposal, jax.random.key(0))
        >>> abs(estimate.log_z - 0.5949) < 5 * estimate.std_error  # log(2 Gamma(5/4)) = 0.5949
        True

    References:
        A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry (2024). Pareto smoothed importance sampling.
        *Journal of Machine Learning Research* 25(72).
    """
    check_count("num_draws", num_draws, 2)
    check_interval("level", level, 0.0, 1.0)
    check_key("rng_key", rng_key)
    if proposal is None:
        raise TypeError("`proposal` must be a NumPyro distribution; got None.")
    path, reference = lowered(GeometricPath(energy, proposal), rng_key)
    log_weights, positions = importance_log_weights(path, rng_key, num_draws)
    estimate = estimate_from_log_weights(
        np.asarray(log_weights, np.float64) - reference,
        level=level,
        diagnostics={"positions": positions},
    )
    weights = estimate.diagnostics["log_weights"]
    key_looks = jax.random.fold_in(rng_key, 1)
    return judged(estimate, path, positions, key_looks, log_weights=weights, reference=reference)


@eqx.filter_jit
def importance_log_weights(
    path: AbstractPath, rng_key: PRNGKey, num_draws: int
) -> tuple[Float[Array, " num_draws"], Float[Array, "num_draws *event"]]:
    """Log weights of draws of a path's base law for its end, and the draws."""
    x = path.sample_base(rng_key, num_draws)
    zero, one = jnp.zeros(()), jnp.ones(())
    return jax.vmap(lambda x: path.log_ratio(x, zero, one))(x), x
