"""Many short chains of any NumPyro kernel, started where the caller says, in one compiled call."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl._types import PRNGKey
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.validation.cases._base import KernelCase
from ebm_ppl.validation.family import Member

CHUNK = 10_000
"""Chains that step together; a working set of this size stays in the processor's cache."""


@dataclasses.dataclass(frozen=True)
class ShortChains:
    """Where `n` chains started, where they were after one transition and at the end.

    Positions are unconstrained and flat, shape `(n, dim)`; the other arrays have shape `(n,)` or
    `(num_transitions, n)`.
    """

    start: Float[np.ndarray, "n dim"]
    one: Float[np.ndarray, "n dim"]
    end: Float[np.ndarray, "n dim"]
    energy_change: Float[np.ndarray, " n"]
    moved: Bool[np.ndarray, "steps n"]
    accept_prob: Float[np.ndarray, "steps n"]

    @property
    def is_finite(self) -> bool:
        """Whether every recorded number is finite."""
        return all(
            bool(np.all(np.isfinite(array)))
            for array in (self.one, self.end, self.energy_change, self.accept_prob)
        )

    @property
    def acceptance(self) -> float:
        """Share of transitions that moved the chain."""
        return float(np.mean(self.moved))


def batch_functions(
    kernel: MCMCKernel, batched: bool, num_warmup: int = 0
) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """`init(keys, positions)` and `sample(state)` of a kernel over many chains."""

    def init(key: PRNGKey, position: Array) -> Any:
        return kernel.init(key, num_warmup, position, (), {})

    def sample(state: Any) -> Any:
        return kernel.sample(state, (), {})

    return (init, sample) if batched else (jax.vmap(init), jax.vmap(sample))


class ShortChainRunner:
    """Runs transitions of a kernel from given starts; one program serves all step sizes and a whole family.

    It calls `init` and `sample`, as NumPyro's `MCMC` does: they are what is under question, and not the
    shortcut that `Moves` takes.

    Args:
        case: The kernel.
        potential: The potential, alone or as the member of a family.
        num_transitions: Number of transitions; by default the case's own.
    """

    def __init__(
        self,
        case: KernelCase,
        potential: EnergyPotential | Member,
        num_transitions: int | None = None,
    ) -> None:
        self._case = case
        self._member = potential if isinstance(potential, Member) else Member.alone(potential)
        self._num_transitions = num_transitions or case.num_transitions
        key = ("short chains", id(case), self._num_transitions)
        self._run = self._member.family.program(key, self._run_chunks)

    def __call__(
        self, rng_key: PRNGKey, start: Float[np.ndarray, "n *position"], step_size: float
    ) -> ShortChains:
        """Run the chains.

        Args:
            rng_key: One key; every chain gets its own from it.
            start: Unconstrained starts; their number is a multiple of `CHUNK`, or at most `CHUNK`.
            step_size: Step size of every chain; ignored by kernels that have none to set.
        """
        num_chains, dim = len(start), int(np.prod(start.shape[1:], dtype=int))
        chunk = min(CHUNK, num_chains)
        if num_chains % chunk:
            raise ValueError(f"`start` must hold a multiple of {chunk} chains; got {num_chains}.")
        shape = self._member.family.position_shape
        positions = jnp.asarray(start, dtype=float).reshape((-1, chunk, *shape))
        keys = jax.random.split(rng_key, num_chains // chunk)
        index = jnp.asarray(self._member.index)
        results = self._run(index, keys, positions, jnp.asarray(step_size, dtype=float))
        one, end, change, moved, accept = (np.asarray(array) for array in results)
        flat = (num_chains, dim)
        steps = self._num_transitions
        return ShortChains(
            start=np.asarray(positions).reshape(flat),
            one=one.reshape(flat),
            end=end.reshape(flat),
            energy_change=change.reshape(-1),
            moved=np.moveaxis(moved, 1, 0).reshape(steps, -1),
            accept_prob=np.moveaxis(accept, 1, 0).reshape(steps, -1),
        )

    def _run_chunks(
        self, index: Array, keys: PRNGKey, positions: Array, step_size: Array
    ) -> tuple[Array, ...]:
        # The kernel is built while tracing: NumPyro's kernels keep closures from their last `init`.
        kernel = self._case.make(self._member.family.member(index))
        init, sample = batch_functions(kernel, self._case.batched)

        def advance(state: Any, _: None) -> tuple[Any, tuple[Array, ...]]:
            new = sample(state)
            axes = tuple(range(1, jnp.ndim(state.z)))
            moved = jnp.any(new.z != state.z, axis=axes)
            return new, (new.z, new.potential_energy, moved, new.accept_prob)

        def run_chunk(chunk: tuple[PRNGKey, Array]) -> tuple[Array, ...]:
            key, position = chunk
            state = init(jax.random.split(key, len(position)), position)
            state = self._case.with_step_size(state, step_size)
            _, (z, energy, moved, accept) = jax.lax.scan(
                advance, state, None, length=self._num_transitions
            )
            return z[0], z[-1], energy[0] - state.potential_energy, moved, accept

        return jax.lax.map(run_chunk, (keys, positions))
