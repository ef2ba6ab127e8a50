"""The state that NumPyro carries from step to step and from which it collects fields."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._fields import refuse_field
from ebm_ppl._numpyro import is_prng_key
from ebm_ppl._types import Position, PRNGKey
from ebm_ppl.samplers._numpyro import Health
from ebm_ppl.samplers._warmup import AdaptationState, Proposal


class _Fields(NamedTuple):
    z: Position
    potential_energy: Float[Array, "*chains"]
    z_grad: Position
    accept_prob: Float[Array, "*chains"]
    mean_accept_prob: Float[Array, "*chains"]
    diverging: Bool[Array, "*chains"]
    auxiliary: Any
    rng_key: PRNGKey
    iteration: Int[Array, ""]
    adaptation: AdaptationState
    health: Health | None = None


class KernelState(_Fields):
    """State of one chain, or of all chains of a vectorised run.

    In a vectorised run every field has a leading axis over chains, except `iteration`, `adaptation` and
    parts of `health`, of which all chains share one. To change the step size of a state, write
    `state._replace(adaptation=state.adaptation._replace(step_size=...))`. MCMC's `extra_fields` takes fields
    with that axis: `adapt_state` and `i` in place of the two.

    Attributes:
        z: Unconstrained position, a pytree as the potential takes it.
        potential_energy: Potential energy at `z`.
        z_grad: Gradient of the potential at `z`; `None` for kernels without gradients.
        accept_prob: Acceptance probability of the last proposal. Unadjusted kernels report 1 where
            the step was taken and 0 where it was refused for not being finite.
        mean_accept_prob: Mean of `accept_prob` over the last steps of warm-up (with exponential weights),
            and afresh over all of sampling.
        diverging: Whether the last proposal was refused for not being finite, or was made along a gradient
            with an energy error above 1000.
        auxiliary: Variables that the kernel carries beside the position.
        rng_key: Key of the chain, whose steps are told apart by `iteration`.
        iteration: Number of steps taken, warm-up included.
        adaptation: Step size, mass matrix and what warm-up has learned.
        health: What warns at the end of a run if something is wrong with it; `None` where the kernel moves
            the replicas of another.
    """

    __slots__ = ()

    @property
    def i(self) -> Int[Array, "*chains"]:
        """`iteration` under NumPyro's name and with the axis over chains that MCMC expects."""
        return jnp.broadcast_to(self.iteration, jnp.shape(self.potential_energy))

    @property
    def adapt_state(self) -> AdaptationState:
        """`adaptation` under NumPyro's name and with the axis over chains that MCMC expects."""
        chains = jnp.shape(self.potential_energy)
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, chains + jnp.shape(leaf)), self.adaptation
        )

    @property
    def num_steps(self) -> Int[Array, "*chains"]:
        """Number of steps of the integrator in the last transition; 1 where a transition is one step."""
        if isinstance(self.auxiliary, Proposal):
            return self.auxiliary.num_steps
        return jnp.ones_like(self.potential_energy, dtype=int)

    @property
    def energy(self) -> Float[Array, "*chains"]:
        """Potential and kinetic energy with which the last trajectory began.

        NumPyro's HMC reports that of its end, which differs by the energy error. MAMS has no kinetic energy.

        Raises:
            ValueError: If the kernel draws no momentum in each step.
        """
        if self.health is None or not isinstance(self.auxiliary, Proposal):
            raise ValueError(
                "`energy` is a field of kernels that draw a momentum in each step, such as ChEESHMC, and "
                "tells whether momenta reach all of the law; this kernel draws none. Collect "
                "`potential_energy` instead."
            )
        assert self.health.record is not None  # for the type checker
        return self.health.record.energy

    def __getitem__(self, key: Any) -> Any:
        """A field by its number; a name that `extra_fields` has asked for in vain is refused."""
        return refuse_field(self, key) if isinstance(key, str) else super().__getitem__(key)

    def _replace(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, /, **changes: Any
    ) -> "KernelState":
        """Replace fields; one key for a batched state stands for one key per chain.

        MCMC resumes an ensemble with a single key, as if the chains were one.
        """
        if "rng_key" in changes:
            changes["rng_key"] = keys_like(self.potential_energy, changes["rng_key"])
        return super()._replace(**changes)


def without_moving(state: KernelState) -> KernelState:
    """The state after a step where there is no coordinate to move: there every proposal is accepted."""
    ones = jnp.ones_like(state.accept_prob)
    return state._replace(iteration=state.iteration + 1, accept_prob=ones, mean_accept_prob=ones)


def keys_like(potential_energy: Any, rng_key: Any) -> Any:
    """One key for each chain of a batched state, if a single one is given for all of them.

    States may hold shapes instead of arrays, and anything in place of keys.
    """
    chains = jnp.shape(potential_energy)
    return jax.random.split(rng_key, chains[0]) if chains and is_prng_key(rng_key) else rng_key
