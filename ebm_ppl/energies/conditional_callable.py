"""A conditional energy from any callable."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_flag
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._callable import as_scalar, split_callable
from ebm_ppl.energies._conditions import as_null_condition
from ebm_ppl.energies._parameters import as_shape, as_shape_or_none
from ebm_ppl.energies._supports import covering_support, real_support
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


class CallableConditionalEnergy(AbstractConditionalEnergy):
    """The conditional energy that a callable computes; `from_conditional_callable` builds it.

    Attributes:
        parameters: The callable with everything but its arrays replaced by `None`. Of a plain
            function nothing is left.
        null_condition: The condition that stands for none, or `None`.
        noise_conditional: Whether the callable takes a level of noise.
    """

    parameters: Any
    null_condition: Float[Array, "..."] | None
    noise_conditional: bool = eqx.field(static=True)
    _event_shape: tuple[int, ...] = eqx.field(static=True)
    _condition_shape: tuple[int, ...] | None = eqx.field(static=True)
    _support: constraints.Constraint
    _structure: Any = eqx.field(static=True)

    def __init__(
        self,
        fn: Callable[..., Any],
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...] | None = None,
        support: constraints.Constraint | None = None,
        null_condition: Any = None,
        noise_conditional: bool = False,
    ) -> None:
        check_flag("noise_conditional", noise_conditional)
        self.parameters, self._structure = split_callable("fn", fn)
        self._event_shape = as_shape("event_shape", event_shape)
        self._condition_shape = as_shape_or_none("condition_shape", condition_shape)
        self._support = (
            real_support(event_shape) if support is None else covering_support(support, event_shape)
        )
        self.null_condition = as_null_condition(null_condition, condition_shape)
        self.noise_conditional = noise_conditional
        if condition_shape is None and not noise_conditional:
            raise ValueError(
                "`condition_shape` must be a tuple of integers or `noise_conditional` True; got None and "
                "False. `from_callable` takes functions of a point alone."
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self._event_shape

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Shape of one condition, or `None`."""
        return self._condition_shape

    @property
    def support(self) -> constraints.Constraint:
        """NumPyro constraint on the points."""
        return self._support

    @property
    def fn(self) -> Callable[..., Any]:
        """The callable, with the energy's present parameters in it."""
        return eqx.combine(self.parameters, self._structure)

    def _energy(self, x: Event, y: Float[Array, "..."] | None, sigma: Scalar | None) -> Scalar:
        given = {name: value for name, value in (("y", y), ("sigma", sigma)) if value is not None}
        return as_scalar(f"fn({', '.join(('x', *given))})", self.fn(x, *given.values()))


def from_conditional_callable(
    fn: Callable[..., Any],
    event_shape: tuple[int, ...],
    condition_shape: tuple[int, ...] | None = None,
    support: constraints.Constraint | None = None,
    null_condition: Any = None,
    noise_conditional: bool = False,
) -> CallableConditionalEnergy:
    r"""Conditional energy of any callable, such as $E(x \mid y) = \mathrm{fn}(x, y)$.

    If the callable is itself a pytree, such as an Equinox module, its arrays are the energy's
    parameters. What a plain function closes over is constant.

    Args:
        fn: Maps one point of shape `event_shape`, one condition of shape `condition_shape` and one level
            of noise, those of the two that there are, to a scalar: `fn(x, y)`, `fn(x, sigma)` or
            `fn(x, y, sigma)`; written in JAX.
        event_shape: Shape of one point.
        condition_shape: Shape of one condition; `None` if there is none.
        support: NumPyro constraint on the points, by default all reals. One with fewer event axes
            than `event_shape` holds for each entry.
        null_condition: Initial value of the condition that stands for none, an array of shape
            `condition_shape`; `None` if the condition cannot be dropped.
        noise_conditional: Whether `fn` takes a level of noise.

    Returns:
        The conditional energy. Calling it raises `ValueError` if `fn` returns anything but a scalar.

    Raises:
        ValueError: If `fn` is not callable, a shape is no tuple of positive integers, `support` or
            `null_condition` does not fit, or there is neither a condition nor a level of noise.

    Examples:
        >>> from numpyro.distributions import constraints
        >>> from ebm_ppl.energies import from_conditional_callable
        >>> waiting = from_conditional_callable(lambda x, y: x * y, (), (), constraints.positive)
        >>> float(waiting.at(y=2.0)(3.0))  # an exponential law of rate 2
        6.0
    """
    return CallableConditionalEnergy(
        fn, event_shape, condition_shape, support, null_condition, noise_conditional
    )
