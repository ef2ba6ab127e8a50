"""Score matching with a wrong factor, sign or trace."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.trainers import AbstractObjective, Batch, Model, Prepared, per_example
from ebm_ppl.validation.controls._objective import ObjectiveControl


class _Score(AbstractObjective):
    """Score matching as one formula of the gradient, the trace and the dimension."""

    consistent, is_criterion = True, True

    def combine(self, squared_norm: Scalar, trace: Scalar, dim: int) -> Scalar:
        """The loss of one example, correct here."""
        return 0.5 * squared_norm - trace

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        def loss(energy: AbstractEnergy, x: Event) -> Scalar:
            gradient = jax.grad(energy)(x)
            hessian = jax.hessian(energy)(x).reshape(x.size, x.size)
            return self.combine(jnp.sum(gradient**2), jnp.trace(hessian), x.size)

        return per_example(loss, model.energy, batch)


class _TraceOverDim(_Score):
    def combine(self, squared_norm: Scalar, trace: Scalar, dim: int) -> Scalar:
        return 0.5 * squared_norm - trace / dim


class _MissingHalf(_Score):
    def combine(self, squared_norm: Scalar, trace: Scalar, dim: int) -> Scalar:
        return squared_norm - trace


class _TraceSign(_Score):
    def combine(self, squared_norm: Scalar, trace: Scalar, dim: int) -> Scalar:
        return 0.5 * squared_norm + trace


class _Constant(_Score):
    def combine(self, squared_norm: Scalar, trace: Scalar, dim: int) -> Scalar:
        return 0.5 * squared_norm - trace + 7.0


class _UniformDirections(_Score):
    """Hutchinson's trace with directions uniform on [-1, 1], whose variance is 1/3."""

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return Prepared(jax.random.uniform(rng_key, batch.x.shape, minval=-1.0), carried, {})

    def losses(self, model: Model, batch: Batch, sample: Array) -> Float[Array, " num_examples"]:
        def loss(energy: AbstractEnergy, x: Event, direction: Event) -> Scalar:
            gradient, product = jax.jvp(jax.grad(energy), (x,), (direction,))
            return self.combine(jnp.sum(gradient**2), jnp.sum(direction * product), x.size)

        return per_example(loss, model.energy, batch, sample)


class _OneDirection(_UniformDirections):
    """Hutchinson's trace with one direction for a whole batch: unbiased, and as noisy as one example."""

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        direction = jax.random.rademacher(rng_key, batch.x.shape[1:], batch.x.dtype)
        return Prepared(jnp.broadcast_to(direction, batch.x.shape), carried, {})


class _Denoising(AbstractObjective):
    """Denoising score matching, whose target a control gets wrong."""

    consistent, is_criterion = False, True
    scale = 0.5

    def target(self, noise: Array) -> Array:
        """The score of the smoothed data at an example under noise, given both; correct here."""
        return -noise / self.scale

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return Prepared(jax.random.normal(rng_key, batch.x.shape), carried, {})

    def losses(self, model: Model, batch: Batch, sample: Array) -> Float[Array, " num_examples"]:
        def loss(energy: AbstractEnergy, x: Event, noise: Event) -> Scalar:
            residual = energy.score(x + self.scale * noise) - self.target(noise)
            return 0.5 * jnp.sum(residual**2)

        return per_example(loss, model.energy, batch, sample)


class _DenoisingSign(_Denoising):
    def target(self, noise: Array) -> Array:
        return noise / self.scale


class _DenoisingUnscaled(_Denoising):
    def target(self, noise: Array) -> Array:
        return -noise * self.scale


CONTROLS = (
    ObjectiveControl(
        name="score matching: trace over dimension",
        wrong_because="the trace is divided by the dimension, which nobody sees on the line",
        like="score_matching",
        objective=_TraceOverDim(),
    ),
    ObjectiveControl(
        name="score matching: half missing",
        wrong_because="the squared norm of the score lacks its factor one half",
        like="score_matching",
        objective=_MissingHalf(),
        quick=True,
    ),
    ObjectiveControl(
        name="score matching: sign of the trace",
        wrong_because="the trace of the Hessian is added",
        like="score_matching",
        objective=_TraceSign(),
    ),
    ObjectiveControl(
        name="score matching: uniform directions",
        wrong_because="the directions of Hutchinson's trace have variance 1/3",
        like="sliced_score_matching",
        objective=_UniformDirections(),
    ),
    ObjectiveControl(
        name="score matching: one direction for a batch",
        wrong_because="all examples share the direction of Hutchinson's trace: a batch is as noisy as one",
        like="sliced_score_matching",
        objective=_OneDirection(),
    ),
    ObjectiveControl(
        name="denoising: sign of the target",
        wrong_because="the noise is added to the target that is to point back",
        like="denoising_score_matching",
        objective=_DenoisingSign(),
    ),
    ObjectiveControl(
        name="denoising: missing 1/σ²",
        wrong_because="the way back is not divided by the variance of the noise",
        like="denoising_score_matching",
        objective=_DenoisingUnscaled(),
    ),
    ObjectiveControl(
        name="score matching: plus a constant",
        wrong_because="a constant in the loss has no gradient",
        like="score_matching",
        objective=_Constant(),
        equivalent=True,
    ),
    ObjectiveControl(
        name="denoising: written out",
        wrong_because="the same formula in other words",
        like="denoising_score_matching",
        objective=_Denoising(),
        equivalent=True,
    ),
)
