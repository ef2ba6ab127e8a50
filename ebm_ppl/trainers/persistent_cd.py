"""Persistent contrastive divergence: a fixed set of chains that never start again."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.samplers import MALA, Moves
from ebm_ppl.samplers.moves import Kernels, as_moves
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, Condition, energies_of
from ebm_ppl.trainers._derivatives import energy_gradients
from ebm_ppl.trainers._minibatch import random_rows
from ebm_ppl.trainers._negative_phase import check_moves, move_chains


class PersistentCD(AbstractObjective):
    r"""Persistent contrastive divergence, or stochastic maximum likelihood.

    A set of Markov chains follows the model as it changes: each step moves all $m$ chains by a few sweeps
    of a kernel, and the parameters follow the gradient of
    $$\ell_i(\theta) = E_\theta(x_i) - \frac1m \sum_{j=1}^m E_\theta(x^-_j)$$
    with the chains held fixed. If the kernel is exact and the parameters change slowly next to how the
    chains mix, this is the gradient of the likelihood, and the fixed point that of maximum likelihood;
    a biased kernel moves it by its bias.

    A conditional energy has one chain per example, at the example's condition, and a step moves the
    chains of its batch; where conditions are dropped, a second chain per example follows the energy
    without its condition.

    Args:
        kernel: Kernel of the negative phase: a class or callable that takes `potential_fn=`,
            [`Moves`][ebm_ppl.samplers.Moves] with scheduled settings, or a sequence of these that take
            turns in each sweep.
        num_steps: Number of sweeps in each step.
        num_chains: Number of chains $m$, which start at examples; not used by conditional energies.

    Raises:
        ValueError: If a number is not positive or `kernel` is no kernel.

    Examples:
        >>> import functools
        >>> from ebm_ppl import PersistentCD, RandomWalkMetropolis
        >>> kernel = functools.partial(RandomWalkMetropolis, step_size=2.5)
        >>> objective = PersistentCD(kernel, num_steps=5, num_chains=128)

    References:
        L. Younes (1999). On the convergence of Markovian stochastic algorithms with rapidly decreasing
        ergodicity rates. *Stochastics* 65(3-4), 177-228.
        T. Tieleman (2008). Training restricted Boltzmann machines using approximations to the likelihood
        gradient. *International Conference on Machine Learning* 25.
    """

    consistent = True
    is_criterion = False

    moves: Moves
    num_chains: int = eqx.field(static=True)

    def __init__(self, kernel: Kernels = MALA, num_steps: int = 1, num_chains: int = 256) -> None:
        check_count("num_chains", num_chains)
        self.moves = as_moves(kernel, num_steps)
        self.num_chains = num_chains

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, Array]:
        """Start the chains at examples: drawn at random, or at all of them if there are conditions."""
        check_moves(self.moves, energy, data.x, data.condition)
        if data.condition is not None:
            return None, jnp.stack([data.x, data.x])
        return None, data.x[random_rows(fast_key(rng_key), data.num_examples, self.num_chains)]

    def prepare(
        self, model: Model, batch: Batch, carried: Array, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Move the chains; the sample is where they stand then."""
        if batch.condition is None:
            starts, slots = carried, None
        else:
            slots = (_is_dropped(batch.condition, batch.index), batch.index)
            starts = carried[slots]
        ends, metrics = move_chains(
            self.moves, model.energy, starts, batch.condition, step, rng_key
        )
        carried = ends if slots is None else carried.at[slots].set(ends)
        gap = -jnp.mean(self.losses(model, batch, ends))
        return Prepared(ends, carried, metrics | {"energy_gap": gap})

    def chains(self, carried: Array) -> Array:
        """All chains; with conditions, those of all examples, and those without their condition."""
        return carried

    def losses(
        self, model: Model, batch: Batch, sample: Float[Array, "num_chains *event"]
    ) -> Float[Array, " num_examples"]:
        """Energy of each example less that of its own chain, or the mean energy of all chains."""
        negative = energies_of(model.energy, negatives(batch, sample))
        if batch.condition is None:
            negative = jnp.mean(negative)
        return energies_of(model.energy, batch) - negative

    def sensitivity(
        self,
        gradients: Float[Array, "num_examples p"],
        model: Model,
        batch: Batch,
        sample: Float[Array, "num_chains *event"],
    ) -> Float[Array, "p p"]:
        r"""$\mathbb{E}_y \operatorname{Cov}(\nabla_\theta E \mid y)$ under the model, from the chains."""
        if batch.condition is None:
            return covariance(energy_gradients(model, negatives(batch, sample)))
        # Given its condition, an example is independent of its chain: what they share is due to y.
        return without_mean(energy_gradients(model, batch)).T @ gradients / batch.num_examples


def negatives(batch: Batch, points: Float[Array, "num_chains *event"]) -> Batch:
    """Negative examples as a batch of their own, at the conditions of the positive ones."""
    return Batch(points, batch.condition, jnp.arange(len(points)))


def without_mean(vectors: Float[Array, "num_vectors p"]) -> Float[Array, "num_vectors p"]:
    """The rows less their mean."""
    return vectors - jnp.mean(vectors, axis=0)


def covariance(vectors: Float[Array, "num_vectors p"]) -> Float[Array, "p p"]:
    """Covariance matrix of the rows."""
    return without_mean(vectors).T @ without_mean(vectors) / len(vectors)


def _is_dropped(condition: Condition, index: Array) -> Array:
    """0 for each example that keeps its condition, 1 for the others."""
    return jnp.zeros_like(index) if condition.kept is None else 1 - condition.kept.astype(int)
