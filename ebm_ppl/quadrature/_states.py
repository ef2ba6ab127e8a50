"""The normalised law of a discrete energy in a table of all its states: the ground truth."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ebm_ppl._precision import float64, to_float64
from ebm_ppl._types import PRNGKey
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._states import StateSpace

MOST_STATES = 2**20
"""Most states of a table: those of 20 spins, 160 MB in double precision."""
_BLOCK = 2**14


@dataclasses.dataclass(frozen=True, eq=False)
class StateTable:
    r"""The law $p(x) = \exp(-E(x)) / Z$ of a discrete energy, state by state, in float64.

    `enumerate_states` makes it. It lives on the host: all arrays are NumPy's, in double precision.

    Attributes:
        energy: The energy, as it was given.
        states: All states, shape `(num_states, *event_shape)`.
        log_probs: Log probability of each state, shape `(num_states,)`.
        log_z: Log partition function.
    """

    energy: AbstractEnergy
    states: np.ndarray
    log_probs: np.ndarray
    log_z: float

    @functools.cached_property
    def probs(self) -> np.ndarray:
        """Probability of each state, shape `(num_states,)`."""
        return np.exp(self.log_probs)

    def mean(self) -> np.ndarray:
        """Mean of each coordinate, of shape `event_shape`."""
        return np.tensordot(self.probs, self.states, axes=1)

    def variance(self) -> np.ndarray:
        """Variance of each coordinate, of shape `event_shape`."""
        return np.tensordot(self.probs, (self.states - self.mean()) ** 2, axes=1)

    def entropy(self) -> float:
        r"""Entropy $-\sum_x p(x) \log p(x)$ in nats."""
        return -float(self.probs @ np.where(self.probs > 0, self.log_probs, 0.0))

    def number_of(self, x: Any) -> np.ndarray:
        """Row of `states` at which each of the points stands.

        Args:
            x: States, of shape batch + `event_shape`.

        Returns:
            Their numbers, of shape batch.

        Raises:
            ValueError: If a point is no state.
        """
        space = _space_of(self.energy)
        points = np.asarray(x)
        batch = points.shape[: points.ndim - len(self.energy.event_shape)]
        digits = (points.reshape(*batch, -1) - np.array(space.lowest)) / space.step
        if not np.all((digits == np.round(digits)) & (digits >= 0) & (digits < space.sizes)):
            raise ValueError(
                f"`x` must lie in the energy's support {self.energy.support!r}; got {x!r}."
            )
        place = np.append(np.cumprod(np.array(space.sizes[:0:-1]))[::-1], 1)
        return np.asarray(digits @ place, dtype=int)

    @functools.cached_property
    def _thresholds(self) -> np.ndarray:
        """Upper end of each state's share of the numbers of 32 bits."""
        shares = np.cumsum(self.probs)
        return np.minimum(np.round(shares / shares[-1] * 2**32), 2**32 - 1).astype(np.uint32)

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw exactly, up to the 32 bits of the random word that chooses a state.

        Args:
            key: Random key.
            sample_shape: Leading shape of the draws.

        Returns:
            Draws of shape `sample_shape + event_shape`, in the precision of the session.
        """
        word = jax.random.bits(key, sample_shape, jnp.uint32)
        row = jnp.searchsorted(jnp.asarray(self._thresholds), word, side="right")
        return jnp.asarray(self.states, dtype=float)[jnp.minimum(row, len(self.states) - 1)]


def enumerate_states(energy: AbstractEnergy) -> StateTable:
    r"""Tabulate the law of a discrete energy over all its states, in double precision.

    Args:
        energy: The energy; its parameters are numbers.

    Returns:
        The table, which also serves `EnergyDistribution` as a normaliser.

    Raises:
        ValueError: If the energy has no finite number of states, or more than $2^{20}$; beyond,
            `EnumerationNormalizer` still finds $\log Z$.

    Examples:
        >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
        >>> from ebm_ppl.quadrature import enumerate_states
        >>> table = enumerate_states(RestrictedBoltzmannMachine([[1.0], [-1.0]], [0.0, 0.5], [0.0]))
        >>> table.states.tolist(), table.probs.round(3).tolist()
        ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0.177, 0.2, 0.33, 0.293])
    """
    space = tabulated_space(energy)
    with jax.ensure_compile_time_eval(), float64():
        exact = to_float64(energy)
        parts = [
            _evaluate(exact, space, jnp.arange(start, min(start + _BLOCK, space.total)))
            for start in range(0, space.total, _BLOCK)
        ]
        states, energies = (np.concatenate(part) for part in zip(*parts, strict=True))
    lowest = energies.min()
    log_z = float(np.log(np.sum(np.exp(lowest - energies))) - lowest)
    return StateTable(energy, states, -energies - log_z, log_z)


def tabulated_space(energy: AbstractEnergy) -> StateSpace:
    """The states of an energy that has few enough for all of them to be held in memory.

    Raises:
        ValueError: If the energy has no finite number of states, or more than $2^{20}$.
    """
    space = _space_of(energy)
    if space.total > MOST_STATES:
        raise ValueError(
            f"`energy` must have at most {MOST_STATES} states to be tabulated; got {space.total}. "
            "Beyond, sample it by MCMC with BlockGibbs or GibbsWithGradients."
        )
    return space


def _space_of(energy: AbstractEnergy) -> StateSpace:
    space = StateSpace.of(energy)
    if space is None:
        raise ValueError(
            "`energy` must have a finite support of fixed bounds to be enumerated; got "
            f"{energy.support!r}."
        )
    return space


@eqx.filter_jit
def _evaluate(
    energy: AbstractEnergy, space: StateSpace, index: Int[Array, " n"]
) -> tuple[Array, Array]:
    states = space.states(index)
    return states, jax.vmap(energy)(states)
