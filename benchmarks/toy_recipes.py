"""How each objective learns the toys of the plane: an energy, an objective, an optimiser, and how long.

The energy is everywhere the same perceptron 2-128-128-128-1 with a confining term, and what an objective is
given does not depend on the law.
"""

import dataclasses
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import flowjax.distributions as flows
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import optax
from flowjax.flows import coupling_flow

import ebm_ppl as ebm

HALF_WIDTH = 5.0
"""The laws lie within [-5, 5]²."""

_WIDTH, _DEPTH = 128, 3
_LEAST_NOISE, _MOST_NOISE = 0.03, 1.5


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The arguments of a fit.

    Attributes:
        energy: Energy to start from.
        objective: What is minimised.
        optimizer: Optimiser with its schedule.
        num_steps: Number of steps.
        batch_size: Number of examples of a step.
        ema_decay: Weight of the old average of the parameters, or `None`.
        density_of: Maps the trained energy to that of the data.
    """

    energy: Any
    objective: Any
    optimizer: optax.GradientTransformation
    num_steps: int
    batch_size: int
    ema_decay: float | None = 0.999
    density_of: Callable[[Any], ebm.AbstractEnergy] = lambda energy: energy


def noise_contrastive(num_steps: int = 12_000) -> Recipe:
    """Noise-contrastive estimation with fresh noise, one noise point per example."""
    objective = ebm.NoiseContrastive(wide_noise(), num_noise=1)
    return Recipe(_energy(), objective, muon(1e-2, num_steps), num_steps, batch_size=512)


def persistent_cd(num_steps: int = 9_000) -> Recipe:
    """Persistent chains; every other move is an independent proposal, uniform on the square."""

    def anywhere(potential_fn: Callable) -> ebm.IndependenceMetropolis:
        return ebm.IndependenceMetropolis(potential_fn=potential_fn, proposal=_square())

    moves = (ebm.Moves(anywhere), ebm.Moves(ebm.RandomWalkMetropolis, step_size=0.3))
    objective = ebm.PersistentCD(moves, num_steps=2, num_chains=384)
    return Recipe(_energy(), objective, muon(1e-2, num_steps), num_steps, batch_size=384)


def annealed_denoising(num_steps: int = 16_000) -> Recipe:
    """Denoising at all levels at once; the energy at the lowest stands for that of the data."""
    energy = ebm.energies.NeuralNoiseConditionalEnergy(
        (2,), rng_key=jax.random.key(1), width=_WIDTH, depth=_DEPTH, data_scale=2.0
    )
    levels = dist.LogUniform(_LEAST_NOISE, _MOST_NOISE)
    return Recipe(
        energy,
        ebm.AnnealedDenoisingScoreMatching(levels, weight_floor=0.1),
        muon(3e-3, num_steps),
        num_steps,
        batch_size=256,
        density_of=lambda trained: trained.at(sigma=_LEAST_NOISE),
    )


def flow_contrastive(num_steps: int = 9_000) -> Recipe:
    """A flow as adversary that begins far from the data, as a standard normal law."""
    flow = coupling_flow(
        jax.random.key(2),
        base_dist=flows.Normal(jnp.zeros(2)),
        flow_layers=6,
        nn_width=64,
        nn_depth=2,
        nn_activation=jax.nn.silu,
    )
    every = 4  # the energy needs a few steps to follow the flow
    adam = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(_schedule(2e-3, num_steps // every))
    )
    objective = ebm.FlowContrastive(flow, adam, flow_every=every)
    return Recipe(_energy(), objective, muon(1e-2, num_steps), num_steps, batch_size=512)


def exact_maximum_likelihood(num_steps: int = 4_500) -> Recipe:
    """The yardstick: the likelihood, with the partition function on a grid."""
    # The energy begins wider than the grid, which is as large as the trained one needs; between the
    # nodes of a coarser one the model would hide mass.
    normalizer = ebm.QuadratureNormalizer(((-6.0, 6.0),) * 2, num_intervals=100, edge_tolerance=1.0)
    objective = ebm.ExactMaximumLikelihood(normalizer)
    return Recipe(_energy(), objective, muon(1e-2, num_steps), num_steps, batch_size=512)


RECIPES = MappingProxyType(
    {
        recipe.__name__: recipe
        for recipe in (
            exact_maximum_likelihood,
            noise_contrastive,
            flow_contrastive,
            persistent_cd,
            annealed_denoising,
        )
    }
)
"""Recipes by the name of the objective; each may be given another number of steps."""


def muon(peak: float, num_steps: int) -> optax.GradientTransformation:
    """Muon for the matrices of weights and Adam for all else."""
    return optax.contrib.muon(_schedule(peak, num_steps))


def wide_noise() -> dist.Distribution:
    """Noise about as wide as the toys, with tails that reach where the energy may put mass."""
    normals = [dist.Normal(0.0, scale).expand((2,)).to_event(1) for scale in (2.0, 5.0)]
    weights = dist.Categorical(jnp.array([0.5, 0.375, 0.125]))
    return dist.MixtureGeneral(weights, [_square(), *normals], support=dist.constraints.real_vector)


def _square() -> dist.Distribution:
    return dist.Uniform(-HALF_WIDTH, HALF_WIDTH).expand((2,)).to_event(1)


def _energy() -> ebm.energies.NeuralEnergy:
    return ebm.energies.NeuralEnergy(
        (2,), rng_key=jax.random.key(0), width=_WIDTH, depth=_DEPTH, confinement=1 / 16
    )


def _schedule(peak: float, num_steps: int) -> optax.Schedule:
    """Two per cent of warm-up, then half a period of a cosine down to 0."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, max(1, num_steps // 50), num_steps)
