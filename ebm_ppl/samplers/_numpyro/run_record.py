"""What a run shows of its law's tails and of its energies, in sums that every step adds to."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ebm_ppl._processes import on_host
from ebm_ppl._types import Scalar


class RunRecord(NamedTuple):
    r"""Sums over the draws since warm-up.

    Attributes:
        num_draws: Number of draws, of all chains together.
        center: Mean of each flat coordinate.
        second: Sum of squared deviations from the mean so far, in units of the mass matrix.
        fourth: Sum of their squares.
        energy: Energy of each chain in its last step; NaN for kernels without momenta.
        energy_mean: Mean energy of each chain.
        energy_variation: $\sum_n (E_n - \bar E)^2$ of each chain.
        energy_changes: $\sum_n (E_n - E_{n-1})^2$ of each chain.
    """

    num_draws: Scalar
    center: Float[Array, " dim"]
    second: Float[Array, " dim"]
    fourth: Float[Array, " dim"]
    energy: Float[Array, "*chains"]
    energy_mean: Float[Array, "*chains"]
    energy_variation: Float[Array, "*chains"]
    energy_changes: Float[Array, "*chains"]

    def add(
        self,
        positions: Float[Array, "chains dim"],
        scale: Float[Array, " dim"],
        energy: Float[Array, "*chains"],
        num_steps: Int[Array, ""],
    ) -> "RunRecord":
        """The record with one more step of all chains.

        Args:
            positions: Where the chains are.
            scale: Unit of each coordinate, in which the sums neither overflow nor vanish.
            energy: Energy of each chain in this step.
            num_steps: Number of steps since warm-up, this one included; below 1 nothing is added.
        """
        is_counted = num_steps > 0
        weight = is_counted.astype(positions.dtype)
        num_draws = self.num_draws + weight * len(positions)
        mean = jnp.mean(positions, axis=0)
        share = weight * len(positions) / jnp.maximum(num_draws, 1)
        center = self.center + share * (mean - self.center)
        squares = ((positions - center) / scale) ** 2
        since = weight / jnp.maximum(num_steps, 1).astype(energy.dtype)
        away = jnp.where(is_counted, energy - self.energy_mean, 0.0)
        energy_mean = self.energy_mean + since * away
        change = jnp.where(num_steps > 1, energy - self.energy, 0.0)
        return RunRecord(
            num_draws,
            center,
            self.second + weight * jnp.sum(squares, axis=0),
            self.fourth + weight * jnp.sum(squares**2, axis=0),
            energy,
            energy_mean,
            self.energy_variation + jnp.where(is_counted, away * (energy - energy_mean), 0.0),
            self.energy_changes + change**2,
        )


def no_record(
    position: Float[Array, " dim"], potential_energy: Float[Array, "*chains"]
) -> RunRecord:
    """The record of nothing, of the shapes and precision of a position and of the chains' energies."""
    none, zeros = jnp.zeros_like(position), jnp.zeros_like(potential_energy)
    return RunRecord(jnp.zeros((), position.dtype), *(none,) * 3, *(zeros,) * 4)


def kurtosis(record: RunRecord) -> Float[np.ndarray, " dim"]:
    r"""$n \sum d^4 / (\sum d^2)^2$ of each coordinate over all chains, whatever axes come before."""

    def total(sums: Array) -> np.ndarray:
        values = on_host(sums, np.float64)
        return values.reshape(-1, values.shape[-1]).sum(axis=0)

    num_draws = float(np.sum(on_host(record.num_draws, np.float64)))
    with np.errstate(all="ignore"):
        return num_draws * total(record.fourth) / total(record.second) ** 2


def energy_fraction(record: RunRecord) -> float:
    r"""E-BFMI: $\sum_n (E_n - E_{n-1})^2 / \sum_n (E_n - \bar E)^2$ over all chains.

    NaN for kernels without momenta.
    """
    with np.errstate(all="ignore"):
        changes, variation = (
            np.sum(on_host(sums, np.float64))
            for sums in (record.energy_changes, record.energy_variation)
        )
        return float(changes / variation)
