"""What a transition sees: the potential in coordinates in which the mass matrix is the identity."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ebm_ppl._types import Scalar
from ebm_ppl.samplers._warmup import Matrix, apply, solve
from ebm_ppl.samplers._warmup import Settings as Settings


class Point(NamedTuple):
    """A position with everything that is known about it.

    A transition reads the first three fields; the last two travel along, so that a rejected
    proposal leaves the chain exactly where it was, to the last bit.

    Attributes:
        position: Whitened position relative to the state that the transition started from.
        potential_energy: Potential energy there.
        gradient: Its gradient in the whitened coordinates, shape `(dim,)`; `None` for kernels that
            claim no gradient.
        z: The same position in unconstrained coordinates, flat.
        z_grad: The gradient in unconstrained coordinates, flat; `None` for kernels without
            gradients.
    """

    position: Float[Array, " dim"]
    potential_energy: Scalar
    gradient: Any
    z: Float[Array, " dim"]
    z_grad: Float[Array, " dim"] | None


class Transition(NamedTuple):
    """What one transition of one chain produced.

    Attributes:
        point: Where the chain is now.
        auxiliary: Variables carried beside the position, such as a momentum.
        accept_prob: Probability with which the proposal was to be accepted.
        diverging: Whether the proposal was not finite and therefore refused.
        energy: Potential and kinetic energy with which a trajectory began, whose changes tell whether all of
            the law is reached; `None` for kernels without momenta.
    """

    point: Point
    auxiliary: Any
    accept_prob: Scalar
    diverging: Bool[Array, ""]
    energy: Scalar | None = None


@dataclasses.dataclass(frozen=True)
class WhitenedTarget:
    r"""The potential seen from a state in coordinates that whiten it.

    From the state $z_0$ the whitened position $w$ stands for $z = z_0 + L w$, with $L L^\top$ the
    inverse mass matrix.

    Attributes:
        potential_fn: Potential energy of a flat unconstrained position.
        origin: The state $z_0$ at which $w = 0$, shape `(dim,)`.
        scale: $L$: lower triangular of shape `(dim, dim)`, or its diagonal of shape `(dim,)`.
        uses_gradient: Whether points carry a gradient. Without, none is ever computed.
        context: What else a kernel reads off a flat unconstrained position, as
            `AbstractKernel.context` gives it; `None` for most kernels.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.samplers import WhitenedTarget
        >>> target = WhitenedTarget(lambda z: 0.5 * jnp.sum(z**2), jnp.ones(2), jnp.full(2, 2.0))
        >>> point = target.evaluate(jnp.array([1.0, 0.0]))
        >>> point.z.tolist(), float(point.potential_energy), point.gradient.tolist()
        ([3.0, 1.0], 5.0, [6.0, 2.0])
    """

    potential_fn: Callable[[Float[Array, " dim"]], Scalar]
    origin: Float[Array, " dim"]
    scale: Matrix
    uses_gradient: bool = True
    context: Callable[[Float[Array, " dim"]], Any] | None = None

    def evaluate(self, position: Float[Array, " dim"]) -> Point:
        """Evaluate the potential, and its gradient where the kernel uses one.

        Args:
            position: Whitened position $w$, shape `(dim,)`.

        Returns:
            The point at `position`.
        """
        return self._point(position, self.unwhitened(position))

    def unwhitened(self, position: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """The unconstrained position that a whitened one stands for.

        Args:
            position: Whitened position $w$, shape `(dim,)`.

        Returns:
            $z_0 + L w$, flat, shape `(dim,)`.
        """
        return self.origin + apply(self.scale, position)

    def evaluate_at(self, z: Float[Array, " dim"]) -> Point:
        """Evaluate the potential at an unconstrained position, as `evaluate` does.

        For proposals that are made in unconstrained coordinates: `z` is reached without rounding.

        Args:
            z: Unconstrained position, flat, shape `(dim,)`.

        Returns:
            The point at `z`.
        """
        return self._point(solve(self.scale, z - self.origin), z)

    def _point(self, position: Float[Array, " dim"], z: Float[Array, " dim"]) -> Point:
        if self.uses_gradient:
            potential_energy, z_grad = jax.value_and_grad(self.potential_fn)(z)
        else:
            potential_energy, z_grad = self.potential_fn(z), None
        potential_energy = jnp.asarray(potential_energy, dtype=z.dtype)
        return Point(position, potential_energy, self._whiten(z_grad), z, z_grad)

    def start(self, potential_energy: Scalar, z_grad: Float[Array, " dim"] | None) -> Point:
        """The point at the origin, from values already known."""
        position = jnp.zeros_like(self.origin)
        return Point(position, potential_energy, self._whiten(z_grad), self.origin, z_grad)

    def known(
        self, z: Float[Array, " dim"], potential_energy: Scalar, z_grad: Float[Array, " dim"] | None
    ) -> Point:
        """The point at an unconstrained position, from values already known.

        Args:
            z: Unconstrained position, flat, shape `(dim,)`.
            potential_energy: Potential energy there.
            z_grad: Its gradient there, shape `(dim,)`; `None` for kernels without gradients.

        Returns:
            The point at `z`.
        """
        position = solve(self.scale, z - self.origin)
        return Point(position, potential_energy, self._whiten(z_grad), z, z_grad)

    def _whiten(self, z_grad: Float[Array, " dim"] | None) -> Float[Array, " dim"] | None:
        return None if z_grad is None else apply(self.scale.T, z_grad)
