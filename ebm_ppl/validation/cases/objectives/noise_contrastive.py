"""Noise-contrastive estimation in its three forms, and with a flow for noise."""

import jax.numpy as jnp
import numpyro.distributions as dist
import optax
from flowjax.distributions import Normal as FlowNormal

from ebm_ppl.trainers import (
    ConditionalNoiseContrastive,
    FlowContrastive,
    NoiseContrastive,
    RankingNoiseContrastive,
)
from ebm_ppl.validation import estimation
from ebm_ppl.validation.cases._objective import ObjectiveCase
from ebm_ppl.validation.estimation import QUARTIC, normal_density

_VARIANCE = 2.25
_NOISE = dist.Normal(0.0, _VARIANCE**0.5)
_DENSITY = normal_density(_VARIANCE)

CASES = (
    ObjectiveCase(
        name="noise_contrastive",
        objective=NoiseContrastive(_NOISE, num_noise=3),
        theory=estimation.NoiseContrastive(QUARTIC, _DENSITY, ratio=3, fresh=True),
    ),
    ObjectiveCase(
        name="noise_contrastive_fixed_noise",
        objective=NoiseContrastive(_NOISE, num_noise=3, fresh_noise=False),
        theory=estimation.NoiseContrastive(QUARTIC, _DENSITY, ratio=3),
    ),
    ObjectiveCase(
        name="ranking_noise_contrastive",
        objective=RankingNoiseContrastive(_NOISE, num_noise=3),
        theory=estimation.RankingNoiseContrastive(QUARTIC, _DENSITY, num_noises=3, fresh=True),
    ),
    ObjectiveCase(
        name="conditional_noise_contrastive",
        objective=ConditionalNoiseContrastive(noise_scale=1.0),
        theory=estimation.ConditionalNoiseContrastive(QUARTIC, sigma=1.0),
    ),
    ObjectiveCase(
        name="flow_contrastive",
        # a flow that stands still is noise of known density
        objective=FlowContrastive(FlowNormal(jnp.zeros(()), 1.5), optax.set_to_zero()),
        theory=estimation.NoiseContrastive(QUARTIC, _DENSITY, ratio=1, fresh=True),
    ),
)
