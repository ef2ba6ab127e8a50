"""Noise-contrastive estimation with a term of its log odds missing."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers import AbstractObjective, Batch, Model, Prepared, energies_of
from ebm_ppl.validation.controls._objective import ObjectiveControl

_NOISE = dist.Normal(0.0, 1.5)
_RATIO = 3


class _Odds(AbstractObjective):
    """Noise contrast from the log odds of data against noise, in which a control leaves something out."""

    consistent, is_criterion = True, True

    def log_odds(self, energies: Array, log_z: Array, x: Array) -> Array:
        """The log odds that points are data, correct here."""
        return -energies - log_z - jnp.asarray(_NOISE.log_prob(x)) - math.log(_RATIO)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[dict[str, Array], None]:
        return {"log_z": jnp.zeros(())}, None

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return Prepared(_NOISE.sample(rng_key, (_RATIO, len(batch.x))), carried, {})

    def losses(self, model: Model, batch: Batch, sample: Array) -> Float[Array, " num_examples"]:
        def odds(x: Array) -> Array:
            energies = energies_of(model.energy, Batch(x, None, batch.index))
            return self.log_odds(energies, model.learned["log_z"], x)

        of_noise = jax.vmap(odds)(sample)
        return jax.nn.softplus(-odds(batch.x)) + jnp.sum(jax.nn.softplus(of_noise), axis=0)


class _NoDensity(_Odds):
    def log_odds(self, energies: Array, log_z: Array, x: Array) -> Array:
        return -energies - log_z - math.log(_RATIO)


class _NoRatio(_Odds):
    def log_odds(self, energies: Array, log_z: Array, x: Array) -> Array:
        return -energies - log_z - jnp.asarray(_NOISE.log_prob(x))


class _FrozenLogZ(_Odds):
    def log_odds(self, energies: Array, log_z: Array, x: Array) -> Array:
        return super().log_odds(energies, jax.lax.stop_gradient(log_z), x)


CONTROLS = (
    ObjectiveControl(
        name="noise contrast: no noise density",
        wrong_because="the log odds leave out the density of the noise",
        like="noise_contrastive",
        objective=_NoDensity(),
        quick=True,
    ),
    ObjectiveControl(
        name="noise contrast: no ratio",
        wrong_because="the log odds leave out how many noise points there are for each example",
        like="noise_contrastive",
        objective=_NoRatio(),
    ),
    ObjectiveControl(
        name="noise contrast: log Z frozen",
        wrong_because="the log partition function stays where it began",
        like="noise_contrastive",
        objective=_FrozenLogZ(),
    ),
    ObjectiveControl(
        name="noise contrast: written out",
        wrong_because="the same formula in other words",
        like="noise_contrastive",
        objective=_Odds(),
        equivalent=True,
    ),
)
