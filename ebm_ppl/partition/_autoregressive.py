r"""A law whose coordinates follow one another, each with a mixture as noise: a base law that can be fitted.

With a network of no hidden layer between coordinates its tails are those of its noise wherever it is asked,
and its fit has a start in closed form.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int
from numpyro.distributions.constraints import Constraint

from ebm_ppl._types import PRNGKey, Scalar

FARTHEST = 5.0
"""Standard deviations up to which one coordinate tells of the next ones: beyond them no point was fitted."""
_LARGEST_LOG_SCALE = 30.0
_WIDER = 2.0
"""Scale of the heavy tails, in those of the noise."""


class Conditionals(eqx.Module):
    r"""What an `AutoregressiveLaw` is made of; axes of coordinates are in its order.

    Attributes:
        order: Which coordinate comes first, second, ...
        center: What is taken off each coordinate before all else.
        scale: What each is then divided by, for numbers $t$ of order 1.
        loc: Coefficients of each $m_j$ on the features $1, t, t^2$ of those before.
        log_scale: Coefficients of each $\log s_j$ on the features $1, t$.
        log_weights: Log weights of the components of each mixture.
        noise_loc: Means of the components of each mixture.
        noise_log_scale: Logarithms of their standard deviations.
    """

    order: Int[Array, " dim"]
    center: Float[Array, " dim"]
    scale: Float[Array, " dim"]
    loc: Float[Array, "dim features"]
    log_scale: Float[Array, "dim fewer"]
    log_weights: Float[Array, "dim components"]
    noise_loc: Float[Array, "dim components"]
    noise_log_scale: Float[Array, "dim components"]

    @property
    def tail_share(self) -> float:
        """Share of each coordinate's noise that has heavy tails: of a whole point about four in ten."""
        return min(0.1, 0.5 / len(self.center))


class AutoregressiveLaw(dist.Distribution):
    r"""A law of vectors, coordinate after coordinate in an order of its own.

    $$x_j = m_j(x_{<j}) + s_j(x_{<j})\, u_j, \qquad
    u_j \sim (1 - \epsilon) \sum_k \pi_{jk}\, N(\mu_{jk}, \sigma_{jk}^2) + \epsilon\, t_2,$$
    where $m_j$ is quadratic in each coordinate before, and $\log s_j$ is linear. So normal laws, funnels,
    bananas and products of mixtures are among them, and every coordinate has tails as heavy as Student's
    $t$ of two degrees of freedom.

    Args:
        conditionals: The coefficients.
    """

    pytree_data_fields = ("conditionals",)

    def __init__(self, conditionals: Conditionals) -> None:
        self.conditionals = conditionals
        super().__init__((), conditionals.center.shape)

    @property
    def support(self) -> Constraint:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All real vectors."""
        return dist.constraints.real_vector

    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw points, of shape `sample_shape + (dim,)`."""
        if key is None:
            raise ValueError("`key` must be a random key; got None.")
        of = self.conditionals
        points = _place(of, _draw_noise(of, key, math.prod(sample_shape)))
        return points.reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Any) -> Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log density of points, of shape `(*batch, dim)`."""
        one = lambda x: log_density(self.conditionals, x)  # noqa: E731
        return jnp.vectorize(one, signature="(d)->()")(jnp.asarray(value))


def log_density(of: Conditionals, x: Float[Array, " dim"]) -> Scalar:
    """Log density of one point."""
    z = (x[of.order] - of.center) / of.scale
    features = _features(z)
    before = np.tril(np.ones((z.size, z.size)), -1)
    mask = np.concatenate([np.ones((z.size, 1)), before, before], axis=1)
    loc = (of.loc * mask) @ features
    log_scale = (of.log_scale * mask[:, : z.size + 1]) @ features[: z.size + 1]
    log_scale = _bounded(log_scale)
    u = (z - loc) * jnp.exp(-log_scale)
    return jnp.sum(_log_noise(of, u) - log_scale - jnp.log(of.scale))


def _log_noise(of: Conditionals, u: Float[Array, " dim"]) -> Float[Array, " dim"]:
    standard = (u[:, None] - of.noise_loc) * jnp.exp(-of.noise_log_scale)
    exponents = of.log_weights - 0.5 * standard**2 - of.noise_log_scale
    body = logsumexp(exponents, axis=1) - 0.5 * math.log(2 * math.pi)
    tail = -1.5 * jnp.log1p(0.5 * (u / _WIDER) ** 2) - math.log(_WIDER * math.sqrt(8))
    share = of.tail_share
    return jnp.logaddexp(math.log1p(-share) + body, math.log(share) + tail)


def _draw_noise(of: Conditionals, rng_key: PRNGKey, count: int) -> Float[Array, "count dim"]:
    """Independent noise of each coordinate, by the inverses of distribution functions."""
    key_choice, key_tail, key_normal = jax.random.split(rng_key, 3)
    shape = (count, of.center.size)
    # A tail where the first number is above all components' shares, which leave room for it.
    shares = jnp.cumsum((1 - of.tail_share) * jax.nn.softmax(of.log_weights), axis=1)
    choice = jax.random.uniform(key_choice, shape)
    component = jnp.sum(choice[..., None] > shares, axis=-1)
    is_tail = component == shares.shape[1]
    component = jnp.minimum(component, shares.shape[1] - 1)[..., None]
    loc, log_scale = (
        jnp.take_along_axis(part[None], component, axis=-1)[..., 0]
        for part in (of.noise_loc, of.noise_log_scale)
    )
    body = loc + jnp.exp(log_scale) * jax.random.normal(key_normal, shape)
    level = jax.random.uniform(key_tail, shape, minval=jnp.finfo(loc.dtype).tiny)
    tail = (2 * level - 1) / jnp.sqrt(2 * level * (1 - level))
    return jnp.where(is_tail, _WIDER * tail, body)


def _place(of: Conditionals, noise: Float[Array, "count dim"]) -> Float[Array, "count dim"]:
    """Points, coordinate by coordinate: those that are not yet known are 0 among the features."""
    dim = of.center.size

    def next_one(t: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        number, loc, log_scale, u = step
        known = jnp.arange(dim) < number
        features = _features(jnp.where(known, t, 0.0))
        z = features @ loc + jnp.exp(_bounded(features[:, : dim + 1] @ log_scale)) * u
        return t.at[:, number].set(z), z

    steps = (jnp.arange(dim), of.loc, of.log_scale, noise.T)
    _, z = jax.lax.scan(next_one, jnp.zeros_like(noise), steps)
    return jnp.zeros_like(noise).at[:, of.order].set(of.center + of.scale * z.T)


def _features(z: Float[Array, "*batch dim"]) -> Float[Array, "*batch features"]:
    t = jnp.clip(z, -FARTHEST, FARTHEST)
    return jnp.concatenate([jnp.ones_like(t[..., :1]), t, t**2], axis=-1)


def _bounded(log_scale: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.clip(log_scale, -_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE)
