r"""Energies less a reference: floats resolve a large one coarsely, and sums of weights then lose the rest.

A number $E$ of float32 has steps of $\epsilon \lvert E \rvert$ with $\epsilon = 1.2 \cdot 10^{-7}$. The
difference of two numbers within a factor of two of each other is exact (Sterbenz), so a reference that is
taken off at once loses nothing; it is put back in double precision at the end. What the energy's own last
rounding has lost stays lost, and widens the error.
"""

import dataclasses
import math
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath, GeometricPath
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, ResolutionWarning
from ebm_ppl.partition._weights import shares

_DRAWS = 100
# Energies of a base law's draws that spread as far as a tenth of their size tell of no offset, and a
# reference could take digits from the target's.
_LARGEST_SPREAD = 0.1
# A log Z is rarely wanted to better than this, and a perfect proposal has no statistical error to compare
# with.
_LEAST_LOSS = 1e-3


class LoweredEnergy(AbstractEnergy):
    r"""An energy less a reference, $E(x) - c$, in the precision in which $E$ is computed."""

    energy: AbstractEnergy
    reference: Scalar

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the energy."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        value = self.energy(x)
        return value - self.reference.astype(value.dtype)


def lowered(path: AbstractPath, rng_key: PRNGKey) -> tuple[AbstractPath, float]:
    """Take a reference off the energy at the end of a geometric path.

    Args:
        path: The path; one of another kind, which knows no energy apart from itself, stays as it is.
        rng_key: Random key.

    Returns:
        The path to the lowered energy, and the reference: the energy of draws of the base law, or 0 if that
        is spread out.
    """
    if not isinstance(path, GeometricPath):
        return path, 0.0
    reference = _energy_at_base(path, rng_key)
    energy = LoweredEnergy(path.energy, reference)
    return eqx.tree_at(lambda path: path.energy, path, energy), float(reference)


def resolution(
    path: AbstractPath,
    reference: float,
    x: Float[Array, "n *event"],
    log_weights: Float[np.ndarray, " n"] | None = None,
) -> float:
    r"""How finely the energy at the end of a lowered path is resolved where it was asked.

    Args:
        path: The path.
        reference: What has been taken off.
        x: Points of the support.
        log_weights: Logarithms of their weights; alike by default.

    Returns:
        $\epsilon \lvert E \rvert$, in the mean over points.
    """
    weights = jnp.asarray(shares(log_weights, len(x)), dtype=float)
    magnitude, epsilon = _magnitude(path.energy, x, weights)
    return float(epsilon) * (abs(reference) + float(magnitude))


def at_resolution(estimate: LogPartitionEstimate, loss: float) -> LogPartitionEstimate:
    """An estimate whose error and interval count how coarsely its energies are resolved.

    Args:
        estimate: The estimate.
        loss: By how much energies may be off for rounding.

    Returns:
        The estimate, of which each end of the interval is that much farther away.

    Warns:
        ResolutionWarning: If rounding is more than the statistical error.
    """
    if loss > max(estimate.std_error, _LEAST_LOSS):
        warnings.warn(
            f"Energies are so large that their precision resolves them to {loss:.2g}, which is more than the "
            f"statistical error of log Z, {estimate.std_error:.2g}; the error counts it. Write the energy "
            "without its constant, or switch on double precision by "
            '`jax.config.update("jax_enable_x64", True)`.',
            ResolutionWarning,
            stacklevel=3,
        )
    ends = estimate.interval
    return dataclasses.replace(
        estimate,
        std_error=math.hypot(estimate.std_error, loss),
        interval=None if ends is None else (ends[0] - loss, ends[1] + loss),
        diagnostics={**estimate.diagnostics, "resolution": loss},
    )


@eqx.filter_jit
def _energy_at_base(path: GeometricPath, rng_key: PRNGKey) -> Scalar:
    return offset(jax.vmap(path.energy)(path.sample_base(rng_key, _DRAWS)))


def offset(energies: Float[Array, " n"]) -> Scalar:
    """What energies have in common: their median, or 0 if there is no such thing."""
    usable = jnp.where(jnp.isfinite(energies), energies, jnp.nan)
    low, middle, high = jnp.nanquantile(usable, jnp.asarray([0.05, 0.5, 0.95], usable.dtype))
    return jnp.where(high - low < _LARGEST_SPREAD * jnp.abs(middle), middle, 0.0)


@eqx.filter_jit
def _magnitude(
    energy: AbstractEnergy, x: Float[Array, "n *event"], weights: Float[Array, " n"]
) -> tuple[Scalar, float]:
    energies = jax.vmap(energy)(x)
    counts = jnp.isfinite(energies) & (weights > 0)
    total = jnp.sum(jnp.where(counts, weights * jnp.abs(energies), 0.0))
    mean = total / jnp.maximum(jnp.sum(jnp.where(counts, weights, 0.0)), 1e-30)
    return mean, float(np.finfo(energies.dtype).eps)
