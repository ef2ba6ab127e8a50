"""What a run has to say against itself, read on the host once NumPyro's `MCMC` has run it."""

import dataclasses
import weakref
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._numpyro import run_has_ended, warn_whoever_runs
from ebm_ppl._types import Scalar

_FEWEST = 10
"""Steps below which a run is too short for its shares to mean anything."""
_STUCK, _STUCK_STEPS = 0.01, 100
"""Share of accepted proposals below which a chain is stuck, and after how many steps one can say so."""
_DIVERGENT, _DIVERGENT_COUNT = 1e-3, 10
"""Share of divergent trajectories that distorts the draws, and how many there have to be.

Of centred eight schools `ChEESHMC` has 0.4%, and P(log tau < -1) is 0.04 for 0.07; of a banana whose standard
deviations are right to 1% it has 0.05%.
"""


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class Health:
    """A part of the state of a kernel that looks at itself where a run of `MCMC` hands it back.

    Nothing of it is computed by a callback, which JAX's cache of compiled programs would refuse. JAX builds
    a state anew from its arrays when a compiled run returns; that is when a warning is due.

    Attributes:
        kernel: Name of the kernel.
        remedy: What to do about trajectories that diverge; `None` for kernels whose refusals are exact.
        num_steps: Steps since the end of warm-up.
        accept_prob: Mean acceptance probability of each chain, as `KernelState.mean_accept_prob`.
        diverging: Share of the same steps that were refused for not being finite, of each chain.
        is_floored: Whether no shorter step could be told from none in the precision of the run.
        rounding: Rounding error of the potential energy in units of what the kernel bears.
    """

    kernel: str
    remedy: str | None
    num_steps: Any  # JAX puts anything in the place of arrays, such as axes and types
    accept_prob: Any
    diverging: Any
    is_floored: Any
    rounding: Any

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[str, str | None]]:
        """The arrays, and the texts."""
        arrays = (self.num_steps, self.accept_prob, self.diverging, self.is_floored, self.rounding)
        return arrays, (self.kernel, self.remedy)

    @classmethod
    def tree_unflatten(cls, texts: tuple[str, str | None], arrays: tuple[Any, ...]) -> "Health":
        """The same state, which warns if a run has just handed it back."""
        health = cls(*texts, *arrays)
        are_known = all(isinstance(one, jax.Array) for one in arrays) and not is_traced(arrays)
        if are_known and run_has_ended() and _is_new(arrays[0]):
            health.report()
        return health

    def report(self, runner: tuple[str, str] | None = None) -> None:
        """Warn of what is wrong with the run, if anything is.

        Args:
            runner: Module and name of the function that ran it, if it was not `MCMC`; its caller is warned.
        """
        num_steps = int(np.max(self.num_steps))
        if num_steps < 0:
            return
        for message in self._complaints(num_steps):
            warn_whoever_runs(message, runner)

    def _complaints(self, num_steps: int) -> list[str]:
        diverging = np.ravel(self.diverging).astype(float)
        dead = (diverging > 1 - 1e-3) & (num_steps == 0 or num_steps >= _FEWEST)
        stuck = np.ravel(self.accept_prob) < _STUCK
        stuck = stuck & ~dead & (num_steps >= _STUCK_STEPS)
        found = []
        if dead.any():
            found.append(self._dead(np.flatnonzero(dead), dead.size))
        if stuck.any():
            found.append(self._stuck(np.flatnonzero(stuck), stuck.size))
        if self.remedy is not None and not dead.all():
            found.extend(self._divergent(diverging[~dead], num_steps))
        if np.any(self.is_floored):
            found.append(self._floored())
        if np.min(self.rounding) > 1:
            found.append(self._rounded())
        return found

    def _dead(self, chains: np.ndarray, size: int) -> str:
        return (
            f"{self.kernel} refused every step of {_named(chains, size)}, since its potential energy or "
            "gradient is not finite, or far too steep: these draws are where the chain was. Start elsewhere "
            "with `init_params` or another `init_strategy`, where potential and gradient are finite (a norm "
            "has no gradient at 0), run a longer warm-up, or lower `step_size`."
        )

    def _stuck(self, chains: np.ndarray, size: int) -> str:
        return (
            f"{self.kernel} accepted less than {_STUCK:.0%} of the proposals of {_named(chains, size)}, "
            "whose draws hardly move. Run a longer warm-up, start these chains nearer to the others, or "
            "lower `step_size` if it is not tuned."
        )

    def _divergent(self, diverging: np.ndarray, num_steps: int) -> list[str]:
        share = float(diverging.mean())
        if share <= _DIVERGENT or share * num_steps * diverging.size < _DIVERGENT_COUNT:
            return []
        message = (
            f"{share:.2%} of the steps of {self.kernel} diverged after warm-up, so that its draws may miss "
            f"where the law is narrow, whatever R-hat says. {self.remedy}"
        )
        return [message]

    def _floored(self) -> str:
        return (
            f"The step size of {self.kernel} ended where shorter steps would no longer change the position "
            "in its precision: the potential energy is too coarsely rounded there, and the chains hardly "
            "move. Compute in 64 bits (`numpyro.enable_x64()`), or leave large terms that cancel out of "
            "the potential, such as the binomial coefficients of large counts."
        )

    def _rounded(self) -> str:
        times = float(np.min(self.rounding))
        return (
            f"Potential energies are so large that their rounding is {times:.1f} times the energy error "
            f"that {self.kernel} bears, which distorts its draws, whatever R-hat says. Subtract a constant "
            "from the energy, or from the log likelihood, before terms are added up, or compute in 64 bits "
            "(`numpyro.enable_x64()`)."
        )


_last_seen: list[weakref.ref[Any]] = []


def _is_new(array: jax.Array) -> bool:
    """Whether an array is another than that asked about last: JAX builds a result twice as it compiles."""
    is_new = not _last_seen or _last_seen[0]() is not array
    _last_seen[:] = [weakref.ref(array)]
    return is_new


def _named(chains: np.ndarray, size: int) -> str:
    """Which chains of how many."""
    if size == 1:
        return "the chain"
    shown = ", ".join(map(str, chains[:5])) + (", ..." if chains.size > 5 else "")
    return f"{chains.size} of {size} chains (number {shown})"


def rounding_of(potential_energy: Float[Array, "*chains"], bearable: Scalar | float) -> Scalar:
    """Rounding error of the smallest potential energy of all chains, in units of a bearable error."""
    smallest = jax.numpy.min(jax.numpy.abs(potential_energy))
    return jax.numpy.finfo(potential_energy.dtype).eps * smallest / bearable
