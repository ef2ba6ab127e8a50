"""Contrastive divergence: negative examples from short chains that start at the data."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._types import PRNGKey
from ebm_ppl.samplers import MALA, Moves
from ebm_ppl.samplers.moves import Kernels, as_moves
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, energies_of
from ebm_ppl.trainers._derivatives import energy_gradients
from ebm_ppl.trainers._negative_phase import check_moves, move_chains


class ContrastiveDivergence(AbstractObjective):
    r"""Contrastive divergence, CD-$k$.

    Every example $x_i$ starts chains of $k$ sweeps of a Markov kernel that leaves the current model
    invariant; with their ends $x^-_{ij}$ the parameters follow the gradient of
    $$\ell_i(\theta) = E_\theta(x_i) - \frac1m \sum_{j=1}^m E_\theta(x^-_{ij}),$$
    the chains' ends held fixed. The loss is an energy difference and no measure of the quality of the
    fit. The fixed point is the true density if the model holds it; if not, it is biased towards what $k$
    sweeps cannot see, such as the weights of separate modes, and tends to maximum likelihood as $k$
    grows.

    At the truth, with $T = \nabla_\theta E$, $\partial_\theta \mathbb{E}\,T(x^-) = -\operatorname{Cov}(T(x),
    T(x) - T(x^-))$, which `sensitivity` estimates from the pairs of start and end.

    Args:
        kernel: Kernel of the negative phase: a class or callable that takes `potential_fn=`,
            [`Moves`][ebm_ppl.samplers.Moves] with scheduled settings, or a sequence of these that take
            turns in each sweep.
        num_steps: Number of sweeps $k$.
        num_chains_per_example: Number of chains $m$ that each example starts.

    Raises:
        ValueError: If a number is not positive or `kernel` is no kernel.

    Examples:
        >>> import functools
        >>> from ebm_ppl import MALA, RandomWalkMetropolis
        >>> from ebm_ppl.trainers import ContrastiveDivergence
        >>> objective = ContrastiveDivergence(functools.partial(MALA, step_size=0.1), num_steps=10)
        >>> mixed = ContrastiveDivergence(
        ...     (MALA, functools.partial(RandomWalkMetropolis, step_size=2.5))
        ... )

    References:
        G. E. Hinton (2002). Training products of experts by minimizing contrastive divergence.
        *Neural Computation* 14(8), 1771-1800.
    """

    consistent = True
    is_criterion = False

    moves: Moves
    num_chains_per_example: int = eqx.field(static=True)

    def __init__(
        self,
        kernel: Kernels = MALA,
        num_steps: int = 1,
        num_chains_per_example: int = 1,
    ) -> None:
        check_count("num_chains_per_example", num_chains_per_example)
        self.moves = as_moves(kernel, num_steps)
        self.num_chains_per_example = num_chains_per_example

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, None]:
        """Nothing is learned or carried; the kernel is checked against the energy."""
        check_moves(self.moves, energy, data.x, data.condition)
        return None, None

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Run the chains; the sample has shape `(num_chains_per_example, num_examples, *event)`."""
        repeats = self.num_chains_per_example
        starts, condition = jax.tree.map(
            lambda leaf: repeated(leaf, repeats), (batch.x, batch.condition)
        )
        ends, metrics = move_chains(self.moves, model.energy, starts, condition, step, rng_key)
        ends = ends.reshape(repeats, *batch.x.shape)
        gap = -jnp.mean(self.losses(model, batch, ends))
        return Prepared(ends, carried, metrics | {"energy_gap": gap})

    def losses(
        self, model: Model, batch: Batch, sample: Float[Array, "repeats num_examples *event"]
    ) -> Float[Array, " num_examples"]:
        """Energy of each example less the mean energy of its chains' ends."""
        repeats = len(sample)
        condition = jax.tree.map(lambda leaf: repeated(leaf, repeats), batch.condition)
        ends = sample.reshape(-1, *batch.x.shape[1:])  # one batch: a second axis would cost speed
        negative = energies_of(model.energy, Batch(ends, condition, jnp.arange(len(ends))))
        negative = jnp.mean(negative.reshape(repeats, -1), axis=0)
        return energies_of(model.energy, batch) - negative

    def sensitivity(
        self, gradients: Float[Array, "num_examples p"], model: Model, batch: Batch, sample: Any
    ) -> Float[Array, "p p"]:
        r"""$\operatorname{Cov}(T(x), T(x) - T(x^-))$, from the pairs of start and end."""
        statistics = energy_gradients(model, batch)
        centred = statistics - jnp.mean(statistics, axis=0)
        return centred.T @ gradients / len(gradients)


def repeated(leaf: Array, repeats: int) -> Array:
    """All rows, `repeats` times one after the other."""
    tiled = jnp.broadcast_to(leaf, (repeats, *leaf.shape))
    return tiled.reshape(repeats * leaf.shape[0], *leaf.shape[1:])
