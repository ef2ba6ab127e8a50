"""Maximum likelihood for a simulator, by Fisher scores estimated around the current parameter."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_finite, check_positive
from ebm_ppl._schedule import Schedule, check_positive_schedule, value_at
from ebm_ppl._types import PRNGKey

Simulator: TypeAlias = Callable[[PRNGKey, Array], Array]
"""Maps a random key and one parameter to one simulated observation."""


class FisherScoring(NamedTuple):
    r"""Result of `fisher_scoring`.

    Attributes:
        theta: The estimate: the mean over the second half of the steps of where each would end alone,
            shape `(dim,)`.
        path: The parameter after each step, shape `(num_steps, dim)`.
        score: Estimated mean Fisher score of the observations, averaged likewise, shape `(dim,)`.
        information: Estimated Fisher information of one observation, likewise, shape `(dim, dim)`.
        standard_errors: Square roots of the diagonal of $J^{-1} / n$ with that information $J$, plus the
            variance of the simulations in `theta`, shape `(dim,)`.
        monte_carlo_errors: What the simulations alone add to them, shape `(dim,)`.
        converged: Whether the second half of the steps stayed about `theta`; if not, `fisher_scoring` has
            warned.
    """

    theta: Float[Array, " dim"]
    path: Float[Array, "num_steps dim"]
    score: Float[Array, " dim"]
    information: Float[Array, "dim dim"]
    standard_errors: Float[Array, " dim"]
    monte_carlo_errors: Float[Array, " dim"]
    converged: bool


_FEWEST_STEPS = 20  # five in each of the last two quarters, whose means are compared
_LONGEST = (
    2.0  # in standard deviations of one observation; a normal scale would overflow in a few more
)
_LONG = 0.5  # on average; at the estimate, N simulations move it by about 1 / sqrt(N)
_SIGNIFICANT = 8.0  # standard errors of the drift; with 12 steps in a quarter, once in 2e5 runs
_MATERIAL = 0.25  # of the stated error: what drifts less does not matter


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

    Each step simulates $x_j$ at the current $\theta$ and, with the same random key, $x_j^\pm$ at $\theta \pm
    \sigma \epsilon_j$ with $\epsilon_j \sim N(0, I)$. With features $\phi$ of an observation these give the
    score $s(x) = G\, \Sigma^{-1} (\phi(x) - \mathbb{E}_\theta \phi)$, the best that is linear in them:
    $$\Sigma = \operatorname{Cov}_\theta \phi, \qquad G = \frac1N \sum_j \epsilon_j \frac{\phi(x_j^+) -
    \phi(x_j^-)}{2 \sigma} \approx \frac{\partial \mathbb{E}_\theta \phi}{\partial \theta},$$
    with the information $J = G \Sigma^{-1} G^\top$. It is the regression of $\pm \epsilon_j / \sigma$ on
    $\phi(x_j^\pm)$ that `FisherScoreMatching` amounts to here, with antithetic pairs and common random
    numbers, which remove nearly all of its noise, and centred at $\theta$ itself. Then
    $$\theta \leftarrow \theta + \eta\, J^{-1} \frac1n \sum_{i=1}^n s(x_i),$$
    with steps bounded to two standard deviations of what one observation tells. The fixed point has the
    observed means of the features, in the directions that $J$ weighs: if they span the score, as the
    sufficient statistics of an exponential family do, it is the maximum of the likelihood, whatever
    $\sigma$; if not, it is consistent, and the standard errors are right for it.

    Args:
        simulator: Maps a key and one parameter of shape `(dim,)` to one observation.
        observations: Observations, shape `(num_observations, *observation_shape)`.
        start: Parameter to start from, shape `(dim,)`.
        rng_key: Random key.
        smoothing: Standard deviation $\sigma$ of the parameters beside $\theta$.
        num_simulations: Number $N$ of random keys in each step, each for three simulations.
        num_steps: Number of steps, of which the second half counts.
        learning_rate: $\eta$, a number or a schedule of the step.
        features: Maps one observation to a vector of features (or a scalar); the observation itself by
            default.

    Returns:
        The estimate with its path, information and standard errors.

    Warns:
        RuntimeWarning: If the second half of the steps has not settled, or something is not finite.

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
    check_count("num_steps", num_steps, _FEWEST_STEPS)
    simulated = jax.eval_shape(simulator, rng_key, theta)
    if simulated.shape != x.shape[1:]:
        raise ValueError(
            f"Expected `simulator` to return one observation of shape {x.shape[1:]}; got "
            f"{simulated.shape}."
        )
    rates = jnp.stack([jnp.asarray(value_at(learning_rate, i), float) for i in range(num_steps)])
    found = _climb(simulator, features, x, theta, rates, smoothing, num_simulations, rng_key)
    return _judged(found, len(x))


class _Climb(NamedTuple):
    """One value of each step."""

    path: Float[Array, "num_steps dim"]
    targets: Float[Array, "num_steps dim"]
    score: Float[Array, "num_steps dim"]
    slopes: Float[Array, "num_steps dim num_features"]
    covariance: Float[Array, "num_steps num_features num_features"]
    length: Float[Array, " num_steps"]


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
) -> _Climb:
    def features_of(x: Array) -> Float[Array, "num_rows num_features"]:
        return jax.vmap(features)(x).reshape(len(x), -1)

    observed = jnp.mean(features_of(observations), axis=0)

    def step(theta: Array, inputs: tuple[Array, PRNGKey]) -> tuple[Array, _Climb]:
        rate, rng_key = inputs
        key_noise, key_simulator = jax.random.split(rng_key)
        noise = jax.random.normal(key_noise, (num_simulations, theta.size), theta.dtype)
        keys = jax.random.split(key_simulator, num_simulations)

        def simulated(parameters: Array) -> Float[Array, "num_rows num_features"]:
            return features_of(jax.vmap(simulator)(keys, parameters))

        here = simulated(jnp.broadcast_to(theta, noise.shape))
        above, below = (simulated(theta + sign * smoothing * noise) for sign in (1.0, -1.0))
        slopes = noise.T @ (above - below) / (2 * smoothing * num_simulations)
        centred = here - jnp.mean(here, axis=0)
        covariance = centred.T @ centred / num_simulations
        weights = _weights(slopes, covariance)
        score = weights @ (observed - jnp.mean(here, axis=0))
        newton = jnp.linalg.solve(weights @ slopes.T, score)
        length = jnp.sqrt(score @ newton)  # in standard deviations of what one observation tells
        direction = newton / jnp.maximum(length / _LONGEST, 1.0)
        new = theta + rate * direction
        return new, _Climb(new, theta + direction, score, slopes, covariance, length)

    keys = jax.random.split(rng_key, len(rates))
    return jax.lax.scan(step, start, (rates, keys))[1]


def _weights(
    slopes: Float[Array, "dim num_features"], covariance: Float[Array, "num_features num_features"]
) -> Float[Array, "dim num_features"]:
    """The slopes times the inverse covariance, of features in units of their own; some may be collinear."""
    scale = jnp.sqrt(jnp.diag(covariance))
    scale = jnp.where(scale > 0, scale, 1.0)
    inverse = jnp.linalg.pinv(covariance / jnp.outer(scale, scale), hermitian=True)
    return slopes / scale @ inverse / scale


def _judged(climb: _Climb, num_observations: int) -> FisherScoring:
    """The second half of the steps: its means, their errors, and whether it has settled."""
    half: Any = jax.tree.map(lambda values: values[len(values) // 2 :], climb)
    theta, score = jnp.mean(half.targets, axis=0), jnp.mean(half.score, axis=0)
    # Of averages: a step's own slopes are noisy, and their square would count the noise.
    slopes = jnp.mean(half.slopes, axis=0)
    information = _weights(slopes, jnp.mean(half.covariance, axis=0)) @ slopes.T
    variance = jnp.diag(jnp.linalg.inv(information)) / num_observations
    # Of the last quarter: what is still on its way before it would hide itself as noise.
    late = half.targets[len(half.targets) // 2 :]
    noise = jnp.var(late, axis=0, ddof=1) / len(half.targets)
    errors = jnp.sqrt(variance + noise)
    problem = _problem(half, np.asarray(errors))
    if problem is not None:
        warnings.warn(
            f"`fisher_scoring` has not converged: {problem}. Begin nearer (`start`), or take more steps "
            "(`num_steps`), more simulations or features that say more of the parameter.",
            RuntimeWarning,
            stacklevel=3,
        )
    return FisherScoring(
        theta=theta,
        path=climb.path,
        score=score,
        information=information,
        standard_errors=errors,
        monte_carlo_errors=jnp.sqrt(noise),
        converged=problem is None,
    )


def _problem(half: _Climb, errors: np.ndarray) -> str | None:
    """What speaks against an estimate; `None` if nothing does."""
    targets = np.asarray(half.targets, np.float64)
    if not (np.all(np.isfinite(targets)) and np.all(np.isfinite(errors))):
        return "the parameter or its information is not finite"
    lengths = np.asarray(half.length)
    if np.max(lengths) > _LONGEST or np.mean(lengths) > _LONG:
        return (
            f"the last {len(targets)} steps still want to go {np.mean(lengths):.2g} standard deviations of "
            "one observation"
        )
    early, late = np.array_split(targets, 2)
    drift = np.abs(late.mean(axis=0) - early.mean(axis=0))
    noise = late.std(axis=0, ddof=1) * np.sqrt(1 / len(early) + 1 / len(late))
    moved = (drift > _SIGNIFICANT * noise) & (drift > _MATERIAL * errors)
    if np.any(moved):
        k = int(np.argmax(moved))
        return f"coordinate {k} moved by {drift[k]:.2g} between the last two quarters of the steps"
    return None
