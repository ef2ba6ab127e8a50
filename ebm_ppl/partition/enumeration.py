"""The partition function of a discrete energy, by a sum over all states."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Int

from ebm_ppl._checks import check_count, is_traced
from ebm_ppl._forks import check_not_forked
from ebm_ppl._precision import float64, to_float64
from ebm_ppl._types import Scalar
from ebm_ppl.energies import AbstractEnergy, AbstractLatentEnergy
from ebm_ppl.energies._states import StateSpace

_MOST_STATES = 2**24


class EnumerationNormalizer(eqx.Module):
    r"""Log partition function of an energy on binary or integer points, by a sum over all states.

    $$\log Z = \log \sum_{x} \exp(-E(x))$$

    A normaliser maps an energy to $\log Z$ and can be traced, batched and differentiated. The states are
    visited in blocks, and the derivative visits them once more, so memory holds one block at a time
    whatever their number. Of an energy with hidden units (`RestrictedBoltzmannMachine`) it sums over the
    smaller layer, so it is enough that one side has at most 24 units.

    An energy whose parameters are numbers is summed in double precision, and $\log Z$ rounded once, to the
    precision of the session; `exact` keeps all digits. Traced parameters are summed in their own
    precision.

    Args:
        block_size: Number of states that are visited at a time.

    Raises:
        ValueError: If `block_size` is no positive integer; on use, if the coordinates of the energy's
            support are neither binary nor in a fixed interval of integers, or if there are more than
            $2^{24}$ states.

    Examples:
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
        energy = _layer_to_sum(energy)
        space = _states_to_sum(energy)
        if _is_variable(energy, space):
            return _log_sum(energy, space, self.block_size)
        with jax.ensure_compile_time_eval():
            return jnp.asarray(self._exact(energy, space), dtype=float)

    def exact(self, energy: AbstractEnergy) -> float:
        r"""Log partition function $\log Z$ of fixed parameters, with all digits of double precision.

        Args:
            energy: The energy; its parameters are numbers.

        Returns:
            The log partition function.

        Examples:
            >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
            >>> from ebm_ppl.partition import EnumerationNormalizer
            >>> machine = RestrictedBoltzmannMachine([[0.0]] * 1000, [0.0] * 1000, [0.0])
            >>> EnumerationNormalizer().exact(machine)  # 1001 log(2)
            693.8403...
        """
        energy = _layer_to_sum(energy)
        return self._exact(energy, _states_to_sum(energy))

    def _exact(self, energy: AbstractEnergy, space: StateSpace) -> float:
        with float64():
            return float(_log_sum(to_float64(energy), space, self.block_size))


def _layer_to_sum(energy: AbstractEnergy) -> AbstractEnergy:
    """Of an energy with two layers the one that has fewer states; other energies as they are."""
    if not isinstance(energy, AbstractLatentEnergy):
        return energy
    other = energy.hidden_marginal
    here, there = StateSpace.of(energy), StateSpace.of(other)
    if here is None or (there is not None and there.total < here.total):
        return other
    return energy


def _states_to_sum(energy: AbstractEnergy) -> StateSpace:
    check_not_forked()
    space = StateSpace.of(energy)
    if space is None:
        raise ValueError(
            "`energy` must have a support of binary numbers or of integers in a fixed interval to be "
            f"enumerated; got {energy.support!r}."
        )
    if space.total > _MOST_STATES:
        raise ValueError(
            f"`energy` must have at most {_MOST_STATES} states to be enumerated; got {space.total}."
        )
    return space


def _is_variable(energy: AbstractEnergy, space: StateSpace) -> bool:
    """Whether the energy depends on what JAX traces, by its parameters or inside a callable."""
    if is_traced(energy):
        return True
    with jax.ensure_compile_time_eval():
        return is_traced(energy(space.states(jnp.zeros(1, dtype=int))[0]))


@eqx.filter_jit
def _log_sum(energy: AbstractEnergy, space: StateSpace, block_size: int) -> Scalar:
    total = space.total
    block_size = min(block_size, total)

    @jax.checkpoint  # The derivative computes a block again instead of keeping all of them.
    def log_mass(start: Int[Array, ""]) -> Scalar:
        index = start + jnp.arange(block_size)
        energies = jax.vmap(energy)(space.states(jnp.minimum(index, total - 1)))
        return logsumexp(jnp.where(index < total, -energies, -jnp.inf))

    return logsumexp(jax.lax.map(log_mass, jnp.arange(0, total, block_size)))
