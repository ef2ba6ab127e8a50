"""The partition function of a discrete energy, by a sum over all states."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int
from numpyro.distributions import constraints

from ebm_ppl._checks import check_count, is_traced
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import AbstractEnergy

_MOST_STATES = 2**24


class EnumerationNormalizer(eqx.Module):
    r"""Log partition function of an energy on binary or integer points, by a sum over all states.

    $$\log Z = \log \sum_{x} \exp(-E(x))$$

    A normaliser maps an energy to $\log Z$ and can be traced, batched and differentiated. The states are
    visited in blocks, and the derivative visits them once more, so memory holds one block at a time
    whatever their number.

    Args:
        block_size: Number of states that are visited at a time.

    Raises:
        ValueError: If `block_size` is no positive integer; on use, if the coordinates of the energy's
            support are neither binary nor in a fixed interval of integers, or if there are more than
            $2^{24}$ states.

    Example:
        Two coupled spins, $Z = 3 + e^2$:

        >>> from numpyro.distributions import constraints
        >>> from ebm_ppl.energies import from_callable
        >>> from ebm_ppl.partition import EnumerationNormalizer
        >>> energy = from_callable(lambda x: -2.0 * x[0] * x[1], (2,), constraints.boolean)
        >>> print(f"{EnumerationNormalizer()(energy):.4f}")
        2.3408
    """

    block_size: int = eqx.field(static=True, default=2**14)

    def __check_init__(self) -> None:
        check_count("block_size", self.block_size)

    def __call__(self, energy: AbstractEnergy) -> Scalar:
        r"""Log partition function $\log Z$.

        Args:
            energy: The energy; its parameters may be traced.

        Returns:
            The log partition function, a scalar.
        """
        lowest, sizes = _state_space(energy)
        total = math.prod(sizes)
        block_size = min(self.block_size, total)

        @jax.checkpoint  # The derivative computes a block again instead of keeping all of them.
        def log_mass(start: Int[Array, ""]) -> Scalar:
            index = start + jnp.arange(block_size)
            states = _states(jnp.minimum(index, total - 1), lowest, sizes)
            points = states.reshape(block_size, *energy.event_shape)
            energies = jax.vmap(energy)(points)
            return logsumexp(jnp.where(index < total, -energies, -jnp.inf))

        starts = jnp.arange(0, total, block_size)
        return logsumexp(jax.lax.map(log_mass, starts))


def _state_space(energy: AbstractEnergy) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Least value and number of values of each coordinate."""
    support = energy.support
    base = support.base_constraint if isinstance(support, constraints.independent) else support
    if base is constraints.boolean:
        lower, upper = 0, 1
    elif isinstance(base, constraints.integer_interval) and not is_traced(base):
        lower, upper = base.lower_bound, base.upper_bound
    else:
        raise ValueError(
            "`energy` must have a support of binary numbers or of integers in a fixed interval to be "
            f"enumerated; got {support!r}."
        )
    lowest, highest = (
        tuple(np.broadcast_to(np.asarray(bound, int), energy.event_shape).ravel().tolist())
        for bound in (lower, upper)
    )
    sizes = tuple(high - low + 1 for low, high in zip(lowest, highest, strict=True))
    if math.prod(sizes) > _MOST_STATES:
        raise ValueError(
            f"`energy` must have at most {_MOST_STATES} states to be enumerated; got "
            f"{math.prod(sizes)}."
        )
    return lowest, sizes


def _states(
    index: Int[Array, " n"], lowest: tuple[int, ...], sizes: tuple[int, ...]
) -> Float[Array, "n dim"]:
    """States by their number: its digits, the base of each being the coordinate's number of values."""
    columns: list[Event] = []
    for low, size in zip(reversed(lowest), reversed(sizes), strict=True):
        index, digit = jnp.divmod(index, size)
        columns.append((low + digit).astype(float))
    return jnp.stack(columns[::-1], axis=-1)
