"""Contrastive divergence with a replay buffer: many chains, of which each step moves some."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_interval
from ebm_ppl._types import PRNGKey
from ebm_ppl.samplers import MALA, Moves
from ebm_ppl.samplers.moves import Kernels, as_moves
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, Condition, energies_of
from ebm_ppl.trainers._derivatives import energy_gradients
from ebm_ppl.trainers._negative_phase import check_moves, move_chains
from ebm_ppl.trainers.persistent_cd import without_mean

_NO_LIMIT = float(jnp.finfo("float32").max)


class Slots(NamedTuple):
    """States of chains, with what each is conditioned on."""

    x: Float[Array, "num_slots *event"]
    condition: Condition | None


class ReplayBufferCD(AbstractObjective):
    r"""Contrastive divergence with a replay buffer of chains.

    The buffer holds the states of many chains. Each step takes as many of them as the batch has examples
    (or all, if there are fewer), starts a few of those afresh, moves them all by a few sweeps of a
    kernel, and puts every one back **where it came from**: so a slot of the buffer is one chain, and
    states of separate modes neither multiply nor die out by the drawing alone. (A buffer that is read at
    random and filled first in, first out resamples its states at each turn, and ends with all of them in
    one mode.)

    The parameters follow the gradient, with the negative examples held fixed, of
    $$\ell_i(\theta) = E_\theta(x_i) + \alpha E_\theta(x_i)^2 - \frac1m \sum_{j=1}^m \left(E_\theta(x^-_j) -
    \alpha E_\theta(x^-_j)^2\right).$$
    The penalty keeps energies near 0; it is no part of the likelihood, moves the fixed point, and is off
    by default.

    Args:
        kernel: Kernel of the negative phase: a class or callable that takes `potential_fn=`,
            [`Moves`][ebm_ppl.samplers.Moves] with scheduled settings, or a sequence of these that take
            turns in each sweep.
        num_steps: Number of sweeps in each step.
        buffer_size: Number of chains in the buffer.
        restart_fraction: Probability with which a drawn chain is started afresh, in [0, 1].
        initial: Where chains start: `"data"` for examples, or a callable `(rng_key, num_points) ->
            points` of shape `(num_points, *event_shape)`, such as a distribution's `sample` with its
            shape as a tuple.
        energy_penalty: Weight $\alpha \ge 0$ of the penalty.

    Raises:
        ValueError: If an argument is outside its bounds, or, when the fit begins, `initial` returns
            another shape.

    Examples:
        >>> import functools
        >>> from ebm_ppl import Langevin, ReplayBufferCD
        >>> kernel = functools.partial(Langevin, step_size=0.01)
        >>> objective = ReplayBufferCD(kernel, num_steps=20, restart_fraction=0.05)

    References:
        Y. Du and I. Mordatch (2019). Implicit generation and modeling with energy based models. *Advances
        in Neural Information Processing Systems* 32.
    """

    consistent = True
    is_criterion = False

    moves: Moves
    buffer_size: int = eqx.field(static=True)
    restart_fraction: float = eqx.field(static=True)
    initial: str | Callable[[PRNGKey, int], Array] = eqx.field(static=True)
    energy_penalty: float = eqx.field(static=True)

    def __init__(
        self,
        kernel: Kernels = MALA,
        num_steps: int = 10,
        buffer_size: int = 10_000,
        restart_fraction: float = 0.05,
        initial: str | Callable[[PRNGKey, int], Array] = "data",
        energy_penalty: float = 0.0,
    ) -> None:
        check_count("buffer_size", buffer_size)
        check_interval("restart_fraction", restart_fraction, 0.0, 1.0, closed=True)
        check_interval("energy_penalty", energy_penalty, 0.0, _NO_LIMIT, closed=True)
        if initial != "data" and not callable(initial):
            raise ValueError(f"`initial` must be 'data' or callable; got {initial!r}.")
        self.moves = as_moves(kernel, num_steps)
        self.buffer_size = buffer_size
        self.restart_fraction = restart_fraction
        self.initial = initial
        self.energy_penalty = energy_penalty

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, Slots]:
        """Fill the buffer; with conditions, each slot takes that of an example."""
        check_moves(self.moves, energy, data.x, data.condition)
        key_rows, key_points = jax.random.split(rng_key)
        order = jax.random.permutation(key_rows, data.num_examples)
        rows = jnp.resize(order, (self.buffer_size,))
        condition = _marked(energy, jax.tree.map(lambda leaf: leaf[rows], data.condition))
        return None, Slots(self._starts(data.x[rows], key_points), condition)

    def prepare(
        self, model: Model, batch: Batch, carried: Slots, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Draw slots, restart some, move them all and put each back where it was."""
        count = min(batch.num_examples, self.buffer_size)
        key_slots, key_restart, key_points, key_chains = jax.random.split(rng_key, 4)
        # Slots have no order, so a block that begins anywhere is a draw without replacement.
        first = jax.random.randint(key_slots, (), 0, self.buffer_size)
        slots = (first + jnp.arange(count)) % self.buffer_size
        drawn = jax.tree.map(lambda leaf: leaf[slots], carried)
        restart = jax.random.bernoulli(key_restart, self.restart_fraction, (count,))
        x, condition = jax.tree.map(lambda leaf: leaf[:count], (batch.x, batch.condition))
        fresh = Slots(self._starts(x, key_points), _marked(model.energy, condition))

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(restart.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        starts = jax.tree.map(choose, fresh, drawn)
        x, metrics = move_chains(
            self.moves, model.energy, starts.x, starts.condition, step, key_chains
        )
        ends = Slots(x, starts.condition)
        carried = jax.tree.map(lambda old, new: old.at[slots].set(new), carried, ends)
        negative = energies_of(model.energy, _as_batch(ends))
        gap = jnp.mean(negative) - jnp.mean(energies_of(model.energy, batch))
        return Prepared(ends, carried, metrics | {"energy_gap": gap})

    def chains(self, carried: Slots) -> Array:
        """The states in the buffer."""
        return carried.x

    def losses(self, model: Model, batch: Batch, sample: Slots) -> Float[Array, " num_examples"]:
        """Energy of each example less the mean of the chains, and the penalty."""
        positive = energies_of(model.energy, batch)
        negative = energies_of(model.energy, _as_batch(sample))
        penalty = self.energy_penalty
        return positive + penalty * positive**2 - jnp.mean(negative - penalty * negative**2)

    def sensitivity(
        self,
        gradients: Float[Array, "num_examples p"],
        model: Model,
        batch: Batch,
        sample: Slots,
    ) -> Float[Array, "p p"]:
        r"""$\operatorname{Cov}((1 - 2 \alpha E) \nabla_\theta E, \nabla_\theta E)$ under the model.

        Raises:
            ValueError: If there are conditions, since no chain is then at that of an example.
        """
        if sample.condition is not None:
            raise ValueError(
                "`energy` must not be conditional for standard errors from a replay buffer; "
                "`PersistentCD` has a chain for each example."
            )
        slots = _as_batch(sample)
        statistics = energy_gradients(model, slots)
        weights = 1 - 2 * self.energy_penalty * energies_of(model.energy, slots)
        return (
            without_mean(weights[:, None] * statistics).T
            @ without_mean(statistics)
            / len(statistics)
        )

    def _starts(self, x: Array, rng_key: PRNGKey) -> Array:
        """New chains: at the given examples, or where `initial` says."""
        if not callable(self.initial):
            return x
        points = jnp.asarray(self.initial(rng_key, len(x)), dtype=x.dtype)
        if points.shape != x.shape:
            raise ValueError(
                f"Expected `initial` to return points of shape {x.shape}; got {points.shape}."
            )
        return points


def _as_batch(slots: Slots) -> Batch:
    return Batch(slots.x, slots.condition, jnp.arange(len(slots.x)))


def _marked(energy: Any, condition: Condition | None) -> Condition | None:
    """The condition with a mark of which examples keep it, if the energy can do without.

    So slots have the same leaves whether or not the fit drops conditions.
    """
    if condition is None or condition.y is None:
        return condition
    if condition.kept is not None or energy.null_condition is None:
        return condition
    return dataclasses.replace(condition, kept=jnp.ones(len(condition.y), dtype=bool))
