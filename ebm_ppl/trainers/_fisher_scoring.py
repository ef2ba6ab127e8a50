"""Maximum likelihood for a simulator, by Fisher scores estimated around the current parameter."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_finite, check_positive
from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._schedule import Schedule, check_positive_schedule, value_at

Simulator: TypeAlias = Callable[[PRNGKey, Array], Array]
"""Maps a random key and one parameter to one simulated observation."""


class FisherScoring(NamedTuple):
    r"""Result of `fisher_scoring`.

    Attributes:
        theta: The estimate: the mean over the second half of the path, shape `(dim,)`.
        path: The parameter after each step, shape `(num_steps, dim)`.
        score: Estimated mean Fisher score of the observations, likewise, shape `(dim,)`.
        information: Estimated Fisher information of one observation, likewise, shape `(dim, dim)`.
        standard_errors: $\sqrt{\operatorname{diag}(J^{-1}) / n}$ with that information $J$, shape `(dim,)`.
    """

    theta: Float[Array, " dim"]
    path: Float[Array, "num_steps dim"]
    score: Float[Array, " dim"]
    information: Float[Array, "dim dim"]
    standard_errors: Float[Array, " dim"]


def _identity(x: Array) -> Array:
    return x


def fisher_scoring(
    simulator: Simulator,
    observations: Any,
    start: Any,
    *,
    rng_key: PRNGKey,
    smoothing: float,
    num_simulations: int = 1000,
    num_steps: int = 50,
    learning_rate: Schedule = 0.5,
    features: Callable[[Array], Array] = _identity,
) -> FisherScoring:
    r"""Climb the likelihood of a simulator's parameter without a likelihood.

    Each step draws $\theta_j \sim N(\theta, \sigma^2 I)$ and $x_j \sim p(\cdot \mid \theta_j)$ around the
    current $\theta$ and fits a score $s(x) = B \phi(x)$, linear in $\phi(x) = (1, \text{features}(x))$, by
    `FisherScoreMatching`, which is here the least-squares regression of $(\theta_j - \theta)/\sigma^2$ on
    $\phi(x_j)$. It estimates the score at $\theta$ of the likelihood smoothed by the proposal, whose
    information is $J = \mathbb{E}\, s s^\top$. Then
    $$\theta \leftarrow \theta + \eta\, J^{-1} \frac1n \sum_{i=1}^n s(x_i).$$
    The fixed point is the maximum of the smoothed likelihood, $O(\sigma^2)$ from that of the likelihood; it
    is exact where the smoothed score vanishes with the true one, as for location parameters. The features
    have to span the score: for an exponential family, its sufficient statistics.

    Args:
        simulator: Maps a key and one parameter of shape `(dim,)` to one observation.
        observations: Observations, shape `(num_observations, *observation_shape)`.
        start: Parameter to start from, shape `(dim,)`.
        rng_key: Random key.
        smoothing: Standard deviation $\sigma$ of the proposal.
        num_simulations: Number of simulations in each step.
        num_steps: Number of steps.
        learning_rate: $\eta$, a number or a schedule of the step.
        features: Maps one observation to a vector of features (or a scalar); the observation itself by
            default.

    Returns:
        The estimate with its path, information and standard errors.

    Raises:
        ValueError: If an argument is outside its bounds, or `simulator` returns something of another
            shape than an observation.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from ebm_ppl.trainers import fisher_scoring
        >>> def simulator(rng_key, theta):
        ...     return theta[0] + jax.random.normal(rng_key)
        >>> x = 2.0 + jax.random.normal(jax.random.key(0), (400,))
        >>> result = fisher_scoring(
        ...     simulator, x, [0.0], rng_key=jax.random.key(1), smoothing=0.3, num_steps=20
        ... )
        >>> bool(abs(result.theta[0] - x.mean()) < 0.05)
        True

    References:
        S. Khoo, Y. Wang, S. Liu and M. Beaumont (2025). Direct Fisher score estimation for likelihood
        maximization. arXiv:2506.06542.
    """
    theta = jnp.asarray(start, dtype=float)
    if theta.ndim != 1 or theta.size == 0:
        raise ValueError(f"Expected `start` of shape (dim,) with dim >= 1; got {theta.shape}.")
    x = jnp.asarray(observations, dtype=float)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"`observations` must have at least one row; got shape {x.shape}.")
    check_finite("start", theta)
    check_finite("observations", np.asarray(x))
    check_positive("smoothing", smoothing)
    check_positive_schedule("learning_rate", learning_rate)
    check_count("num_simulations", num_simulations, theta.size + 2)
    check_count("num_steps", num_steps)
    simulated = jax.eval_shape(simulator, rng_key, theta)
    if simulated.shape != x.shape[1:]:
        raise ValueError(
            f"Expected `simulator` to return one observation of shape {x.shape[1:]}; got "
            f"{simulated.shape}."
        )
    rates = jnp.stack([jnp.asarray(value_at(learning_rate, i), float) for i in range(num_steps)])
    return _climb(simulator, features, x, theta, rates, smoothing, num_simulations, rng_key)


@eqx.filter_jit
def _climb(
    simulator: Simulator,
    features: Callable[[Array], Array],
    observations: Array,
    start: Array,
    rates: Array,
    smoothing: float,
    num_simulations: int,
    rng_key: PRNGKey,
) -> FisherScoring:
    def design(x: Array) -> Float[Array, "num_rows num_features"]:
        values = jax.vmap(features)(x).reshape(len(x), -1)
        return jnp.concatenate([jnp.ones((len(x), 1), values.dtype), values], axis=1)

    observed = jnp.mean(design(observations), axis=0)

    def step(theta: Array, inputs: tuple[Array, PRNGKey]) -> tuple[Array, tuple[Array, ...]]:
        rate, rng_key = inputs
        key_proposal, key_simulator = jax.random.split(rng_key)
        noise = jax.random.normal(key_proposal, (num_simulations, theta.size), theta.dtype)
        keys = jax.random.split(key_simulator, num_simulations)
        rows = design(jax.vmap(simulator)(keys, theta + smoothing * noise))
        coefficients = jnp.linalg.lstsq(rows, noise / smoothing)[0]
        score = observed @ coefficients
        moments = rows.T @ rows / num_simulations
        information = coefficients.T @ moments @ coefficients
        theta = theta + rate * jnp.linalg.solve(information, score)
        return theta, (theta, score, coefficients, moments)

    keys = jax.random.split(rng_key, len(rates))
    _, steps = jax.lax.scan(step, start, (rates, keys))
    path = steps[0]
    theta, score, coefficients, moments = (
        jnp.mean(values[len(path) // 2 :], axis=0) for values in steps
    )
    # Of averaged coefficients: a step's own are noisy, and their square would count the noise.
    information = coefficients.T @ moments @ coefficients
    variance = jnp.diag(jnp.linalg.inv(information)) / len(observations)
    return FisherScoring(
        theta=theta,
        path=path,
        score=score,
        information=information,
        standard_errors=jnp.sqrt(variance),
    )
