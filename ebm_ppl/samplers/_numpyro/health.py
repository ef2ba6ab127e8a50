"""What a run has to say against itself, read on the host once NumPyro's `MCMC` has run it."""

import dataclasses
import weakref
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._numpyro import run_has_ended, warn_whoever_runs
from ebm_ppl._processes import spans, tree_on_host
from ebm_ppl._types import Scalar
from ebm_ppl.samplers._numpyro.run_record import RunRecord, energy_fraction, kurtosis

_FEWEST = 10
"""Steps below which a run is too short for its shares to mean anything."""
_STUCK, _STUCK_STEPS = 0.01, 100
"""Share of accepted proposals below which a chain is stuck, and after how many steps one can say so."""
_DIVERGENT, _DIVERGENT_COUNT = 1e-3, 10
"""Share of divergent trajectories that distorts the draws, and how many there have to be.

Of centred eight schools `ChEESHMC` has 0.4%, and P(log tau < -1) is 0.04 for 0.07; of a banana whose standard
deviations are right to 1% it has 0.05%.
"""

_HEAVY, _HEAVY_DRAWS = 50.0, 1000
"""Kurtosis beyond which the error of a mean square is not what draws say, and draws that show it.

Of 8,000 independent draws of a funnel of scale 2.8 or 3 the mean square is more than five stated errors off
in 5% and 8% of 1,000 trials, and the kurtosis is above 79 in 99%. Of as many draws of normal, logistic,
Laplace, exponential and squared normal laws it stayed below 30 in 2,000 trials.
"""
_LEAST_FRACTION, _FRACTION_STEPS = 0.3, 100
"""E-BFMI below which momenta are too short (Betancourt 2016, and Stan), and steps that show it."""

_TRAVEL_STEPS = 1000
"""Steps of all ladders together in which one round trip is to be expected: good ladders make a hundred."""


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
        record: Sums over the draws since warm-up; `None` where coordinates are states.
        round_trips: How many draws of a base law each ladder has brought to the target since warm-up; `None`
            for kernels without a ladder.
    """

    kernel: str
    remedy: str | None
    num_steps: Any  # JAX puts anything in the place of arrays, such as axes and types
    accept_prob: Any
    diverging: Any
    is_floored: Any
    rounding: Any
    record: RunRecord | None = None
    round_trips: Any = None

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[str, str | None]]:
        """The arrays, and the texts."""
        arrays = (self.num_steps, self.accept_prob, self.diverging, self.is_floored, self.rounding)
        return (*arrays, self.record, self.round_trips), (self.kernel, self.remedy)

    @classmethod
    def tree_unflatten(cls, texts: tuple[str, str | None], arrays: tuple[Any, ...]) -> "Health":
        """The same state, which warns if a run has just handed it back."""
        health = cls(*texts, *arrays)
        leaves = [*arrays[:5], *jax.tree.leaves(arrays[5:])]
        are_known = all(isinstance(one, jax.Array) for one in leaves) and not is_traced(leaves)
        if are_known and run_has_ended() and _is_new(arrays[0]):
            health.report()
        return health

    def report(self, runner: tuple[str, str] | None = None) -> None:
        """Warn of what is wrong with the run, if anything is.

        Args:
            runner: Module and name of the function that ran it, if it was not `MCMC`; its caller is warned.
        """
        known = tree_on_host(self) if spans(self) else self
        num_steps = int(np.max(known.num_steps))
        if num_steps < 0:
            return
        for message in known._complaints(num_steps):
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
        if self.record is not None:
            found.extend(self._unreached(self.record, num_steps))
        if self.round_trips is not None:
            found.extend(self._untravelled(np.ravel(self.round_trips), num_steps))
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
            f"The step size of {self.kernel} ended where steps are a few roundings of the position "
            "long: the potential energy is too coarsely rounded there, and the chains hardly "
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

    def _unreached(self, record: RunRecord, num_steps: int) -> list[str]:
        found = []
        fraction, peaked = energy_fraction(record), kurtosis(record)
        if fraction < _LEAST_FRACTION and num_steps >= _FRACTION_STEPS:
            found.append(
                f"E-BFMI of {self.kernel} is {fraction:.2g}, below {_LEAST_FRACTION}: from one step to the "
                "next the energy changes by too little to reach all of the law, whatever R-hat says. Write "
                "the model in other coordinates (non-centred ones, where a scale is drawn, too), or allow "
                "longer trajectories."
            )
        heavy = np.flatnonzero(np.isfinite(peaked) & (peaked > _HEAVY))
        if heavy.size and np.sum(np.asarray(record.num_draws)) >= _HEAVY_DRAWS:
            worst = heavy[np.argmax(peaked[heavy])]
            found.append(
                f"The draws of {self.kernel} have heavy tails: coordinate {worst} of {peaked.size} has a "
                f"kurtosis of {peaked[worst]:.3g}, above {_HEAVY:.0f} (3 is that of a normal law), so that "
                "means and variances rest on few draws, and their stated errors are too small. Report "
                "quantiles, or write the model in other coordinates (non-centred ones, where a scale is "
                "drawn, too)."
            )
        return found

    def _untravelled(self, round_trips: np.ndarray, num_steps: int) -> list[str]:
        if np.any(round_trips > 0) or num_steps * round_trips.size < _TRAVEL_STEPS:
            return []
        message = (
            f"No draw of the base law of {self.kernel} has reached the target in {num_steps} steps of "
            f"{round_trips.size} chains, so that separate modes have their weights from where they started. "
            "Take more replicas, a longer warm-up, or a `base` that is nearer to the target and covers it."
        )
        return [message]


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
