"""Data against noise: what is drawn, what is compared, and the learned log partition function."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ebm_ppl._checks import check_count, check_finite, check_shape, is_traced
from ebm_ppl._processes import on_host
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractConditionalEnergy
from ebm_ppl.energies._described import described
from ebm_ppl.trainers._base import Model
from ebm_ppl.trainers._batch import Batch, Condition, energies_of, per_example
from ebm_ppl.trainers._noise import AbstractNoise, ConditionalNoise, Noise, as_noise


class Contrast(NamedTuple):
    r"""Noise points beside each example, and the density of the noise at all of them.

    Attributes:
        points: Noise points $\tilde x_{ij}$.
        log_noise: $\log p_n(\tilde x_{ij})$.
        log_noise_of_data: $\log p_n(x_i)$.
    """

    points: Float[Array, "num_examples num_noise *event"]
    log_noise: Float[Array, "num_examples num_noise"]
    log_noise_of_data: Float[Array, " num_examples"]


class NoiseSource(eqx.Module):
    """Where noise points come from.

    Attributes:
        noise: The law of the noise.
        num_noise: Number of noise points per example.
        fresh: Whether each step draws anew; if not, the points of all examples are drawn at the
            beginning and carried.
    """

    noise: Noise = eqx.field(converter=as_noise)
    num_noise: int = eqx.field(static=True)
    fresh: bool = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_count("num_noise", self.num_noise)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> Contrast | None:
        """Refuse noise that does not fit; return what is carried: the noise that stays, if it does."""
        has_condition = data.condition is not None and data.condition.y is not None
        if isinstance(self.noise, ConditionalNoise) and not has_condition:
            raise ValueError(
                "`noise` must be a distribution for an energy without a condition; got a callable "
                f"with {described(energy)}."
            )
        first = jax.tree.map(lambda leaf: leaf[0], data.condition)
        noise = self.at(first)
        check_shape("noise (draws)", np.empty(noise.event_shape), energy.event_shape)
        if noise.is_discrete != bool(energy.support.is_discrete):
            kinds = {True: "states", False: "real points"}
            raise ValueError(
                f"`noise` must be a law on {kinds[not noise.is_discrete]}, as {type(energy).__name__} is; "
                f"got one on {kinds[noise.is_discrete]}. A density does not compare with a probability."
            )
        log_noise = _log_noise_of_data(self, data)
        bad = np.zeros(0) if is_traced(log_noise) else on_host(~jnp.isfinite(log_noise))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                "`noise` must have a positive, finite density wherever data lie; its log density is "
                f"{float(on_host(log_noise[row]))} at {on_host(data.x[row])!r} in row {row}."
            )
        return self.stored(data, rng_key)

    def stored(self, data: Batch, rng_key: PRNGKey) -> Contrast | None:
        """The noise that stays beside a data set, or `None` if each step draws anew."""
        return None if self.fresh else _draw(self, data, rng_key)

    def at(self, condition: Condition | None) -> AbstractNoise:
        """The noise beside one example."""
        if isinstance(self.noise, AbstractNoise):
            return self.noise
        if condition is None or condition.y is None or condition.kept is not None:
            raise ValueError(
                "`noise` must not depend on the condition where conditions are dropped; got a "
                "callable with `condition_dropout`."
            )
        return self.noise.given(condition.y)

    def draw(self, batch: Batch, carried: Contrast | None, rng_key: PRNGKey) -> Contrast:
        """The noise of a batch: a new draw, or its share of what is carried."""
        if carried is not None:
            return jax.tree.map(lambda leaf: leaf[batch.index], carried)
        count, repeats = batch.num_examples, self.num_noise
        if isinstance(self.noise, AbstractNoise):
            points, log_noise = self.noise.sample(rng_key, count * repeats)
            points = points.reshape(count, repeats, *points.shape[1:])
            log_noise = log_noise.reshape(count, repeats)
        else:

            def one(key: PRNGKey, condition: Condition | None) -> tuple[Array, Array]:
                return self.at(condition).sample(key, repeats)

            keys = jax.random.split(rng_key, count)
            points, log_noise = jax.vmap(one)(keys, batch.condition)
        return Contrast(points, log_noise, _log_noise_of_data(self, batch))

    def contrast(
        self, batch: Batch, points: Float[Array, "num_examples num_noise *event"]
    ) -> Contrast:
        """Noise points of one's own choice beside a batch, with the densities at them."""

        def one(condition: Condition | None, points: Array) -> Array:
            return jax.vmap(self.at(condition).log_prob)(points)

        log_noise = jax.vmap(one)(batch.condition, points)
        return Contrast(points, log_noise, _log_noise_of_data(self, batch))


@eqx.filter_jit
def _draw(source: NoiseSource, batch: Batch, rng_key: PRNGKey) -> Contrast:
    return source.draw(batch, None, rng_key)


@eqx.filter_jit
def _log_noise_of_data(source: NoiseSource, batch: Batch) -> Float[Array, " num_examples"]:
    return jax.vmap(lambda x, condition: source.at(condition).log_prob(x))(batch.x, batch.condition)


def energies_of_both(
    model: Model, batch: Batch, points: Float[Array, "num_examples num_noise *event"]
) -> tuple[Float[Array, " num_examples"], Float[Array, "num_examples num_noise"]]:
    """Energies of the examples and of the points beside them, infinite outside the support."""
    count, repeats, *event_shape = points.shape
    inside: Bool[Array, "num_examples num_noise"] = jnp.asarray(model.energy.support(points))
    examples = batch.x[:, None]
    # The example stands in, so that no NaN from outside the support enters a gradient.
    safe = jnp.where(inside.reshape(*inside.shape, *(1 for _ in event_shape)), points, examples)
    # One flat batch: a network's matrix products are twice as fast as over examples and points apart.
    together = jnp.concatenate([examples, safe], axis=1).reshape(-1, *event_shape)
    condition, index = jax.tree.map(
        lambda leaf: jnp.repeat(leaf, 1 + repeats, axis=0), (batch.condition, batch.index)
    )
    energies = energies_of(model.energy, Batch(together, condition, index))
    energies = energies.reshape(count, 1 + repeats)
    return energies[:, 0], jnp.where(inside, energies[:, 1:], jnp.inf)


def energy_gap(
    model: Model, batch: Batch, points: Float[Array, "num_examples num_noise *event"]
) -> Scalar:
    """Mean energy of the points inside the support less that of the examples."""
    of_data, of_points = energies_of_both(model, batch, points)
    return jnp.mean(of_points, where=of_points < jnp.inf) - jnp.mean(of_data)


def initial_log_z(log_z: Any, energy: Any) -> Any:
    """Read the initial value of a learned log Z: a number, or for conditional energies a callable.

    Raises:
        ValueError: If it is neither, or a number where the level of noise decides of log Z.
    """
    is_conditional = isinstance(energy, AbstractConditionalEnergy)
    if not callable(log_z):
        if is_conditional and energy.noise_conditional:
            raise ValueError(
                f"`log_z` must be a callable of the level of noise for {described(energy)}, whose log Z "
                f"depends on it; got {log_z!r}. `RankingNoiseContrastive` needs no log Z."
            )
        check_shape("log_z", log_z, ())
        check_finite("log_z", log_z)
        return jnp.asarray(log_z, dtype=float)
    if not is_conditional:
        raise ValueError(
            "`log_z` must be a number for an energy without a condition; got a callable with "
            f"{described(energy)}."
        )
    return log_z


def log_z_of(model: Model, batch: Batch) -> Float[Array, "..."]:
    """The learned log Z: a scalar, or one number per example if it depends on the condition."""
    log_z = model.learned["log_z"]
    if not callable(log_z):
        return log_z

    def one(energy: Any, _: Event) -> Scalar:
        given = {"y": energy.y, "sigma": energy.sigma}
        given = {name: value for name, value in given.items() if value is not None}
        value = jnp.asarray(log_z(*given.values()))
        check_shape(f"log_z({', '.join(given)})", value, ())
        return value

    return per_example(one, model.energy, batch)


def classification_losses(
    model: Model, batch: Batch, contrast: Contrast
) -> Float[Array, " num_examples"]:
    r"""Logistic losses of telling examples from noise by $G = -E - \log Z - \log p_n - \log \nu$."""
    of_data, of_noise = energies_of_both(model, batch, contrast.points)
    log_z = log_z_of(model, batch)
    log_ratio = jnp.log(float(of_noise.shape[1]))
    data_logits = -of_data - log_z - contrast.log_noise_of_data - log_ratio
    noise_logits = -of_noise - log_z[..., None] - contrast.log_noise - log_ratio
    return jax.nn.softplus(-data_logits) + jnp.sum(jax.nn.softplus(noise_logits), axis=1)
