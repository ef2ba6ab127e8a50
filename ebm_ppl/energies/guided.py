"""Classifier-free guidance of a conditional energy."""

import equinox as eqx
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._conditions import null_condition_of
from ebm_ppl.energies._parameters import check_scalars
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


class GuidedEnergy(AbstractConditionalEnergy):
    r"""A conditional energy under guidance, $(1 + w)\, E(x \mid y) - w\, E(x \mid y_\varnothing)$.

    [`AbstractConditionalEnergy.guided`][ebm_ppl.energies.AbstractConditionalEnergy.guided] builds it.

    **It need not normalise** where both laws do: if the unconditional one has lighter tails than
    the conditional one, their ratio grows without bound. A term that does not depend on the
    condition, as the quadratic one of the neural energies, comes out as it was and keeps it normalisable.

    Under noise these are not the energies of one law at different levels: what annealed sampling with them
    arrives at is only near the guided law at the last level.

    Args:
        energy: The conditional energy, with a `null_condition`.
        scale: The guidance strength $w$.

    Raises:
        ValueError: If `scale` is no finite scalar, or the energy has no `null_condition`.

    Examples:
        >>> from ebm_ppl.energies import ConditionalGaussian
        >>> regression = ConditionalGaussian([[1.0]], [0.0], [[1.0]], null_condition=[0.0])
        >>> guided = regression.guided(scale=1.0)
        >>> float(guided.at(y=[2.0]).score([3.0])[0])  # the mean moves from 2 to 4
        1.0

    References:
        J. Ho and T. Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
    """

    energy: AbstractConditionalEnergy
    scale: Scalar = eqx.field(converter=as_parameter)

    def __check_init__(self) -> None:
        check_scalars(scale=self.scale)
        null_condition_of(self.energy)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Shape of one condition."""
        return self.energy.condition_shape

    @property
    def noise_conditional(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the energy has levels of noise."""
        return self.energy.noise_conditional

    @property
    def support(self) -> Constraint:
        """Support of the energy."""
        return self.energy.support

    @property
    def null_condition(self) -> Array | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The energy's null condition, under which guidance changes nothing."""
        return self.energy.null_condition

    def _energy(self, x: Event, y: Float[Array, "..."] | None, sigma: Scalar | None) -> Scalar:
        dropped = self.energy(x, null_condition_of(self.energy), sigma)
        return (1 + self.scale) * self.energy(x, y, sigma) - self.scale * dropped
