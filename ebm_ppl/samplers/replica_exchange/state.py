"""The state of a run of replica exchange."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._fields import refuse_field
from ebm_ppl._types import Position, PRNGKey, Scalar
from ebm_ppl.samplers._contract import KernelState, keys_like
from ebm_ppl.samplers._numpyro import Health
from ebm_ppl.samplers.replica_exchange.ladder import ExchangeRecord, LadderState


class _Fields(NamedTuple):
    z: Position
    potential_energy: Float[Array, "*chains"]
    accept_prob: Float[Array, "*chains"]
    mean_accept_prob: Float[Array, "*chains"]
    diverging: Bool[Array, "*chains"]
    exchange_prob: Float[Array, "*chains pairs"]
    walkers: Int[Array, "*chains levels"]
    is_heated: Bool[Array, "*chains levels"]
    record: ExchangeRecord
    rng_key: PRNGKey
    iteration: Int[Array, ""]
    inner: Any
    ladder: LadderState
    health: Health


class ReplicaExchangeState(_Fields):
    """State of one ladder of replicas, or of all ladders of a vectorised run.

    In a vectorised run every field has a leading axis over chains, each of which is a ladder, except
    `iteration`, `ladder` and parts of `health`, of which they share one, and `inner`, where levels come
    first.

    Attributes:
        z: Unconstrained position of the replica at inverse temperature 1, a pytree.
        potential_energy: Its potential energy.
        accept_prob: Acceptance probability of its last step by the inner kernel.
        mean_accept_prob: Mean of it, as the inner kernel reports it.
        diverging: Whether that step was refused for not being finite.
        exchange_prob: Probability with which each pair of neighbours last was to exchange.
        walkers: Which replica stands at each level; the last is the one at inverse temperature 1.
        is_heated: Whether the replica at each level has been at inverse temperature 0 since it was at 1.
        record: Means over all exchanges since warm-up.
        rng_key: Key of the whole run, in which `iteration` numbers the steps.
        iteration: Number of steps taken, warm-up included.
        inner: State of the inner kernel at all levels that it moves.
        ladder: Inverse temperatures, and what else warm-up has learned.
        health: What warns at the end of a run if something is wrong with it.
    """

    __slots__ = ()

    @property
    def i(self) -> Int[Array, "*chains"]:
        """`iteration` under NumPyro's name and with the axis over chains that MCMC expects."""
        return jnp.broadcast_to(self.iteration, jnp.shape(self.potential_energy))

    @property
    def adaptation(self) -> Any:
        """What the inner kernel has learned at each level."""
        name = "adaptation" if isinstance(self.inner, KernelState) else "adapt_state"
        return getattr(self.inner, name)

    @property
    def adapt_state(self) -> Any:
        """`adaptation` under NumPyro's name and with the axis over chains that MCMC expects."""
        chains = jnp.shape(self.potential_energy)
        if not isinstance(self.inner, KernelState):
            # Levels come first in the state, and chains after them.
            swapped = lambda leaf: jnp.swapaxes(leaf, 0, 1)  # noqa: E731
            return jax.tree.map(swapped, self.adaptation) if chains else self.adaptation
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, chains + jnp.shape(leaf)), self.adaptation
        )

    @property
    def inverse_temperatures(self) -> Float[Array, "*chains levels"]:
        """Those of the ladder, with the axis over chains that MCMC expects of a field."""
        values = self.ladder.inverse_temperatures
        return jnp.broadcast_to(values, jnp.shape(self.potential_energy) + values.shape[-1:])

    @property
    def acceptance(self) -> Float[Array, " pairs"]:
        """Mean acceptance of exchanges between neighbours since warm-up, over all chains."""
        rejection = jnp.atleast_2d(self.record.rejection)
        return 1 - jnp.mean(rejection, axis=0)

    @property
    def barrier(self) -> Scalar:
        r"""Estimate of the communication barrier $\Lambda$: the sum of all mean rejections.

        With the best ladder of $N + 1$ levels a fraction of about $1 / (2 + 2 \Lambda N / (N - \Lambda))$
        of all steps ends a round trip, and $2 \Lambda$ levels serve best where levels cost alike.
        """
        return jnp.sum(1 - self.acceptance)

    @property
    def round_trip_rate(self) -> Scalar:
        """Round trips per step since warm-up, of one ladder, in the mean over all chains."""
        ends = self.ladder.round_ends
        num_warmup = ends[..., -1] + 1 if ends.size else 0
        num_steps = jnp.maximum(self.iteration - num_warmup, 1)
        return jnp.mean(self.record.round_trips / num_steps)

    def __getitem__(self, key: Any) -> Any:
        """A field by its number; a name that `extra_fields` has asked for in vain is refused."""
        return refuse_field(self, key) if isinstance(key, str) else super().__getitem__(key)

    def _replace(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, /, **changes: Any
    ) -> "ReplicaExchangeState":
        """Replace fields; one key for a batched state stands for one key per chain."""
        if "rng_key" in changes:
            changes["rng_key"] = keys_like(self.potential_energy, changes["rng_key"])
        if "adaptation" in changes:
            name = "adaptation" if isinstance(self.inner, KernelState) else "adapt_state"
            changes["inner"] = self.inner._replace(**{name: changes.pop("adaptation")})
        return super()._replace(**changes)
