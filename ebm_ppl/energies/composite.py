"""Energies from energies: sums and tempering."""

import equinox as eqx
from numpyro.distributions import constraints

from ebm_ppl._checks import check_instance
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._parameters import check_positive_scalars
from ebm_ppl.energies._supports import same_support


class SumEnergy(AbstractEnergy):
    r"""Product of experts: the energies of all members add up.

    $$E(x) = \sum_j E_j(x), \qquad p(x) \propto \prod_j p_j(x).$$

    The sum normalises if one member does and the others are bounded below.

    Args:
        *energies: The members, with one event shape and one support.

    Raises:
        ValueError: If there is no member, or their event shapes or supports differ.

    Examples:
        >>> from ebm_ppl.energies import Quartic, SumEnergy
        >>> energy = SumEnergy(Quartic(a=0.5), Quartic(a=0.0, b=1.0))
        >>> float(energy(1.0))
        3.5

    References:
        G. E. Hinton (2002). Training products of experts by minimizing contrastive divergence.
        *Neural Computation* 14(8), 1771-1800.
    """

    energies: tuple[AbstractEnergy, ...]

    def __init__(self, *energies: AbstractEnergy) -> None:
        self.energies = energies

    def __check_init__(self) -> None:
        energies = self.energies
        if not energies:
            raise ValueError("`energies` must have at least one member; got none.")
        for number, energy in enumerate(energies):
            check_instance(f"energies[{number}]", energy, AbstractEnergy, "an AbstractEnergy")
        first = energies[0]
        for other in energies[1:]:
            if other.event_shape != first.event_shape:
                raise ValueError(
                    f"`energies` must share one event shape; got {first.event_shape} and "
                    f"{other.event_shape}."
                )
            if not same_support(first.support, other.support):
                raise ValueError(
                    f"`energies` must share one support; got {first.support!r} and "
                    f"{other.support!r}."
                )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, which the members share."""
        return self.energies[0].event_shape

    @property
    def support(self) -> constraints.Constraint:
        """Support of the members."""
        return self.energies[0].support

    def _energy(self, x: Event) -> Scalar:
        total = self.energies[0](x)
        for energy in self.energies[1:]:
            total = total + energy(x)
        return total


class TemperedEnergy(AbstractEnergy):
    r"""An energy at another temperature.

    $$E_\beta(x) = \beta\, E(x), \qquad p_\beta(x) \propto p(x)^\beta.$$

    A small inverse temperature $\beta$ flattens the law, a large one concentrates it at its modes.

    Args:
        energy: The energy at $\beta = 1$.
        inverse_temperature: The factor $\beta > 0$.

    Raises:
        ValueError: If `inverse_temperature` is no positive scalar.

    Examples:
        >>> from ebm_ppl.energies import DoubleWell, TemperedEnergy
        >>> float(TemperedEnergy(DoubleWell(barrier_height=2.0), 0.25)([0.0]))
        0.5
    """

    energy: AbstractEnergy
    inverse_temperature: Scalar = eqx.field(converter=as_parameter)

    def __check_init__(self) -> None:
        check_positive_scalars(inverse_temperature=self.inverse_temperature)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> constraints.Constraint:
        """Support of the energy at the reference temperature."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        return self.inverse_temperature * self.energy(x)
