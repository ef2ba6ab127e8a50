"""Models of everyday statistics, whose posteriors nobody knows in closed form."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import initialize_model


class Posterior(NamedTuple):
    """A posterior on `dim` unconstrained coordinates.

    Attributes:
        title: What the model is.
        potential: Potential energy of a position of shape `(dim,)`.
        dim: Number of coordinates.
    """

    title: str
    potential: Callable[[jax.Array], jax.Array]
    dim: int


def _groups(num_groups: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of groups of 2 to 20 members, whose intercepts vary by 0.3 and whose noise is 0.75."""
    group = np.repeat(np.arange(num_groups), rng.integers(2, 21, num_groups))
    x = rng.integers(0, 2, len(group))
    y = (
        1.5
        + 0.3 * rng.normal(size=num_groups)[group]
        - 0.7 * x
        + 0.75 * rng.normal(size=len(group))
    )
    return group, x, y


def hierarchical(centred: bool) -> Callable[[], None]:
    """A normal outcome in 85 groups with intercepts of their own, centred or not."""
    group, x, y = map(jnp.asarray, _groups(85, np.random.default_rng(1)))

    def model() -> None:
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        slope = numpyro.sample("slope", dist.Normal(0.0, 5.0))
        noise = numpyro.sample("noise", dist.HalfNormal(2.0))
        with numpyro.plate("groups", 85):
            if centred:
                intercept: Any = numpyro.sample("intercept", dist.Normal(loc, scale))
            else:
                intercept = loc + scale * numpyro.sample("offset", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(intercept[group] + slope * x, noise), obs=y)

    return model


def mixture() -> Callable[[], None]:
    """300 numbers from two normal laws, whose means are ordered."""
    rng = np.random.default_rng(2)
    is_first = rng.random(300) < 0.35
    y = jnp.asarray(np.where(is_first, rng.normal(-1.0, 0.7, 300), rng.normal(1.6, 1.1, 300)))

    def model() -> None:
        share = numpyro.sample("share", dist.Beta(2.0, 2.0))
        ordered = dist.transforms.OrderedTransform()
        base = dist.Normal(0.0, 2.0).expand((2,)).to_event(1)
        locs = numpyro.sample("locs", dist.TransformedDistribution(base, ordered))
        with numpyro.plate("components", 2):
            scales = numpyro.sample("scales", dist.LogNormal(0.0, 0.5))
        probs = jnp.stack([share, 1 - share])
        law = dist.MixtureSameFamily(dist.Categorical(probs), dist.Normal(locs, scales))
        with numpyro.plate("data", 300):
            numpyro.sample("y", law, obs=y)

    return model


def item_response() -> Callable[[], None]:
    """Answers of 100 persons to 20 items, which differ in difficulty and discrimination."""
    rng = np.random.default_rng(3)
    ability, difficulty = rng.normal(size=100), rng.normal(size=20)
    discrimination = np.exp(0.4 * rng.normal(size=20))
    logits = discrimination * (ability[:, None] - difficulty)
    y = jnp.asarray(rng.random((100, 20)) < 1 / (1 + np.exp(-logits)), jnp.float32)

    def model() -> None:
        spread = numpyro.sample("spread", dist.HalfNormal(2.0))
        with numpyro.plate("persons", 100):
            ability = numpyro.sample("ability", dist.Normal(0.0, 1.0))
        with numpyro.plate("items", 20):
            difficulty = numpyro.sample("difficulty", dist.Normal(0.0, spread))
            discrimination = numpyro.sample("discrimination", dist.LogNormal(0.0, 0.5))
        logits = discrimination * (ability[:, None] - difficulty)
        numpyro.sample("y", dist.Bernoulli(logits=logits).to_event(2), obs=y)

    return model


def gaussian_process() -> Callable[[], None]:
    """Counts at 40 points, whose log rate is a Gaussian process of unknown scales."""
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(0, 10, 40))
    y = jnp.asarray(rng.poisson(np.exp(1.0 + np.sin(x))))
    squared = jnp.asarray((x[:, None] - x) ** 2)

    def model() -> None:
        loc = numpyro.sample("loc", dist.Normal(0.0, 2.0))
        length = numpyro.sample("length", dist.InverseGamma(5.0, 5.0))
        amplitude = numpyro.sample("amplitude", dist.HalfNormal(2.0))
        noise = numpyro.sample("noise", dist.Normal(0.0, 1.0).expand((40,)).to_event(1))
        covariance = amplitude**2 * jnp.exp(-0.5 * squared / length**2) + 1e-4 * jnp.eye(40)
        log_rate = loc + jnp.linalg.cholesky(covariance) @ noise
        numpyro.sample("y", dist.Poisson(jnp.exp(log_rate)).to_event(1), obs=y)

    return model


def stochastic_volatility() -> Callable[[], None]:
    """300 returns, whose log variance is an autoregressive process."""
    rng = np.random.default_rng(5)
    level = np.zeros(300)
    for t in range(1, 300):
        level[t] = 0.95 * level[t - 1] + 0.25 * rng.normal()
    y = jnp.asarray(np.exp(0.5 * (level - 1.0)) * rng.normal(size=300))

    def model() -> None:
        loc = numpyro.sample("loc", dist.Normal(-1.0, 1.0))
        scale = numpyro.sample("scale", dist.HalfNormal(0.5))
        persistence = numpyro.sample("persistence", dist.Beta(20.0, 1.5))
        noise = numpyro.sample("noise", dist.Normal(0.0, 1.0).expand((300,)).to_event(1))
        first = noise[0] / jnp.sqrt(1 - persistence**2)

        def step(level: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
            level = persistence * level + noise
            return level, level

        rest = jax.lax.scan(step, first, noise[1:])[1]
        level = loc + scale * jnp.concatenate([first[None], rest])
        numpyro.sample("y", dist.Normal(0.0, jnp.exp(0.5 * level)).to_event(1), obs=y)

    return model


def many_rows() -> Callable[[], None]:
    """A logistic regression with 20,000 rows and 10 correlated features."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(20_000, 10)) @ (np.eye(10) + 0.3 * rng.normal(size=(10, 10)))
    logits = x @ (0.3 * rng.normal(size=10)) - 1.0
    y = jnp.asarray(rng.random(20_000) < 1 / (1 + np.exp(-logits)), jnp.float32)
    design = jnp.asarray(x, jnp.float32)

    def model() -> None:
        intercept = numpyro.sample("intercept", dist.Normal(0.0, 5.0))
        weights = numpyro.sample("weights", dist.Normal(0.0, 2.0).expand((10,)).to_event(1))
        with numpyro.plate("rows", 20_000):
            numpyro.sample("y", dist.Bernoulli(logits=intercept + design @ weights), obs=y)

    return model


def horseshoe() -> Callable[[], None]:
    """A sparse regression: 100 rows, 40 features of which five count, horseshoe priors."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(100, 40))
    weights = np.zeros(40)
    weights[:5] = [2.0, -1.5, 1.0, 0.7, -0.5]
    y, design = jnp.asarray(x @ weights + 0.7 * rng.normal(size=100)), jnp.asarray(x, jnp.float32)

    def model() -> None:
        noise = numpyro.sample("noise", dist.HalfNormal(1.0))
        overall = numpyro.sample("overall", dist.HalfCauchy(0.1))
        with numpyro.plate("features", 40):
            local = numpyro.sample("local", dist.HalfCauchy(1.0))
            unit = numpyro.sample("unit", dist.Normal(0.0, 1.0))
        numpyro.sample(
            "y", dist.Normal(design @ (overall * local * unit), noise).to_event(1), obs=y
        )

    return model


_MODELS: dict[str, tuple[str, Callable[[], Callable[[], None]]]] = {
    "hierarchical-centred": ("hierarchical normal, centred", lambda: hierarchical(True)),
    "hierarchical": ("hierarchical normal, not centred", lambda: hierarchical(False)),
    "mixture": ("mixture of two normal laws", mixture),
    "item-response": ("item response, two parameters", item_response),
    "gaussian-process": ("counts with a Gaussian process", gaussian_process),
    "volatility": ("stochastic volatility", stochastic_volatility),
    "many-rows": ("logistic regression, 20,000 rows", many_rows),
    "horseshoe": ("regression with horseshoe priors", horseshoe),
}
NAMES = tuple(_MODELS)


def posterior(name: str) -> Posterior:
    """The posterior of a model, by its name."""
    title, make = _MODELS[name]
    found = initialize_model(jax.random.key(0), make(), dynamic_args=False)
    flat, unravel = ravel_pytree(found.param_info.z)
    return Posterior(title, lambda z: found.potential_fn(unravel(z)), flat.size)
