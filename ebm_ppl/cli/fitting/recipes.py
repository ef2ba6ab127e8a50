"""Energies and objectives by name, with settings that suit standardised data."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
import numpyro.distributions as dist
import optax

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import AbstractEnergy, Gaussian, NeuralEnergy, Quartic
from ebm_ppl.quadrature import QuadratureNormalizer
from ebm_ppl.samplers import MALA, RandomWalkMetropolis
from ebm_ppl.trainers import (
    AbstractObjective,
    DenoisingScoreMatching,
    ExactMaximumLikelihood,
    NoiseContrastive,
    PersistentCD,
    ScoreMatching,
    SlicedScoreMatching,
)

NOISE_SCALE = 2.0
"""Spread of the noise that is told from standardised data."""

_GRID = 12.0
_LINE_INTERVALS, _PLANE_INTERVALS = 512, 192


@dataclasses.dataclass(frozen=True)
class EnergyRecipe:
    """A family of energies for standardised data.

    Attributes:
        summary: What it is, in a line.
        make: From the number of columns and a key to the energy that training starts from.
        max_columns: Largest number of columns; `None` for any.
        learning_rate: Peak rate of Adam.
    """

    summary: str
    make: Callable[[int, PRNGKey], AbstractEnergy]
    max_columns: int | None
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class ObjectiveRecipe:
    """An objective for standardised data.

    Attributes:
        summary: What it is, in a line.
        make: From the event shape to the objective.
        max_columns: Largest number of columns; `None` for any.
    """

    summary: str
    make: Callable[[tuple[int, ...]], AbstractObjective]
    max_columns: int | None = None


def _mlp(dim: int, rng_key: PRNGKey) -> AbstractEnergy:
    return NeuralEnergy((dim,), rng_key=rng_key, width=64, depth=2, confinement=0.25)


ENERGIES: Mapping[str, EnergyRecipe] = MappingProxyType(
    {
        "gaussian": EnergyRecipe(
            "a normal law with full covariance",
            lambda dim, _: Gaussian(jnp.zeros(dim), jnp.eye(dim)),
            None,
            0.02,
        ),
        "mlp": EnergyRecipe("a neural network of two layers of 64", _mlp, None, 3e-3),
        "quartic": EnergyRecipe(
            "a x² + b x + λ x⁴, one or two wells",
            lambda _dim, _key: Quartic(a=0.25, b=0.0, gamma=-2.0),
            1,
            0.02,
        ),
    }
)


def _noise(event_shape: tuple[int, ...]) -> AbstractObjective:
    noise = dist.Normal(jnp.zeros(event_shape), NOISE_SCALE).to_event(len(event_shape))
    return NoiseContrastive(noise, num_noise=4)


def _exact(event_shape: tuple[int, ...]) -> AbstractObjective:
    dim = math.prod(event_shape)
    intervals = _LINE_INTERVALS if dim == 1 else _PLANE_INTERVALS
    return ExactMaximumLikelihood(QuadratureNormalizer([(-_GRID, _GRID)] * dim, intervals))


def _persistent(_event_shape: tuple[int, ...]) -> AbstractObjective:
    kernels = (
        functools.partial(MALA, step_size=0.05),
        functools.partial(RandomWalkMetropolis, step_size=1.0),
    )
    return PersistentCD(kernels, num_steps=5)


OBJECTIVES: Mapping[str, ObjectiveRecipe] = MappingProxyType(
    {
        "denoising-score-matching": ObjectiveRecipe(
            "denoising score matching at a tenth of the data's spread",
            lambda _: DenoisingScoreMatching(0.1),
        ),
        "exact": ObjectiveRecipe("maximum likelihood, log Z by quadrature", _exact, max_columns=2),
        "noise-contrastive": ObjectiveRecipe("noise-contrastive estimation, log Z learned", _noise),
        "persistent-cd": ObjectiveRecipe(
            "persistent contrastive divergence: MALA and random-walk moves in turn", _persistent
        ),
        "score-matching": ObjectiveRecipe("score matching, exact trace", lambda _: ScoreMatching()),
        "sliced-score-matching": ObjectiveRecipe(
            "sliced score matching, one projection", lambda _: SlicedScoreMatching()
        ),
    }
)


def optimizer_for(recipe: EnergyRecipe, num_steps: int) -> optax.GradientTransformation:
    """Adam with a short warm-up and a rate that decays to 0."""
    warmup = max(1, num_steps // 50)
    schedule = optax.warmup_cosine_decay_schedule(0.0, recipe.learning_rate, warmup, num_steps)
    return optax.adam(schedule)
