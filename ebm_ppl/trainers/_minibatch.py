"""Mini-batches: an order of the examples for each epoch, slices of it, and dropped conditions."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._batch import Batch, Condition


def order_at(
    step: Int[Array, ""],
    order: Int[Array, " num_examples"],
    batch_size: int,
    rng_key: PRNGKey,
) -> Int[Array, " num_examples"]:
    """The order of the examples at a step: a new permutation at the start of each epoch.

    Args:
        step: Number of steps taken before.
        order: The order at the step before.
        batch_size: Number of examples of a step; an epoch leaves out a last, smaller batch.
        rng_key: Random key of all epochs.

    Returns:
        The order of the epoch that the step belongs to.
    """
    num_examples = len(order)
    epoch, step_of_epoch = divmod(step, num_examples // batch_size)

    def shuffled() -> Array:
        return _permutation(jax.random.fold_in(rng_key, epoch), num_examples)

    return jax.lax.cond(step_of_epoch == 0, shuffled, lambda: order)


@functools.partial(jax.jit, static_argnums=(1, 2))
def random_rows(rng_key: PRNGKey, size: int, count: int) -> Int[Array, " count"]:
    """Rows in random order, all of them before one comes again."""
    return jnp.resize(_permutation(rng_key, size), (count,))


def _permutation(rng_key: PRNGKey, size: int) -> Int[Array, " size"]:
    """A random order, by sorts of single words: random high bits, and the position in the low ones.

    XLA sorts words several times faster than the pairs of `jax.random.permutation`. Positions with equal
    random bits stay in the order of the round before; as there, their number is expected to be below
    1 / size in all rounds together.
    """
    bits = (size - 1).bit_length()
    if bits > 24:
        return jax.random.permutation(rng_key, size)
    mask = jnp.uint32(2**bits - 1)
    num_rounds = max(1, math.ceil(3 * math.log2(size) / (32 - bits)))
    order = jnp.arange(size)
    for words in jax.random.bits(rng_key, (num_rounds, size)):
        packed = jnp.sort((words & ~mask) | jnp.arange(size, dtype=jnp.uint32))
        order = order[(packed & mask).astype(order.dtype)]
    return order


def minibatch(
    data: Batch, order: Int[Array, " num_examples"], step: Int[Array, ""], batch_size: int
) -> Batch:
    """Gather the examples of a step; nothing of the size of the data set is copied."""
    start = step % (data.num_examples // batch_size) * batch_size
    rows = jax.lax.dynamic_slice_in_dim(order, start, batch_size)
    return jax.tree.map(lambda leaf: leaf[rows], data)


def with_dropped_conditions(batch: Batch, dropout: float, rng_key: PRNGKey) -> Batch:
    """Drop the condition of each example with a probability, beside those dropped already."""
    if dropout == 0 or batch.condition is None:
        return batch
    kept = jax.random.bernoulli(rng_key, 1 - dropout, (batch.num_examples,))
    if batch.condition.kept is not None:
        kept = kept & batch.condition.kept
    condition = Condition(batch.condition.y, batch.condition.sigma, kept)
    return Batch(batch.x, condition, batch.index)
