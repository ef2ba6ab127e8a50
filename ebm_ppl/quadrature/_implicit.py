r"""Gradients of draws in what the density depends on, without a derivative of the inverse.

A draw $z$ of a law with distribution function $F_\theta$ solves $F_\theta(z) = u$ for a uniform $u$ that does
not depend on $\theta$; so

$$\frac{\partial z}{\partial \theta} = -\frac{\partial F_\theta(z) / \partial \theta}{p_\theta(z)}$$

(Figurnov, Mohamed & Mnih 2018). With two coordinates $F$ is Rosenblatt's transform, $F_1(z_1)$ and
$F(z_2 \mid z_1)$, and its triangular Jacobian stands for $p$. In place of $F$ stand its log odds, whose
derivative keeps its digits in both tails.

References:
    Figurnov, Mohamed & Mnih (2018). Implicit reparameterization gradients. Advances in Neural Information
    Processing Systems 31.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Scalar

Nodes = tuple[Float[Array, " n"], Float[Array, "n m"] | None, Float[Array, "..."]]
"""What `GridTable` interpolates: positions of the rows, of the nodes in them, and the densities there."""


@jax.custom_jvp
def follow(nodes: Nodes, z: Float[Array, " dim"]) -> Float[Array, " dim"]:  # noqa: ARG001
    """The draw itself, which moves with the density that it was drawn from.

    Args:
        nodes: The table, which may depend on parameters.
        z: A draw from it, shape (dim,); its own derivative is not asked for.

    Returns:
        The draw, with implicit gradients in the table, of any order.
    """
    return z


@follow.defjvp
def _follow_table(
    primals: tuple[Nodes, Array], tangents: tuple[Any, Any]
) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
    nodes, drawn = primals
    z = follow(nodes, drawn)
    _, pushed = jax.jvp(lambda nodes: _log_odds(nodes, z), (nodes,), (tangents[0],))
    slopes = jax.jacfwd(lambda z: _log_odds(nodes, z))(z)
    return z, -jax.scipy.linalg.solve_triangular(slopes, pushed, lower=True)


def _log_odds(nodes: Nodes, z: Float[Array, " dim"]) -> Float[Array, " dim"]:
    """Log odds of $F_1(z_1)$ and, with two coordinates, of $F(z_2 | z_1)$."""
    first, second, density = nodes
    if second is None:
        return _line_log_odds(first, density, z[0])[None]
    masses = jnp.sum(density[:, 1:] + density[:, :-1], axis=1)
    row, share = _locate(first, z[0])
    between = lambda table: table[row] * (1 - share) + table[row + 1] * share  # noqa: E731
    return jnp.stack(
        [
            _line_log_odds(first, masses, z[0]),
            _line_log_odds(between(second), between(density), z[1]),
        ]
    )


def _line_log_odds(ticks: Float[Array, " n"], density: Float[Array, " n"], z: Scalar) -> Scalar:
    """Log odds that the law which is linear between the densities at the ticks is below `z`."""
    cell, share = _locate(ticks, z)
    masses, rise = density[1:] + density[:-1], density[cell + 1] - density[cell]
    below = jnp.cumsum(masses) - masses
    above = jnp.cumsum(masses[::-1])[::-1] - masses
    left = below[cell] + share * (2 * density[cell] + share * rise)
    right = above[cell] + (1 - share) * (masses[cell] + share * rise)
    # A draw at the very end of the table has nothing beyond it, and a draw's odds are never 0 or infinite.
    least = jnp.finfo(density.dtype).tiny
    return jnp.log(jnp.maximum(left, least)) - jnp.log(jnp.maximum(right, least))


def _locate(ticks: Float[Array, " n"], z: Scalar) -> tuple[Array, Scalar]:
    """Cell in which a position lies, and how far from its left end."""
    cell = jnp.clip(jnp.searchsorted(ticks, z, side="right") - 1, 0, ticks.size - 2)
    return cell, jnp.clip((z - ticks[cell]) / (ticks[cell + 1] - ticks[cell]), 0.0, 1.0)
