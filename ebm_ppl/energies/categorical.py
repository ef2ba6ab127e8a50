"""Energies of categorical coordinates, written for their indicators."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy


class AbstractCategoricalEnergy(AbstractEnergy):
    r"""An energy of coordinates $x_i \in \{0, \dots, q - 1\}$ whose numbers are names, not amounts.

    It is written as a differentiable function of the indicators $p_{ik} = [x_i = k]$, so that its gradient
    tells what each change of a coordinate does, which the gradient in the numbers $x_i$ would not. Those
    who write one implement `_energy_of_indicators` in place of `_energy`.

    Attributes:
        num_states: Number $q$ of values of each coordinate.
    """

    num_states: eqx.AbstractVar[int]

    @property
    def support(self) -> constraints.Constraint:
        r"""Arrays of the integers $0, \dots, q - 1$."""
        base = constraints.integer_interval(0, self.num_states - 1)
        return constraints.independent(base, len(self.event_shape)) if self.event_shape else base

    def indicators(self, x: Event) -> Float[Array, "..."]:
        """Indicators of a state, of shape `event_shape + (num_states,)`."""
        return jax.nn.one_hot(x.astype(int), self.num_states, dtype=x.dtype)

    def energy_of_indicators(self, indicators: Float[Array, "..."]) -> Scalar:
        """Energy as a function of the indicators, to be differentiated.

        Args:
            indicators: Indicators, of shape `event_shape + (num_states,)`.

        Returns:
            The energy, a scalar.
        """
        return self._energy_of_indicators(indicators)

    def _energy(self, x: Event) -> Scalar:
        return self._energy_of_indicators(self.indicators(jnp.asarray(x)))

    @abc.abstractmethod
    def _energy_of_indicators(self, indicators: Float[Array, "..."]) -> Scalar:
        """Energy of one point given by its indicators, of shape `event_shape + (num_states,)`."""
