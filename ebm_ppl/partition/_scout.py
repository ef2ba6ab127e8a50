r"""A look for modes that no chain has reached.

A mode that is missed altogether leaves no trace in any weight. So scouts start far and wide, walk downhill,
and what they come to is weighed by Laplace's method,
$-U(z^*) + \frac d2 \log 2\pi - \frac12 \log \det H(z^*)$:
a place that should hold a share of the mass, and near which there is no point, has been missed.
"""

import dataclasses
import math
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import descend
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, MissedModeWarning
from ebm_ppl.partition._weights import shares
from ebm_ppl.potentials import EnergyPotential, potential_fn

_FEWEST_SCOUTS, _MOST_SCOUTS, _OCTAVES = 128, 1_024, 12
"""Scouts, and how often the distances from which they start are doubled: up to 2,000 standard deviations."""
_WEIGHED = 4
"""Lowest places that are weighed in each octave of distance: a wide mode is high beside a narrow one."""
_SHARE = 0.01
"""Smallest share of the mass that counts as missed."""
_MISSED = 0.1
"""A place is missed if fewer points are near it than a tenth of its share."""
_MARGIN = 2.0
"""Standard deviations beyond the typical distance of a normal law's draws from its mode."""
_MOST_COORDINATES = 64


def at_scouts(
    estimate: LogPartitionEstimate,
    energy: AbstractEnergy,
    points: Float[Array, "n *event"],
    rng_key: PRNGKey,
    *,
    log_weights: Float[np.ndarray, " n"] | None = None,
    reference: float = 0.0,
) -> LogPartitionEstimate:
    """An estimate without an interval, if scouts find mass that none of its points is near.

    Args:
        estimate: The estimate.
        energy: The energy; with states, or more than 64 coordinates, there is no look.
        points: Points in the support that stand for the law.
        rng_key: Random key.
        log_weights: Logarithms of their weights; alike by default.
        reference: What `energy` has been lowered by.

    Warns:
        MissedModeWarning: If there is such a place; it is named.
    """
    if energy.support.is_discrete or energy.event_size > _MOST_COORDINATES:
        return estimate
    weights = jnp.asarray(shares(log_weights, len(points)), dtype=float)
    potential = potential_fn(energy)
    looked = _look(potential, points, weights, rng_key, _number_of_scouts(len(points)))
    place, log_mass, near = (np.asarray(part, np.float64) for part in looked)
    share = np.exp(np.minimum(log_mass - (estimate.log_z + reference), 50.0))
    missed = (share > _SHARE) & (near < _MISSED * np.minimum(share, 1.0))
    if not missed.any():
        return estimate
    worst = int(np.argmax(np.where(missed, share, 0.0)))
    where = ", ".join(f"{value:.4g}" for value in np.ravel(place[worst])[:4])
    warnings.warn(
        f"About {share[worst]:.2g} times the mass of the estimate lies near x = ({where}"
        f"{', ...' if energy.event_size > 4 else ''}), where no chain has been: there is no interval. "
        "Take a base law that covers that place, or draws of all modes.",
        MissedModeWarning,
        stacklevel=3,
    )
    return dataclasses.replace(
        estimate,
        interval=None,
        diagnostics={**estimate.diagnostics, "missed_mode": place[worst]},
    )


def _number_of_scouts(num_points: int) -> int:
    """A scout for each point, within bounds: the look is not to cost much more than the run did."""
    wanted = 2 ** math.ceil(math.log2(max(num_points, 1)))
    return min(max(wanted, _FEWEST_SCOUTS), _MOST_SCOUTS)


@eqx.filter_jit
def _look(
    potential: EnergyPotential,
    points: Float[Array, "n *event"],
    weights: Float[Array, " n"],
    rng_key: PRNGKey,
    num_scouts: int,
) -> tuple[Array, Array, Array]:
    """The places that scouts came to, their Laplace masses, and the weight of the points near each."""
    shape = potential.position_shape
    z = jax.vmap(potential.unconstrain)(points).reshape(len(points), -1)
    z = jnp.nan_to_num(z)  # points that are rounded to an edge say nothing of where to look
    center = weights @ z
    spread = jnp.sqrt(weights @ (z - center) ** 2)

    def value(position: Array) -> Scalar:
        return potential(position.reshape(shape))

    ends, lowest = jax.vmap(lambda z, size: descend(value, z, size))(
        *_starts(center, spread, rng_key, num_scouts)
    )
    away = jnp.linalg.norm((ends - center) / jnp.maximum(spread, 1e-30), axis=1)
    octave = jnp.clip(jnp.log2(jnp.maximum(away, 1.0)), 0, _OCTAVES).astype(int)
    best = jnp.concatenate(
        [
            jnp.argsort(jnp.where(octave == number, lowest, jnp.inf))[:_WEIGHED]
            for number in range(_OCTAVES + 1)
        ]
    )
    found, log_mass, curvature = jax.vmap(lambda z: _weigh(value, z))(ends[best])
    apart = z - found[:, None]
    squared = jnp.einsum("kni,kij,knj->kn", apart, curvature, apart)
    near = squared < (math.sqrt(z.shape[1]) + _MARGIN) ** 2
    constrain = jax.vmap(lambda z: potential.constrain(z.reshape(shape)))
    return constrain(found), log_mass, near @ weights


def _starts(
    center: Float[Array, " dim"], spread: Float[Array, " dim"], rng_key: PRNGKey, num_scouts: int
) -> tuple[Float[Array, "scouts dim"], Float[Array, " scouts"]]:
    """Where scouts start, half around the points and half around the origin, and their first steps."""
    number = jnp.arange(num_scouts)
    distance = (2.0 ** (number // 2 % _OCTAVES))[:, None]
    noise = jax.random.normal(fast_key(rng_key), (num_scouts, center.size))
    around_points = (number % 2 == 0)[:, None]
    middle = jnp.where(around_points, center, 0.0)
    away = jnp.where(around_points, spread, 1.0) * distance * noise
    return middle + away, 0.25 * jnp.linalg.norm(away, axis=1)


def _weigh(value: Any, z: Float[Array, " dim"]) -> tuple[Array, Scalar, Array]:
    """The minimum that a parabola through a place has, its mass by Laplace's method, and the curvature."""
    curvature, slope = jax.hessian(value)(z), jax.grad(value)(z)
    step = jnp.linalg.solve(curvature, slope)
    left = 0.5 * slope @ step
    eigenvalues = jnp.linalg.eigvalsh(curvature)
    log_mass = 0.5 * jnp.sum(jnp.log(2 * jnp.pi / eigenvalues)) + left - value(z)
    is_minimum = (eigenvalues[0] > 0) & (left < 1.0) & jnp.isfinite(log_mass)
    return jnp.where(is_minimum, z - step, z), jnp.where(is_minimum, log_mass, -jnp.inf), curvature
