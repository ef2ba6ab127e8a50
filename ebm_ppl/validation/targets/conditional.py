"""Conditional and noise-conditional energies, each at a fixed condition."""

import math

import jax
import numpy as np

from ebm_ppl.energies import (
    ConditionalGaussian,
    NeuralConditionalEnergy,
    NeuralNoiseConditionalEnergy,
)
from ebm_ppl.validation.targets._base import Target, as_float64

_CONDITION = (0.75, -1.0)


def _given() -> Target:
    energy = ConditionalGaussian(
        coefficients=[[1.0, 0.5], [-0.5, 1.0]],
        intercept=[0.25, 0.5],
        covariance_matrix=[[1.5, -0.6], [-0.6, 0.8]],
    )
    whitening = np.tril(as_float64(energy.whitening))
    factor = np.linalg.inv(whitening)
    given = energy.at(y=_CONDITION)
    return Target(
        name="conditional_gaussian",
        energy=given,
        log_z=math.log(2 * math.pi) - float(np.log(np.diag(whitening)).sum()),
        mean=as_float64(energy.coefficients) @ as_float64(given.y) + as_float64(energy.intercept),
        variance=np.diag(factor @ factor.T),
        derivation="A normal law at A y + b, whatever y is; Z as for the target `gaussian`.",
    )


def _guided() -> Target:
    energy = ConditionalGaussian([[1.0, 0.5]], [0.25], [[0.5]], null_condition=[0.0, 0.25])
    scale = 1.5
    guided = energy.guided(scale).at(y=_CONDITION)
    precision = as_float64(energy.whitening).item() ** 2
    null = as_float64(energy.null_condition)
    kept, dropped = (
        float((as_float64(energy.coefficients) @ y + as_float64(energy.intercept))[0])
        for y in (as_float64(guided.y), null)
    )
    mean = (1 + scale) * kept - scale * dropped
    constant = 0.5 * precision * ((1 + scale) * kept**2 - scale * dropped**2 - mean**2)
    return Target(
        name="guided_gaussian",
        energy=guided,
        log_z=0.5 * math.log(2 * math.pi / precision) - constant,
        mean=np.array([mean]),
        variance=np.array([1 / precision]),
        derivation=(
            "Completing the square: with means m and m0 of the two laws and one precision p the guided "
            "energy is p (x - M)^2 / 2 + C, M = (1 + w) m - w m0, C = p ((1 + w) m^2 - w m0^2 - M^2) / 2."
        ),
    )


def _neural() -> Target:
    energy = NeuralConditionalEnergy(
        (1,), (2,), rng_key=jax.random.key(0), width=4, depth=1, class_free=True
    )
    # As they are initialised the weights make hardly more than a normal law; these make a landscape.
    energy = jax.tree.map(lambda leaf: 3 * leaf, energy)
    return Target(
        name="neural_conditional",
        energy=energy.at(y=_CONDITION),
        log_z=None,
        mean=None,
        variance=None,
        derivation="No closed form; normalisable because the confinement outgrows the network.",
    )


def _noisy() -> Target:
    energy = NeuralNoiseConditionalEnergy(
        (1,), rng_key=jax.random.key(2), width=4, depth=1, data_scale=1.5
    )
    energy = jax.tree.map(lambda leaf: 3 * leaf, energy)
    return Target(
        name="neural_noise_conditional",
        energy=energy.at(sigma=0.75),
        log_z=None,
        mean=None,
        variance=None,
        derivation="No closed form; normalisable because the quadratic term outgrows the network.",
    )


def _noisy_given() -> Target:
    energy = NeuralNoiseConditionalEnergy(
        (1,), (2,), rng_key=jax.random.key(0), width=4, depth=1, class_free=True
    )
    energy = jax.tree.map(lambda leaf: 3 * leaf, energy)
    return Target(
        name="neural_noisy_conditional",
        energy=energy.at(y=_CONDITION).at(sigma=0.5),
        log_z=None,
        mean=None,
        variance=None,
        derivation="No closed form; normalisable because the quadratic term outgrows the network.",
    )


TARGETS = {
    "conditional_gaussian": _given,
    "guided_gaussian": _guided,
    "neural_conditional": _neural,
    "neural_noise_conditional": _noisy,
    "neural_noisy_conditional": _noisy_given,
}
