"""Energies whose partition function is known, on which estimators of it are questioned."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import Gaussian, RestrictedBoltzmannMachine
from ebm_ppl.partition import AnnealingSchedule

_MEAN = np.array([1.0, -1.0])
_COVARIANCE = np.array([[0.5, 0.2], [0.2, 1.0]])


@dataclasses.dataclass(frozen=True)
class Kind:
    r"""Estimators that make log Z of the same things.

    Attributes:
        name: What they are given, in words.
        best: Variance of $\log \hat Z$ times evaluations, of the best of them that is known.
    """

    name: str
    best: float


# The first is exact, the variance of one weight under a normal law of mean 0.5 and deviation 1.6; the others
# are what bridge sampling and annealed importance sampling had in 100 and 400 runs, to 15% and 7%.
PROPOSAL = Kind("a proposal for the normal law", 2.98)
BRIDGE = Kind("draws of the normal law and of a proposal", 2.94)
MOVES = Kind("Metropolis moves to the normal law", 11.6)
SWEEPS = Kind("Gibbs sweeps of the machine", 3.0)

SCHEDULE = AnnealingSchedule(jnp.linspace(0.0, 1.0, 21), jnp.full(20, 0.3))
"""Temperatures and step sizes from a standard normal law to the normal law."""


@functools.cache
def normal() -> Gaussian:
    """A normal law in the plane, with correlation."""
    return Gaussian(_MEAN, _COVARIANCE)


def normal_log_z() -> float:
    """Its log Z in closed form."""
    return float(np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(_COVARIANCE)[1])


def normal_draws(rng_key: PRNGKey, count: int) -> Float[Array, "count 2"]:
    """Independent draws of it."""
    factor = jnp.asarray(np.linalg.cholesky(_COVARIANCE), dtype=float)
    return jnp.asarray(_MEAN, dtype=float) + jax.random.normal(rng_key, (count, 2)) @ factor.T


@functools.cache
def machine() -> RestrictedBoltzmannMachine:
    """A machine of eight visible and four hidden units, with strong couplings of either sign."""
    weights = 1.5 * np.sin(np.arange(32.0).reshape(8, 4) ** 2)
    return RestrictedBoltzmannMachine(weights, -0.5 * np.ones(8), np.zeros(4))


@functools.cache
def _states() -> tuple[np.ndarray, np.ndarray]:
    """All states of the visible layer and their energies, in double precision."""
    parts = machine()
    weights, visible, hidden = (
        np.asarray(leaf, np.float64)
        for leaf in (parts.weights, parts.visible_bias, parts.hidden_bias)
    )
    states = np.stack(np.meshgrid(*[[0.0, 1.0]] * 8, indexing="ij"), -1).reshape(-1, 8)
    energy = -states @ visible - np.logaddexp(0.0, hidden + states @ weights).sum(1)
    return states, energy


def machine_log_z() -> float:
    """Its log Z, a sum over all states."""
    return float(np.logaddexp.reduce(-_states()[1]))


def machine_draws(rng_key: PRNGKey, count: int) -> Float[Array, "count 8"]:
    """Independent draws of it, from all states."""
    states, energy = _states()
    chosen = jax.random.categorical(rng_key, jnp.asarray(-energy, dtype=float), shape=(count,))
    return jnp.asarray(states, dtype=float)[chosen]
