"""Contrastive divergence with its phases, chains or buffer in disorder."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.samplers import MALA, RandomWalkMetropolis
from ebm_ppl.trainers import (
    AbstractObjective,
    Batch,
    ContrastiveDivergence,
    Model,
    PersistentCD,
    Prepared,
    ReplayBufferCD,
    energies_of,
)
from ebm_ppl.trainers._negative_phase import move_chains
from ebm_ppl.validation.controls._objective import ObjectiveControl

_MALA = functools.partial(MALA, step_size=0.05)
_WALK = functools.partial(RandomWalkMetropolis, step_size=2.0)


class _Wrapper(AbstractObjective):
    """Another objective, of which a control alters one thing."""

    consistent, is_criterion = True, False
    inner: AbstractObjective

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[Any, Any]:
        return self.inner.init(energy, data, rng_key)

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return self.inner.prepare(model, batch, carried, step, rng_key)

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        return self.inner.losses(model, batch, sample)


class _PhasesSwapped(_Wrapper):
    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        return -self.inner.losses(model, batch, sample)


class _SometimesSwapped(_Wrapper):
    """Swaps the phases at every tenth step."""

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        inner = self.inner.prepare(model, batch, carried, step, rng_key)
        return inner._replace(sample=(inner.sample, jnp.where(step % 10 == 7, -1.0, 1.0)))

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        return sample[1] * self.inner.losses(model, batch, sample[0])


class _ThroughTheChain(_Wrapper):
    """Runs the chain where the loop differentiates."""

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return Prepared(jax.random.key_data(rng_key), carried, {})

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        key = jax.random.wrap_key_data(sample)
        ends = self.inner.prepare(model, batch, None, jnp.asarray(0), key).sample
        return self.inner.losses(model, batch, ends)


class _DataAsNegatives(_Wrapper):
    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return Prepared(batch.x[None], carried, {})


class _ChainsOfYesterday(_Wrapper):
    """Persistent chains whose moves are computed and thrown away."""

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return self.inner.prepare(model, batch, carried, step, rng_key)._replace(carried=carried)


class _StartsFromData(_Wrapper):
    """Persistent chains that are written back, and never read again."""

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        leaves, structure = jax.tree.flatten(carried)
        rows = jnp.arange(len(leaves[0])) % batch.num_examples
        fresh = jax.tree.unflatten(structure, [batch.x[rows].reshape(leaves[0].shape), *leaves[1:]])
        return self.inner.prepare(model, batch, fresh, step, rng_key)


class _Permuted(_Wrapper):
    """Gives the examples one another's chains."""

    def losses(self, model: Model, batch: Batch, sample: Array) -> Float[Array, " num_examples"]:
        return self.inner.losses(model, batch, sample[:, ::-1])


class _FirstInFirstOut(AbstractObjective):
    """A buffer that is read at random and filled in turn."""

    consistent, is_criterion = True, False
    inner: PersistentCD

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, tuple[Array, Array]]:
        return None, (data.x, jnp.asarray(0))

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        buffer, head = carried
        key_rows, key_chains = jax.random.split(rng_key)
        count = min(batch.num_examples, len(buffer))
        rows = jax.random.choice(key_rows, len(buffer), (count,))
        ends, _ = move_chains(self.inner.moves, model.energy, buffer[rows], None, step, key_chains)
        slots = (head + jnp.arange(count)) % len(buffer)
        return Prepared(ends, (buffer.at[slots].set(ends), (head + count) % len(buffer)), {})

    def losses(self, model: Model, batch: Batch, sample: Array) -> Float[Array, " num_examples"]:
        return energies_of(model.energy, batch) - jnp.mean(
            energies_of(model.energy, Batch(sample, None, jnp.arange(len(sample))))
        )


CONTROLS = (
    ObjectiveControl(
        name="contrastive divergence: phases swapped",
        wrong_because="energies of the data are pushed up and those of the chains down",
        like="contrastive_divergence",
        objective=_PhasesSwapped(ContrastiveDivergence(_MALA, num_steps=5)),
    ),
    ObjectiveControl(
        name="contrastive divergence: phases swapped now and then",
        wrong_because="every tenth step pushes up the energies of the data",
        like="contrastive_divergence",
        objective=_SometimesSwapped(ContrastiveDivergence(_MALA, num_steps=5)),
    ),
    ObjectiveControl(
        name="contrastive divergence: gradient through the chain",
        wrong_because="the chain runs inside the loss, so its steps are differentiated too",
        like="contrastive_divergence",
        objective=_ThroughTheChain(ContrastiveDivergence(_MALA, num_steps=5)),
    ),
    ObjectiveControl(
        name="contrastive divergence: data as negatives",
        wrong_because="the batch itself is used for negative examples",
        like="contrastive_divergence",
        objective=_DataAsNegatives(ContrastiveDivergence(_MALA, num_steps=5)),
        quick=True,
    ),
    ObjectiveControl(
        name="persistent chains: moves thrown away",
        wrong_because="each step starts from where the chains began, not from where they went",
        like="persistent_cd",
        objective=_ChainsOfYesterday(PersistentCD(_WALK, num_steps=1, num_chains=2048)),
    ),
    ObjectiveControl(
        name="persistent chains: long moves thrown away",
        wrong_because="each step starts where the chains began, from where they arrive in that step",
        like="persistent_cd",
        objective=_ChainsOfYesterday(PersistentCD(_WALK, num_steps=40, num_chains=2048)),
    ),
    ObjectiveControl(
        name="persistent chains: restarted at the data",
        wrong_because="each step starts at the batch, however long the chains have persisted",
        like="persistent_cd",
        objective=_StartsFromData(PersistentCD(_WALK, num_steps=40, num_chains=2048)),
    ),
    ObjectiveControl(
        name="replay buffer: first in, first out",
        wrong_because="states that are drawn at random and pushed on a queue are resampled for ever",
        like="replay_buffer_cd",
        objective=_FirstInFirstOut(PersistentCD(_WALK, num_steps=40)),
    ),
    ObjectiveControl(
        name="contrastive divergence: chains permuted",
        wrong_because="the mean over the examples does not ask which chain is whose",
        like="contrastive_divergence",
        objective=_Permuted(ContrastiveDivergence(_MALA, num_steps=5)),
        equivalent=True,
    ),
    ObjectiveControl(
        name="replay buffer: never restarted",
        wrong_because="chains that have arrived need no restarts",
        like="replay_buffer_cd",
        objective=ReplayBufferCD(_WALK, num_steps=40, buffer_size=2048, restart_fraction=0.0),
        equivalent=True,
    ),
)
