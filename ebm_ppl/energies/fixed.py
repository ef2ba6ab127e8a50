"""Conditional energies at a fixed condition, a fixed level of noise, or both."""

import equinox as eqx
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._conditions import as_condition_or_none, check_all_given, check_given, named
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


class FixedEnergy(AbstractEnergy):
    r"""A conditional energy of which nothing is left open, such as $E(x) = E_\sigma(x \mid y)$.

    [`AbstractConditionalEnergy.at`][ebm_ppl.energies.AbstractConditionalEnergy.at] builds it.

    Args:
        energy: The conditional energy.
        y: Its condition, if it has one.
        sigma: Its level of noise, if it has one.

    Raises:
        ValueError: If one is missing, does not fit the energy, or the energy does not depend on it.

    Examples:
        >>> import ebm_ppl as ebm
        >>> regression = ebm.energies.ConditionalGaussian([[2.0]], [1.0], [[0.25]])
        >>> density = ebm.quadrature.normalize(regression.at(y=[3.0]))
        >>> print(f"{density.mean().item():.4f}")
        7.0000
    """

    energy: AbstractConditionalEnergy
    y: Float[Array, "..."] | None = eqx.field(converter=as_condition_or_none, default=None)
    sigma: Scalar | None = eqx.field(converter=as_condition_or_none, default=None)

    def __check_init__(self) -> None:
        check_all_given(self.energy, self.y, self.sigma)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the conditional energy."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        return self.energy(x, self.y, self.sigma)


class PartlyFixedEnergy(AbstractConditionalEnergy):
    r"""An energy $E_\sigma(x \mid y)$ with either its condition or its level of noise fixed.

    [`AbstractConditionalEnergy.at`][ebm_ppl.energies.AbstractConditionalEnergy.at] builds it.

    Args:
        energy: The energy, which has both.
        y: Its condition, or `None` to leave it open.
        sigma: Its level of noise, or `None` to leave it open.

    Raises:
        ValueError: If the energy lacks one of them, not exactly one is given, or it does not fit.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralNoiseConditionalEnergy
        >>> energy = NeuralNoiseConditionalEnergy((2,), (1,), rng_key=jax.random.key(0))
        >>> energy.at(y=[0.5]).condition_shape is None, energy.at(sigma=0.1).noise_conditional
        (True, False)
    """

    energy: AbstractConditionalEnergy
    y: Float[Array, "..."] | None = eqx.field(converter=as_condition_or_none, default=None)
    sigma: Scalar | None = eqx.field(converter=as_condition_or_none, default=None)

    def __check_init__(self) -> None:
        if self.energy.condition_shape is None or not self.energy.noise_conditional:
            raise ValueError(
                f"`energy` must be an E_sigma(x | y) to be fixed in part; got {named(self.energy)}."
            )
        if (self.y is None) == (self.sigma is None):
            raise ValueError(
                "Exactly one of `y` and `sigma` must be given; got "
                f"{'neither' if self.y is None else 'both'}."
            )
        check_given(self.energy, self.y, self.sigma)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Shape of one condition, where it is open."""
        return self.energy.condition_shape if self.y is None else None

    @property
    def noise_conditional(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the level of noise is open."""
        return self.sigma is None

    @property
    def support(self) -> Constraint:
        """Support of the energy."""
        return self.energy.support

    @property
    def null_condition(self) -> Array | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The energy's null condition, where the condition is open."""
        return self.energy.null_condition if self.y is None else None

    def _energy(self, x: Event, y: Float[Array, "..."] | None, sigma: Scalar | None) -> Scalar:
        return self.energy(
            x, y if self.y is None else self.y, sigma if self.sigma is None else self.sigma
        )
