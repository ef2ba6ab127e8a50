"""A conditional energy from any callable."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_finite, check_shape
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._callable import as_scalar, split_callable
from ebm_ppl.energies._parameters import as_shape
from ebm_ppl.energies._supports import covering_support, real_support
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


class CallableConditionalEnergy(AbstractConditionalEnergy):
    """The conditional energy that a callable computes; `from_conditional_callable` builds it.

    Attributes:
        parameters: The callable with everything but its arrays replaced by `None`. Of a plain
            function nothing is left.
        null_condition: The condition that stands for none, or `None`.
    """

    parameters: Any
    null_condition: Float[Array, "..."] | None
    _event_shape: tuple[int, ...] = eqx.field(static=True)
    _condition_shape: tuple[int, ...] = eqx.field(static=True)
    _support: constraints.Constraint
    _structure: Any = eqx.field(static=True)

    def __init__(
        self,
        fn: Callable[..., Any],
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...],
        support: constraints.Constraint | None = None,
        null_condition: Any = None,
    ) -> None:
        self.parameters, self._structure = split_callable("fn", fn)
        self._event_shape = as_shape("event_shape", event_shape)
        self._condition_shape = as_shape("condition_shape", condition_shape)
        self._support = (
            real_support(event_shape) if support is None else covering_support(support, event_shape)
        )
        self.null_condition = None
        if null_condition is not None:
            check_shape("null_condition", null_condition, condition_shape)
            check_finite("null_condition", null_condition)
            self.null_condition = as_parameter(null_condition)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self._event_shape

    @property
    def condition_shape(self) -> tuple[int, ...]:
        """Shape of one condition."""
        return self._condition_shape

    @property
    def support(self) -> constraints.Constraint:
        """NumPyro constraint on the points."""
        return self._support

    @property
    def fn(self) -> Callable[..., Any]:
        """The callable, with the energy's present parameters in it."""
        return eqx.combine(self.parameters, self._structure)

    def _energy(self, x: Event, y: Float[Array, "..."]) -> Scalar:
        return as_scalar("fn(x, y)", self.fn(x, y))


def from_conditional_callable(
    fn: Callable[..., Any],
    event_shape: tuple[int, ...],
    condition_shape: tuple[int, ...],
    support: constraints.Constraint | None = None,
    null_condition: Any = None,
) -> CallableConditionalEnergy:
    r"""Conditional energy $E(x \mid y) = \mathrm{fn}(x, y)$ of any callable.

    If the callable is itself a pytree, such as an Equinox module, its arrays are the energy's
    parameters. What a plain function closes over is constant.

    Args:
        fn: Maps one point and one condition, arrays of shape `event_shape` and `condition_shape`, to
            a scalar; written in JAX.
        event_shape: Shape of one point.
        condition_shape: Shape of one condition.
        support: NumPyro constraint on the points, by default all reals. One with fewer event axes
            than `event_shape` holds for each entry.
        null_condition: Initial value of the condition that stands for none, an array of shape
            `condition_shape`; `None` if the condition cannot be dropped.

    Returns:
        The conditional energy. Calling it raises `ValueError` if `fn` returns anything but a scalar.

    Raises:
        ValueError: If `fn` is not callable, a shape is no tuple of positive integers, or `support` or
            `null_condition` does not fit.

    Examples:
        >>> from numpyro.distributions import constraints
        >>> from ebm_ppl.energies import from_conditional_callable
        >>> waiting = from_conditional_callable(lambda x, y: x * y, (), (), constraints.positive)
        >>> float(waiting.given(2.0)(3.0))  # an exponential law of rate 2
        6.0
    """
    return CallableConditionalEnergy(fn, event_shape, condition_shape, support, null_condition)
