"""The interface of energies under a condition, a level of noise or both."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_shape
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._conditions import (
    as_condition_or_none,
    check_all_given,
    check_given,
    kept_or_dropped,
)
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
        # They rest on this interface.
        from ebm_ppl.energies.fixed import FixedEnergy, PartlyFixedEnergy

        is_open = (y is None and self.condition_shape is not None) or (
            sigma is None and self.noise_conditional
        )
        return (PartlyFixedEnergy if is_open else FixedEnergy)(self, y, sigma)

    def guided(self, scale: Any) -> "AbstractConditionalEnergy":
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
        from ebm_ppl.energies.guided import GuidedEnergy

        return GuidedEnergy(self, scale)

    @abc.abstractmethod
    def _energy(self, x: Event, y: Any, sigma: Any) -> Scalar:
        """Energy of one point under one condition at one level, which the caller has checked.

        `y` and `sigma` are arrays where the energy depends on them, and `None` where it does not.
        """
