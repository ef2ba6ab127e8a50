"""The interface of conditional energies of a law under noise of every strength."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_shape
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._conditions import as_condition, kept_or_dropped
from ebm_ppl.energies._parameters import check_scalars
from ebm_ppl.energies.noise_conditional import AbstractNoiseConditionalEnergy


class AbstractNoisyConditionalEnergy(eqx.Module):
    r"""A family of conditional energies $E_\sigma(x \mid y)$, one for each strength of noise on $x$.

    At a fixed condition it is a noise-conditional energy, at a fixed condition and level an energy like
    any other: `energy.given(y).at_noise(sigma)`. The condition may be dropped and guided as that of an
    [`AbstractConditionalEnergy`][ebm_ppl.energies.AbstractConditionalEnergy].

    To write one, subclass, declare the parameters as array fields, give the four attributes below as
    fields or properties, and implement `_energy` for **one** point, condition and level.

    Attributes:
        event_shape: Shape of one point $x$.
        condition_shape: Shape of one condition $y$.
        support: NumPyro constraint that the points satisfy; as noise is added to them, all reals.
        null_condition: The condition that stands for none, a parameter of shape `condition_shape`;
            `None` for an energy that cannot drop its condition.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import AbstractNoisyConditionalEnergy
        >>> from numpyro.distributions import constraints
        >>> class NoisyNormal(AbstractNoisyConditionalEnergy):
        ...     event_shape = ()
        ...     condition_shape = ()
        ...     support = constraints.real
        ...     null_condition = None
        ...
        ...     def _energy(self, x, y, sigma):
        ...         return 0.5 * (x - y) ** 2 / (1 + sigma**2)
        >>> float(NoisyNormal().given(2.0).at_noise(3.0).score(12.0))
        -1.0
    """

    if TYPE_CHECKING:
        # Type checkers take an `AbstractVar` for an argument of the generated constructor.
        @property
        def event_shape(self) -> tuple[int, ...]: ...  # noqa: D102
        @property
        def condition_shape(self) -> tuple[int, ...]: ...  # noqa: D102
        @property
        def support(self) -> Constraint: ...  # noqa: D102

        null_condition: Float[Array, "..."] | None = eqx.field(init=False)
    else:
        event_shape: eqx.AbstractVar[tuple[int, ...]]
        condition_shape: eqx.AbstractVar[tuple[int, ...]]
        support: eqx.AbstractVar[Constraint]
        null_condition: eqx.AbstractVar[Float[Array, "..."] | None]

    def __call__(self, x: Any, y: Any, sigma: Any) -> Scalar:
        """Energy of one point under one condition at one noise level.

        Args:
            x: The point, of shape `event_shape`.
            y: The condition, of shape `condition_shape`.
            sigma: Standard deviation of the noise, a positive scalar.

        Returns:
            The energy, a scalar.

        Raises:
            ValueError: If an argument has another shape.
        """
        check_shape("x", x, self.event_shape)
        check_shape("y", y, self.condition_shape)
        check_shape("sigma", sigma, ())
        return self._energy(jnp.asarray(x), as_condition(y), as_condition(sigma))

    def given(self, y: Any, kept: Any = None) -> "GivenNoisyEnergy":
        """The noise-conditional energy at a fixed condition.

        Args:
            y: The condition, of shape `condition_shape`; `None` for `null_condition`.
            kept: Boolean scalar: whether the condition is kept or replaced by `null_condition`. It may
                be traced. `None` if it is kept for certain.

        Returns:
            A noise-conditional energy on `event_shape`.

        Raises:
            ValueError: If `y` has another shape, `kept` is no scalar, or the condition is to be
                dropped and there is no `null_condition`.
        """
        return GivenNoisyEnergy(self, kept_or_dropped(self, y, kept))

    def guided(self, y: Any, scale: Any) -> "GuidedNoisyEnergy":
        r"""Classifier-free guidance at every noise level.

        $$E_{w, \sigma}(x \mid y) = (1 + w)\, E_\sigma(x \mid y) - w\, E_\sigma(x \mid y_\varnothing).$$

        These are not the energies of one law under noise of different strengths: what annealed sampling
        with them arrives at is only near the guided law at the last level.

        Args:
            y: The condition, of shape `condition_shape`.
            scale: The guidance strength $w$; 0 is the plain conditional law.

        Returns:
            A noise-conditional energy on `event_shape`.

        Raises:
            ValueError: If `y` has another shape, `scale` is no finite scalar, or there is no
                `null_condition`.

        References:
            J. Ho and T. Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
        """
        return GuidedNoisyEnergy(self, y, scale)

    @abc.abstractmethod
    def _energy(self, x: Event, y: Float[Array, "..."], sigma: Scalar) -> Scalar:
        """Energy of one point, condition and level, whose shapes the caller has checked."""


class GivenNoisyEnergy(AbstractNoiseConditionalEnergy):
    r"""A noisy conditional energy at a fixed condition, $E_\sigma(x) = E_\sigma(x \mid y)$.

    [`AbstractNoisyConditionalEnergy.given`][ebm_ppl.energies.AbstractNoisyConditionalEnergy.given]
    builds it.

    Args:
        energy: The noisy conditional energy.
        y: The condition, of the energy's `condition_shape`.

    Raises:
        ValueError: If `y` has another shape.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralNoisyConditionalEnergy
        >>> energy = NeuralNoisyConditionalEnergy((2,), (1,), rng_key=jax.random.key(0))
        >>> energy.given([0.5]).at_noise(0.1)([1.0, 2.0]).shape
        ()
    """

    energy: AbstractNoisyConditionalEnergy
    y: Float[Array, "..."] = eqx.field(converter=as_condition)

    def __check_init__(self) -> None:
        check_shape("y", self.y, self.energy.condition_shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the noisy conditional energy."""
        return self.energy.support

    def _energy(self, x: Event, sigma: Scalar) -> Scalar:
        return self.energy(x, self.y, sigma)


class GuidedNoisyEnergy(AbstractNoiseConditionalEnergy):
    r"""A noisy conditional energy under guidance.

    $$E_\sigma(x) = (1 + w)\, E_\sigma(x \mid y) - w\, E_\sigma(x \mid y_\varnothing).$$

    [`AbstractNoisyConditionalEnergy.guided`][ebm_ppl.energies.AbstractNoisyConditionalEnergy.guided]
    builds it. It need not normalise; that of a `NeuralNoisyConditionalEnergy` does, since its quadratic
    term does not depend on the condition and comes out as it was.

    Args:
        energy: The noisy conditional energy, with a `null_condition`.
        y: The condition, of the energy's `condition_shape`.
        scale: The guidance strength $w$.

    Raises:
        ValueError: If `y` has another shape, `scale` is no finite scalar, or the energy has no
            `null_condition`.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralNoisyConditionalEnergy
        >>> key = jax.random.key(0)
        >>> energy = NeuralNoisyConditionalEnergy((2,), (1,), rng_key=key, class_free=True)
        >>> energy.guided([0.5], scale=2.0).at_noise(0.1)([1.0, 2.0]).shape
        ()
    """

    energy: AbstractNoisyConditionalEnergy
    y: Float[Array, "..."] = eqx.field(converter=as_condition)
    scale: Scalar = eqx.field(converter=as_parameter)

    def __check_init__(self) -> None:
        check_shape("y", self.y, self.energy.condition_shape)
        check_scalars(scale=self.scale)
        kept_or_dropped(self.energy, None, None)  # refuses an energy that cannot drop its condition

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the noisy conditional energy."""
        return self.energy.support

    def _energy(self, x: Event, sigma: Scalar) -> Scalar:
        kept = self.energy(x, self.y, sigma)
        dropped = self.energy(x, kept_or_dropped(self.energy, None, None), sigma)
        return (1 + self.scale) * kept - self.scale * dropped
