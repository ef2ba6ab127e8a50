"""The one interface of energies under a condition, a level of noise or both, and what is made of them."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_shape
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._conditions import (
    as_condition_or_none,
    check_all_given,
    check_given,
    kept_or_dropped,
    named,
    null_condition_of,
)
from ebm_ppl.energies._parameters import check_scalars
from ebm_ppl.energies._tracing import written_in_jax


class AbstractConditionalEnergy(eqx.Module):
    r"""A family of energies over a condition $y$, a level of noise $\sigma$, or both.

    They are $E(x \mid y)$, $E_\sigma(x)$ and $E_\sigma(x \mid y)$, which stand for

    $$p(x \mid y) = \frac{\exp(-E(x \mid y))}{Z(y)}, \qquad
    p_\sigma(x) = \frac{\exp(-E_\sigma(x))}{Z(\sigma)} \approx
    \int p_{\text{data}}(u)\, N(x; u, \sigma^2 I)\, du.$$

    What depends on $y$ and $\sigma$ alone drops out: $Z$ absorbs it. With both fixed it is an energy like
    any other, which [`at`][ebm_ppl.energies.AbstractConditionalEnergy.at] returns. Large $\sigma$ blurs the
    data into one mode, small $\sigma$ shows their detail.

    To write one, subclass, declare the parameters as array fields, give the five attributes below as
    fields or properties, and implement `_energy` for **one** point, condition and level; `jax.vmap` gives
    batches. Conditions are real numbers: encode labels as one-hot vectors.

    **Dropping the condition.** An energy with a `null_condition` models the law without a condition too, as
    $p(x \mid y_\varnothing)$. Training it with the condition dropped now and then learns both at
    once, and [`guided`][ebm_ppl.energies.AbstractConditionalEnergy.guided] sets one against the other.

    Attributes:
        event_shape: Shape of one point $x$.
        condition_shape: Shape of one condition $y$; `None` for an energy without one.
        noise_conditional: Whether the energy depends on the level $\sigma$ of noise on $x$, the noise's
            standard deviation.
        support: NumPyro constraint that the points satisfy, whatever the condition; as noise is added to
            them, all reals where there are levels.
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
        ...     noise_conditional = True
        ...     support = constraints.real
        ...     null_condition = None
        ...
        ...     def _energy(self, x, y, sigma):
        ...         return 0.5 * (x - y) ** 2 / (1 / self.stiffness + sigma**2)
        >>> spring = Spring(2.0)
        >>> float(spring(3.0, y=1.0, sigma=0.5)), float(spring.at(y=1.0, sigma=0.5)(3.0))
        (2.66..., 2.66...)
        >>> float(spring.at(y=1.0).at(sigma=0.5).score(3.0))  # first the one, then the other
        -2.66...
    """

    if TYPE_CHECKING:
        # Type checkers take an `AbstractVar` for an argument of the generated constructor.
        @property
        def event_shape(self) -> tuple[int, ...]: ...  # noqa: D102
        @property
        def condition_shape(self) -> tuple[int, ...] | None: ...  # noqa: D102
        @property
        def support(self) -> Constraint: ...  # noqa: D102

        noise_conditional: bool = eqx.field(init=False)
        null_condition: Float[Array, "..."] | None = eqx.field(init=False)
    else:
        event_shape: eqx.AbstractVar[tuple[int, ...]]
        condition_shape: eqx.AbstractVar[tuple[int, ...] | None]
        noise_conditional: eqx.AbstractVar[bool]
        support: eqx.AbstractVar[Constraint]
        null_condition: eqx.AbstractVar[Float[Array, "..."] | None]

    def __call__(self, x: Any, y: Any = None, sigma: Any = None) -> Scalar:
        """Energy of one point under its condition and level of noise.

        Args:
            x: The point, of shape `event_shape`.
            y: The condition, of shape `condition_shape`; `None` for an energy without one.
            sigma: Standard deviation of the noise, a positive scalar; `None` for an energy without levels.

        Returns:
            The energy, a scalar.

        Raises:
            ValueError: If an argument has another shape, one is missing that the energy depends on, or
                given that it does not depend on; or if the energy is not one number.
            TypeError: If JAX cannot trace the energy, such as a function of NumPy.
        """
        check_shape("x", x, self.event_shape)
        check_all_given(self, y, sigma)
        x = jnp.asarray(x)
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
        with written_in_jax(type(self).__name__):
            value = self._energy(x, as_condition_or_none(y), as_condition_or_none(sigma))
        check_shape("_energy(x, y, sigma)", value, ())
        return value

    def at(self, *, y: Any = None, sigma: Any = None, kept: Any = None) -> Any:
        r"""The energy at a fixed condition, a fixed level of noise, or both.

        Args:
            y: The condition, of shape `condition_shape`; `None` to leave it open.
            sigma: Standard deviation of the noise, a positive scalar; `None` to leave it open.
            kept: Boolean scalar: whether the condition is kept or replaced by `null_condition`. It
                may be traced. `None` if it is kept for certain; `at(kept=False)` needs no `y`.

        Returns:
            An [`AbstractEnergy`][ebm_ppl.energies.AbstractEnergy] if nothing is left open, else an
            `AbstractConditionalEnergy` over what is. The energy's own parameters, its null condition among
            them, and what was fixed are its leaves.

        Raises:
            ValueError: If nothing is fixed, `y` or `sigma` does not fit the energy, `kept` is no scalar, or
                the condition is to be dropped and there is no `null_condition`.
        """
        check_given(self, y, sigma)
        y = kept_or_dropped(self, y, kept)
        if y is None and sigma is None:
            raise ValueError(
                "`y` or `sigma` must be given to fix an energy at it; got None for both."
            )
        is_open = (y is None and self.condition_shape is not None) or (
            sigma is None and self.noise_conditional
        )
        return (PartlyFixedEnergy if is_open else FixedEnergy)(self, y, sigma)

    def guided(self, scale: Any) -> "GuidedEnergy":
        r"""Classifier-free guidance: the condition's influence exaggerated by a factor $1 + w$.

        $$E_w(x \mid y) = (1 + w)\, E(x \mid y) - w\, E(x \mid y_\varnothing), \qquad
        p_w(x \mid y) \propto p(x \mid y) \left(\frac{p(x \mid y)}{p(x)}\right)^w.$$

        Args:
            scale: The guidance strength $w$; 0 is the plain conditional law.

        Returns:
            The guided energy, of this family too: fix its condition by `at`.

        Raises:
            ValueError: If `scale` is no finite scalar, or there is no `null_condition`.

        References:
            J. Ho and T. Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
        """
        return GuidedEnergy(self, scale)

    @abc.abstractmethod
    def _energy(self, x: Event, y: Any, sigma: Any) -> Scalar:
        """Energy of one point under one condition at one level, which the caller has checked.

        `y` and `sigma` are arrays where the energy depends on them, and `None` where it does not.
        """


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
