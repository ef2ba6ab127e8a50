"""The interface of conditional energies, and what becomes of one at a fixed condition."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_shape
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._conditions import as_condition, kept_or_dropped
from ebm_ppl.energies._parameters import check_scalars


class AbstractConditionalEnergy(eqx.Module):
    r"""An energy $E(x \mid y)$, which stands for $p(x \mid y) = \exp(-E(x \mid y)) / Z(y)$.

    What depends on $y$ alone drops out: $Z(y)$ absorbs it. At a fixed condition it is an energy like
    any other, which [`given`][ebm_ppl.energies.AbstractConditionalEnergy.given] returns.

    To write one, subclass, declare the parameters as array fields, give the four attributes below as
    fields or properties, and implement `_energy` for **one** point and **one** condition; `jax.vmap`
    gives batches. Conditions are real numbers: encode labels as one-hot vectors.

    **Dropping the condition.** An energy with a `null_condition` models the unconditional law too, as
    $p(x \mid y_\varnothing)$. Training it with the condition dropped now and then learns both at
    once, and [`guided`][ebm_ppl.energies.AbstractConditionalEnergy.guided] sets one against the other.

    Attributes:
        event_shape: Shape of one point $x$.
        condition_shape: Shape of one condition $y$.
        support: NumPyro constraint that the points satisfy, whatever the condition.
        null_condition: The condition $y_\varnothing$ that stands for none, a parameter of shape
            `condition_shape`; `None` for an energy that cannot drop its condition.

    Examples:
        >>> import equinox as eqx, jax
        >>> from numpyro.distributions import constraints
        >>> from ebm_ppl.energies import AbstractConditionalEnergy, as_parameter
        >>> class Spring(AbstractConditionalEnergy):
        ...     stiffness: jax.Array = eqx.field(converter=as_parameter)
        ...     event_shape = ()
        ...     condition_shape = ()
        ...     support = constraints.real
        ...     null_condition = None
        ...
        ...     def _energy(self, x, y):
        ...         return 0.5 * self.stiffness * (x - y) ** 2
        >>> spring = Spring(2.0)
        >>> float(spring(3.0, 1.0)), float(spring.given(1.0)(3.0))
        (4.0, 4.0)
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

    def __call__(self, x: Any, y: Any) -> Scalar:
        """Energy of one point under one condition.

        Args:
            x: The point, of shape `event_shape`.
            y: The condition, of shape `condition_shape`.

        Returns:
            The energy, a scalar.

        Raises:
            ValueError: If `x` or `y` has another shape.
        """
        check_shape("x", x, self.event_shape)
        check_shape("y", y, self.condition_shape)
        return self._energy(jnp.asarray(x), as_condition(y))

    def given(self, y: Any, kept: Any = None) -> "GivenEnergy":
        r"""The energy $x \mapsto E(x \mid y)$ at a fixed condition.

        Args:
            y: The condition, of shape `condition_shape`; `None` for `null_condition`.
            kept: Boolean scalar: whether the condition is kept or replaced by `null_condition`. It
                may be traced. `None` if it is kept for certain.

        Returns:
            An energy on `event_shape`. The energy's own parameters, its null condition among them, and
            the condition are its leaves.

        Raises:
            ValueError: If `y` has another shape, `kept` is no scalar, or the condition is to be
                dropped and there is no `null_condition`.
        """
        return GivenEnergy(self, kept_or_dropped(self, y, kept))

    def guided(self, y: Any, scale: Any) -> "GuidedEnergy":
        r"""Classifier-free guidance: the condition's influence exaggerated by a factor $1 + w$.

        $$E_w(x \mid y) = (1 + w)\, E(x \mid y) - w\, E(x \mid y_\varnothing), \qquad
        p_w(x \mid y) \propto p(x \mid y) \left(\frac{p(x \mid y)}{p(x)}\right)^w.$$

        Args:
            y: The condition, of shape `condition_shape`.
            scale: The guidance strength $w$; 0 is the plain conditional law.

        Returns:
            The guided energy.

        Raises:
            ValueError: If `y` has another shape, `scale` is no finite scalar, or there is no
                `null_condition`.

        References:
            J. Ho and T. Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
        """
        return GuidedEnergy(self, y, scale)

    @abc.abstractmethod
    def _energy(self, x: Event, y: Float[Array, "..."]) -> Scalar:
        """Energy of one point under one condition, whose shapes the caller has checked."""


class GivenEnergy(AbstractEnergy):
    r"""A conditional energy at a fixed condition, $E(x) = E(x \mid y)$.

    [`AbstractConditionalEnergy.given`][ebm_ppl.energies.AbstractConditionalEnergy.given] builds it.

    Args:
        energy: The conditional energy.
        y: The condition, of the energy's `condition_shape`.

    Raises:
        ValueError: If `y` has another shape.

    Examples:
        >>> import ebm_ppl as ebm
        >>> regression = ebm.energies.ConditionalGaussian([[2.0]], [1.0], [[0.25]])
        >>> density = ebm.quadrature.normalize(regression.given([3.0]))
        >>> print(f"{density.mean().item():.4f}")
        7.0000
    """

    energy: AbstractConditionalEnergy
    y: Float[Array, "..."] = eqx.field(converter=as_condition)

    def __check_init__(self) -> None:
        check_shape("y", self.y, self.energy.condition_shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the conditional energy."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        return self.energy(x, self.y)


class GuidedEnergy(AbstractEnergy):
    r"""A conditional energy under guidance, $(1 + w)\, E(x \mid y) - w\, E(x \mid y_\varnothing)$.

    [`AbstractConditionalEnergy.guided`][ebm_ppl.energies.AbstractConditionalEnergy.guided] builds it.

    **It need not normalise** where both laws do: if the unconditional one has lighter tails than
    the conditional one, their ratio grows without bound. A confining term that does not depend on
    the condition, as that of `NeuralConditionalEnergy`, comes out as it was and keeps it normalisable.

    Args:
        energy: The conditional energy, with a `null_condition`.
        y: The condition, of the energy's `condition_shape`.
        scale: The guidance strength $w$.

    Raises:
        ValueError: If `y` has another shape, `scale` is no finite scalar, or the energy has no
            `null_condition`.

    Examples:
        >>> from ebm_ppl.energies import ConditionalGaussian
        >>> regression = ConditionalGaussian([[1.0]], [0.0], [[1.0]], null_condition=[0.0])
        >>> float(regression.guided([2.0], scale=1.0).score([3.0])[0])  # the mean moves from 2 to 4
        1.0

    References:
        J. Ho and T. Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
    """

    energy: AbstractConditionalEnergy
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
        """Support of the conditional energy."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        null = kept_or_dropped(self.energy, None, None)
        return (1 + self.scale) * self.energy(x, self.y) - self.scale * self.energy(x, null)
