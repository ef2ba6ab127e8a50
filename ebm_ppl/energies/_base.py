"""The energy interface: a pytree of parameters that maps a point to a number."""

import abc
import math
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_shape, is_traced
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._tracing import written_in_jax
from ebm_ppl.energies._unbatched import check_unbatched


def as_parameter(value: Any) -> Array:
    """Turn a number or array into a floating-point parameter leaf.

    A concrete value stays concrete even while JAX traces the surrounding code, so an energy that is
    built inside a NumPyro model from constants is seen to have fixed parameters.
    """
    if is_traced(value):
        return jnp.asarray(value, dtype=float)
    try:
        with jax.ensure_compile_time_eval():
            return jnp.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"A parameter of an energy must be a number or an array of numbers; got {value!r}."
        ) from None


class AbstractEnergy(eqx.Module):
    r"""An energy $E$, which stands for the density $p(x) = \exp(-E(x)) / Z$ on `support`.

    To write one, subclass, declare the parameters as array fields (with
    `eqx.field(converter=as_parameter)`), give `event_shape` and `support` as fields or properties,
    and implement `_energy` for **one** point; `jax.vmap` gives batches. Parameters are array leaves, so
    `jax.grad`, Optax, `eqx.filter_jit` and `eqx.tree_serialise_leaves` work as they are. Do not make a
    free additive constant a parameter: $Z$ absorbs it, and no data can identify it.

    Attributes:
        event_shape: Shape of one point.
        support: NumPyro constraint that the points satisfy; its event dimension covers `event_shape`.

    Examples:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> from numpyro.distributions import constraints
        >>> from ebm_ppl.energies import AbstractEnergy, as_parameter
        >>> class Exponential(AbstractEnergy):
        ...     rate: jax.Array = eqx.field(converter=as_parameter)
        ...
        ...     @property
        ...     def event_shape(self):
        ...         return ()
        ...
        ...     @property
        ...     def support(self):
        ...         return constraints.positive
        ...
        ...     def _energy(self, x):
        ...         return self.rate * x
        >>> float(Exponential(2.0)(3.0))
        6.0
    """

    if TYPE_CHECKING:
        # Type checkers take an `AbstractVar` for an argument of the generated constructor.
        @property
        def event_shape(self) -> tuple[int, ...]: ...
        @property
        def support(self) -> Constraint: ...
    else:
        event_shape: eqx.AbstractVar[tuple[int, ...]]
        support: eqx.AbstractVar[Constraint]

    @property
    def event_size(self) -> int:
        """Number of coordinates of one point."""
        return math.prod(self.event_shape)

    def __call__(self, x: Any) -> Scalar:
        """Energy of one point.

        Args:
            x: The point, of shape `event_shape`.

        Returns:
            The energy, a scalar; minus the log density up to a constant.

        Raises:
            ValueError: If `x` does not have shape `event_shape`, or the energy is not one number.
            TypeError: If JAX cannot trace the energy, such as a function of NumPy.
        """
        check_shape("x", x, self.event_shape)
        x = jnp.asarray(x)
        # States of a discrete energy come as truth values and integers too.
        with written_in_jax(type(self).__name__):
            value = self._energy(x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float))
        check_unbatched("_energy(x)", value, ())
        return value

    def score(self, x: Any) -> Event:
        r"""Score of one point, $\nabla_x \log p(x) = -\nabla_x E(x)$, of shape `event_shape`."""
        return -jax.grad(self.__call__)(jnp.asarray(x, dtype=float))

    @abc.abstractmethod
    def _energy(self, x: Event) -> Scalar:
        """Energy of one point of shape `event_shape`, which the caller has checked."""
