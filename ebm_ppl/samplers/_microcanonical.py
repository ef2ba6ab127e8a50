r"""Microcanonical dynamics: a point moves at constant speed, and the gradient turns its direction.

In whitened coordinates $w$ of dimension $n$, with a direction $u$ of unit length,

$$\dot w = \sqrt n\, u, \qquad \dot u = -\frac{\sqrt n}{n - 1} (I - u u^\top) \nabla U(w),$$

leaves $e^{-U(w)}\, dw\, du$ invariant, with $du$ uniform on the sphere (Robnik & Seljak 2023, where the speed
is 1; at the speed $\sqrt n$ lengths and step sizes are those of Hamiltonian dynamics). While $w$ stands
still, $u$ has a closed form, and the sphere's volume changes by $e^{-\Delta K}$ (`kick`).

On the line a direction is a sign, which no gradient turns. There $u$ lies on a circle: the dynamics is that
of the plane for a potential that its second coordinate does not enter, and which is therefore left out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey, Scalar

LEAST_SIZE = 2
"""Components of a direction on the line."""


class Turned(NamedTuple):
    r"""A direction that a kick has turned, and what that adds to the kinetic energy.

    Attributes:
        direction: The direction after the kick.
        kinetic_change: $\Delta K$: minus log of the factor by which volume on the sphere has changed.
    """

    direction: Float[Array, " n"]
    kinetic_change: Scalar


def draw_direction(rng_key: PRNGKey, position: Float[Array, " dim"]) -> Float[Array, " n"]:
    """A uniform direction for a position: of as many components, on the line of two."""
    size = max(position.size, LEAST_SIZE)
    return normalised(jax.random.normal(rng_key, (size,), position.dtype))


def normalised(vector: Float[Array, " n"]) -> Float[Array, " n"]:
    """The vector at unit length."""
    return vector / jnp.linalg.norm(vector)


def speed(direction: Float[Array, " n"]) -> float:
    r"""Speed $\sqrt n$ of the position."""
    return direction.size**0.5


def pad(vector: Float[Array, " dim"]) -> Float[Array, " n"]:
    """A vector beside a direction: as it is, on the line with a second component 0."""
    return jnp.pad(vector, (0, max(LEAST_SIZE - vector.size, 0)))


def kick(direction: Float[Array, " n"], gradient: Float[Array, " dim"], time: Scalar) -> Turned:
    r"""Turn a direction for some time by the gradient where the position stands.

    With $e = -\nabla U / |\nabla U|$, $c = e \cdot u$ and $\delta = t \sqrt n\, |\nabla U| / (n - 1)$,

    $$u' = \frac{u + e\,(\sinh \delta + c\,(\cosh \delta - 1))}{\cosh \delta + c \sinh \delta}, \qquad
    \Delta K = (n - 1) \log(\cosh \delta + c \sinh \delta).$$

    Written in powers of $e^{-\delta}$ nothing overflows. Where $u$ points uphill, $1 + c$ is all
    cancellation, and $e^\delta$ times it is what $u'$ hangs on; there it is $|u - c e|^2 / (1 - c)$, which
    keeps its digits.

    Args:
        direction: $u$.
        gradient: $\nabla U$, whitened.
        time: $t$.

    Returns:
        $u'$ and $\Delta K$. Both are NaN where the gradient overflows.

    References:
        Ver Steeg & Galstyan (2021). Hamiltonian dynamics with non-Newtonian momentum for rapid
        sampling. Advances in Neural Information Processing Systems 34.
        Robnik & Seljak (2023). Fluctuation without dissipation: microcanonical Langevin Monte Carlo.
    """
    size = direction.size
    norm = jnp.sqrt(jnp.maximum(jnp.sum(gradient**2), jnp.finfo(gradient.dtype).tiny))
    downhill = pad(-gradient / norm)
    cosine = jnp.sum(downhill * direction)
    across = direction - cosine * downhill
    squared_sine = jnp.sum(across**2)
    is_uphill = cosine < 0
    small = squared_sine / (1 + jnp.abs(cosine))  # 1 - |c|
    large = 1 + jnp.abs(cosine)
    down, up = jnp.where(is_uphill, small, large), jnp.where(is_uphill, large, small)
    angle = time * (size**0.5 / (size - 1)) * norm
    fade = jnp.exp(-angle)
    stretch = 0.5 * (down + up * fade**2)  # e^-delta (cosh delta + c sinh delta)
    turned = (0.5 * (down - up * fade**2) * downhill + fade * across) / stretch
    return Turned(normalised(turned), (size - 1) * (angle + jnp.log(stretch)))


def refresh(
    noise: Float[Array, " dim"], direction: Float[Array, " n"], elapsed: Scalar
) -> Float[Array, " n"]:
    r"""Forget a part of the direction, so that $\operatorname{E}[u \cdot u'] \approx e^{-s}$.

    $$u' \propto e^{-s} u + \sqrt{(1 - e^{-2 s}) / n}\; \xi,$$

    as Robnik & Seljak (2023) have it, times $e^{-s}$. On the circle that stands for the line the direction is
    turned by the angle $\sqrt{2 s}\, \xi$: there one number is enough, and the expectation is exact.

    Args:
        noise: Standard normal noise $\xi$.
        direction: $u$.
        elapsed: $s$: the time since the last refreshment over the time in which a direction is forgotten.

    Returns:
        $u'$.
    """
    if noise.size < LEAST_SIZE:
        angle = jnp.sqrt(2 * elapsed) * noise[0]
        across = jnp.stack([-direction[1], direction[0]])
        return normalised(jnp.cos(angle) * direction + jnp.sin(angle) * across)
    kept = jnp.exp(-elapsed)
    drawn = jnp.sqrt(-jnp.expm1(-2 * elapsed) / direction.size)
    return normalised(kept * direction + drawn * noise)
