"""Energies from what a user has: a callable, a log density, a Flax NNX module."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import constraints

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._callable import as_scalar, split_callable
from ebm_ppl.energies._parameters import as_shape
from ebm_ppl.energies._supports import covering_support, real_support
from ebm_ppl.energies._unbatched import check_unbatched


class CallableEnergy(AbstractEnergy):
    """The energy that a callable computes; built by the three functions of this module.

    Attributes:
        parameters: The callable with everything but its arrays replaced by `None`: the parameters
            of the energy. Of a plain function nothing is left.
    """

    parameters: Any
    _event_shape: tuple[int, ...] = eqx.field(static=True)
    _support: constraints.Constraint
    _structure: Any = eqx.field(static=True)

    def __init__(
        self,
        fn: Callable[..., Any],
        event_shape: tuple[int, ...],
        support: constraints.Constraint | None = None,
    ) -> None:
        self.parameters, self._structure = split_callable("fn", fn)
        self._event_shape = as_shape("event_shape", event_shape)
        self._support = (
            real_support(event_shape) if support is None else covering_support(support, event_shape)
        )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self._event_shape

    @property
    def support(self) -> constraints.Constraint:
        """NumPyro constraint on the points."""
        return self._support

    @property
    def fn(self) -> Callable[..., Any]:
        """The callable, with the energy's present parameters in it."""
        return eqx.combine(self.parameters, self._structure)

    def _energy(self, x: Event) -> Scalar:
        return as_scalar("fn(x)", self.fn(x))


class _NegatedLogDensity(eqx.Module):
    """Minus a log density, which stays a pytree with the log density's arrays as leaves."""

    logdensity_fn: Callable[..., Any]

    def __call__(self, x: Event) -> Scalar:
        value = jnp.asarray(self.logdensity_fn(x))
        check_unbatched("logdensity_fn(x)", value, ())
        return -value


class _NNXFunction(eqx.Module):
    """A Flax NNX module taken apart: its graph, its parameters, and the rest of its state."""

    graph: Any = eqx.field(static=True)
    parameters: Any
    other_state: Any

    def __call__(self, x: Event) -> Any:
        from flax import nnx

        # Whatever is no parameter (running averages, counters) is carried, never trained.
        fixed = jax.tree.map(jax.lax.stop_gradient, self.other_state)
        return nnx.merge(self.graph, self.parameters, fixed)(x)


def from_callable(
    fn: Callable[..., Any],
    event_shape: tuple[int, ...],
    support: constraints.Constraint | None = None,
) -> CallableEnergy:
    r"""Energy $E(x) = \mathrm{fn}(x)$ of any callable.

    If the callable is itself a pytree, such as an Equinox module, its arrays are the energy's
    parameters. What a plain function closes over is constant.

    Args:
        fn: Maps one point, an array of shape `event_shape`, to a scalar; written in JAX.
        event_shape: Shape of one point.
        support: NumPyro constraint on the points, by default all reals. One with fewer event axes
            than `event_shape` holds for each entry.

    Returns:
        The energy. Calling it raises `ValueError` if `fn` returns anything but a scalar.

    Raises:
        ValueError: If `fn` is not callable, `event_shape` no tuple of positive integers, or
            `support` does not fit it.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import from_callable
        >>> energy = from_callable(lambda x: jnp.sum(x**4), event_shape=(2,))
        >>> float(energy([1.0, 2.0]))
        17.0
    """
    return CallableEnergy(fn, event_shape, support)


def from_logdensity(
    logdensity_fn: Callable[..., Any],
    event_shape: tuple[int, ...],
    support: constraints.Constraint | None = None,
) -> CallableEnergy:
    r"""Energy $E(x) = -\log \tilde p(x)$ of an unnormalised log density, as BlackJAX takes it.

    Args:
        logdensity_fn: Maps one point, an array of shape `event_shape`, to its log density up to a
            constant, a scalar. As in `from_callable` it may be a pytree.
        event_shape: Shape of one point.
        support: NumPyro constraint on the points, by default all reals.

    Returns:
        The energy. Calling it raises `ValueError` if the log density is not a scalar.

    Raises:
        ValueError: As `from_callable` does.

    Examples:
        >>> from ebm_ppl.energies import from_logdensity
        >>> energy = from_logdensity(lambda x: -0.5 * x**2, event_shape=())
        >>> float(energy(2.0))
        2.0
    """
    if not callable(logdensity_fn):
        raise ValueError(f"`logdensity_fn` must be callable; got {logdensity_fn!r}.")
    return CallableEnergy(_NegatedLogDensity(logdensity_fn), event_shape, support)


def from_nnx(
    module: Callable[..., Any],
    event_shape: tuple[int, ...],
    support: constraints.Constraint | None = None,
) -> CallableEnergy:
    r"""Energy $E(x) = \mathrm{module}(x)$ of a Flax NNX module.

    The module's `nnx.Param` arrays become the energy's parameters. Other state (running averages,
    random streams) is carried along as constants, and updates that a call makes to it are dropped.
    The module is copied: training the energy leaves it untouched.

    Args:
        module: A `flax.nnx.Module` that maps one point to a scalar; index the last axis away
            if its final layer returns shape `(1,)`.
        event_shape: Shape of one point.
        support: NumPyro constraint on the points, by default all reals.

    Returns:
        The energy. Calling it raises `ValueError` if the module returns anything but a scalar.

    Raises:
        ImportError: If Flax is not installed.
        ValueError: If `module` is no NNX module, or as `from_callable` does.

    Examples:
        >>> import jax
        >>> from flax import nnx
        >>> from ebm_ppl.energies import from_nnx
        >>> class Spring(nnx.Module):
        ...     def __init__(self):
        ...         self.stiffness = nnx.Param(jax.numpy.array(3.0))
        ...
        ...     def __call__(self, x):
        ...         return 0.5 * self.stiffness[...] * x**2
        >>> energy = from_nnx(Spring(), event_shape=())
        >>> float(energy(2.0)), len(jax.tree.leaves(energy))
        (6.0, 1)
    """
    try:
        from flax import nnx
    except ImportError as error:
        raise ImportError("`from_nnx` needs Flax; install it with `pip install flax`.") from error
    if not isinstance(module, nnx.Module):
        raise ValueError(f"`module` must be a flax.nnx.Module; got {module!r}.")
    graph, parameters, other_state = nnx.split(module, nnx.Param, ...)
    return CallableEnergy(_NNXFunction(graph, parameters, other_state), event_shape, support)
