r"""Scouts: where the modes of a law are, and how wide.

A mode that no chain meets leaves no trace. So many points are looked at, evenly over directions and over the
logarithm of their distance; those of the lowest potential at their distance walk downhill. The law is
taken for normal about each place that they come to, with a standard deviation $s_i$ along each principal
axis at which the potential has risen by about a half. Its mass is then about
$e^{-U(z^*)} \prod_i \sqrt{2 \pi}\, s_i$.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import special

from ebm_ppl._trees import tree_where
from ebm_ppl._types import Scalar

_MOST_COORDINATES = 64
"""Beyond, second derivatives and even directions cost too much."""

_OCTAVES = 12
"""Distances reach from 1/2 to 2,048, in units of the coordinates and then in widths of the heaviest mode."""
_RINGS = 2 * _OCTAVES
_NUMBERS_A_RING, _MOST_POINTS = 16_384, 4_096
"""Coordinates of all points of a ring together, and points: of more coordinates more points hit few more.

Beside a mode at 0, at random distances from 5 to 1,000, a second one was found in 60 of 60 trials that was a
2,000th as wide on the line, a 16th in the plane, a quarter in space, a half with five coordinates, as wide
with ten; in 58 a 32nd in the plane, in 30 a quarter with five, in 7 a half with ten.
"""
_LOWEST, _ANY = 4, 4
"""Points of each ring that walk: the lowest ones, and as many others."""
_STARTS = 32
_STEPS = 100
_LONGER, _SHORTER = 1.4, 0.4
_LIGHTEST = 10.0
"""Logarithm of the share of the heaviest mode's mass below which a mode does not count."""
_MARGIN = 1.0
"""Standard deviations beyond the typical distance of a normal law's draws, within which modes are one."""
_PROBES = 24
_WIDEST = 1e4
"""Widest guess of a width, in units of the place's distance from 0, where a minimum is flat."""
_LOW_RISE, _HIGH_RISE = 0.2, 1.2
"""Rise of the potential at one standard deviation; a half is that of a normal law."""
_FLAT = 1e-6
"""Share of the largest curvature below which another one may be rounding."""

Value = Callable[[Float[Array, " dim"]], Scalar]


class Modes(NamedTuple):
    """Modes of a law, as if it were normal about each; `log_mass` of -inf marks places that hold none.

    Attributes:
        places: Where they are.
        axes: Principal axes, in columns.
        widths: Standard deviation along each axis.
        log_mass: Logarithm of the mass of each.
        is_minimum: Whether the potential is higher a standard deviation away to either side along every
            axis, and its slope would not change it by more than 1 so far; at a kink it does by a half. At
            other places a walk got stuck, and the mass is a guess.
    """

    places: Float[Array, "k dim"]
    axes: Float[Array, "k dim dim"]
    widths: Float[Array, "k dim"]
    log_mass: Float[Array, " k"]
    is_minimum: Bool[Array, " k"]


def can_look(value: Value, z: Float[Array, " dim"]) -> bool:
    """Whether scouts can look at a law: if it has at most 64 coordinates, and second derivatives.

    Args:
        value: Potential energy of a flat unconstrained position.
        z: A position, for its shape and precision.

    Returns:
        Whether they can.
    """
    if not 0 < z.size <= _MOST_COORDINATES:
        return False
    try:
        jax.eval_shape(jax.hessian(value), z)
    except (TypeError, ValueError, NotImplementedError):  # which JAX raises where a rule is missing
        return False
    return True


def find_modes(
    value: Value,
    starts: Float[Array, "n dim"],
    about: tuple[Float[Array, " dim"], Float[Array, " dim"]] | None = None,
    num_modes: int = 8,
    *,
    minima_only: bool = False,
) -> Modes:
    """Look for the heaviest modes of a law: about 0, where else is asked, and about the heaviest one.

    Args:
        value: Potential energy of a flat unconstrained position, twice differentiable.
        starts: Positions from which scouts walk besides, of which 32 are taken.
        about: Another place to look about, and the scales of the coordinates there.
        num_modes: How many modes to return at most.
        minima_only: Whether places where a walk got stuck hold no mass. Their mass is a guess, which
            may be so large that true modes beside it seem too light to be returned.

    Returns:
        The modes, the heaviest first.
    """
    starts = starts[:: -(-len(starts) // _STARTS)]
    dim, dtype = starts.shape[1], starts.dtype
    rings, distances = (jnp.asarray(part, dtype) for part in _rings(dim))
    asked = [(jnp.zeros(dim, dtype), jnp.ones(dim, dtype)), *([] if about is None else [about])]

    def look(center: Array, spread: Array) -> Modes:
        chosen, away = _to_walk(value, center + spread * rings, distances * jnp.linalg.norm(spread))
        chosen = jnp.concatenate([starts, chosen])
        away = jnp.concatenate([jnp.ones(len(starts), dtype), 0.25 * away])
        ends = jax.vmap(lambda z, size: _descend(value, z, size))(chosen, away)
        modes = jax.vmap(lambda z: _as_normal(value, z))(ends)
        counts = modes.is_minimum | (not minima_only)
        return modes._replace(log_mass=jnp.where(counts, modes.log_mass, -jnp.inf))

    def look_again(
        heaviest: tuple[Array, Array, Array], place: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array, Array], Modes]:
        is_asked, *asked = place
        modes = look(*tree_where(is_asked, tuple(asked), heaviest[1:]))
        best = jnp.argmax(modes.log_mass)
        width = jnp.sqrt(modes.axes[best] ** 2 @ modes.widths[best] ** 2)
        new = modes.log_mass[best], modes.places[best], width
        return tree_where(new[0] > heaviest[0], new, heaviest), modes

    centers, spreads = (jnp.stack([*part, part[0]]) for part in zip(*asked, strict=True))
    is_asked = jnp.arange(len(centers)) < len(asked)
    none = jnp.asarray(-jnp.inf, dtype), *asked[0]
    _, modes = jax.lax.scan(look_again, none, (is_asked, centers, spreads))
    return _heaviest(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), modes), num_modes)


def within(
    modes: Modes, positions: Float[Array, "n dim"], margin: float = _MARGIN
) -> Bool[Array, "k n"]:
    """Which positions are as near to each mode as draws of the normal law about it are.

    Args:
        modes: The modes.
        positions: The positions.
        margin: Standard deviations beyond the typical distance.

    Returns:
        A row for each mode.
    """
    apart = positions - modes.places[:, None]
    along = jnp.einsum("knd,kde->kne", apart, modes.axes) / modes.widths[:, None]
    return jnp.sum(along**2, axis=2) < (math.sqrt(positions.shape[1]) + margin) ** 2


@functools.cache
def _rings(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Points evenly over directions and the logarithm of their distance, ring by ring; and distances."""
    # Powers of the root of x^(d + 2) = x + 1 fill a cube of d + 1 dimensions evenly (Roberts 2018).
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dim + 2))
    size = min(_NUMBERS_A_RING // dim, _MOST_POINTS)
    number = np.arange(0.5, _RINGS * size)
    even = np.mod(np.outer(number, root ** -np.arange(1.0, dim + 2)), 1.0)
    directions = special.ndtri(np.clip(even[:, 1:], 1e-9, 1 - 1e-9))
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    ring = np.arange(len(number)) // size
    distances = 2.0 ** ((ring + even[:, 0]) * _OCTAVES / _RINGS - 1)
    points = distances[:, None] * directions
    return points.reshape(_RINGS, -1, dim), distances.reshape(_RINGS, -1)


def _to_walk(
    value: Value, points: Float[Array, "rings n dim"], away: Float[Array, "rings n"]
) -> tuple[Array, Array]:
    """The lowest points of each ring and some others, with the distances from which they start."""
    heights = jax.lax.map(jax.vmap(value), points)
    heights = jnp.where(jnp.isfinite(heights), heights, jnp.inf)
    _, low = jax.lax.top_k(-heights, _LOWEST)
    others = jnp.broadcast_to(jnp.arange(_ANY), (len(points), _ANY))
    chosen = jnp.concatenate([low, others], axis=1)
    walkers = jnp.take_along_axis(points, chosen[..., None], axis=1)
    far = jnp.take_along_axis(away, chosen, axis=1)
    return walkers.reshape(-1, points.shape[-1]), far.ravel()


def _descend(value: Value, z: Float[Array, " dim"], size: Scalar) -> Float[Array, " dim"]:
    """Walk downhill, in steps that grow while they lead down and shrink when they do not.

    Args:
        value: Potential energy of a position.
        z: Where the walk starts.
        size: Length of its first step.

    Returns:
        Where it ends.
    """

    def step(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        z, lowest, slope, size = state
        trial = z - size * slope / jnp.maximum(jnp.linalg.norm(slope), 1e-30)
        height, new_slope = jax.value_and_grad(value)(trial)
        is_lower = height < lowest
        return (
            jnp.where(is_lower, trial, z),
            jnp.where(is_lower, height, lowest),
            jnp.where(is_lower, new_slope, slope),
            size * jnp.where(is_lower, _LONGER, _SHORTER),
        )

    began = (z, *jax.value_and_grad(value)(z), size)
    return jax.lax.fori_loop(0, _STEPS, step, began)[0]


def _as_normal(value: Value, z: Float[Array, " dim"]) -> Modes:
    """The normal law about a place, after one step of Newton's."""

    def slope_twice(z: Array) -> tuple[Array, Array]:
        slope = jax.grad(value)(z)
        return slope, slope

    curvature, slope = jax.jacfwd(slope_twice, has_aux=True)(z)
    usable = jnp.all(jnp.isfinite(curvature)) & jnp.all(jnp.isfinite(slope))
    curvature = jnp.where(usable, curvature, jnp.eye(z.size, dtype=z.dtype))
    bent, axes = jnp.linalg.eigh(curvature)
    bent = jnp.maximum(jnp.abs(bent), jnp.maximum(_FLAT * jnp.max(jnp.abs(bent)), 1e-30))
    both = jnp.stack([z, z - axes @ (axes.T @ slope / bent)])
    heights = jax.vmap(value)(both)
    nearer = (heights[1] <= heights[0]).astype(int)
    z, bottom = both[nearer], heights[nearer]

    def fit(_: Array, widths: Array) -> Array:
        steps = (axes * widths).T
        sides = jax.vmap(value)(jnp.concatenate([z + steps, z - steps]))
        rise = jnp.mean(sides.reshape(2, -1), axis=0) - bottom
        # Slower than a parabola's would be, so that steeper and flatter minima converge, too.
        factor = jnp.clip((0.5 / jnp.maximum(rise, 1e-30)) ** 0.25, 1e-3, 1e3)
        factor = jnp.where((rise > _LOW_RISE) & (rise < _HIGH_RISE), 1.0, factor)
        return widths * jnp.where(jnp.isfinite(rise), factor, 0.5).astype(widths.dtype)

    widest = _WIDEST * (1 + jnp.linalg.norm(z))
    guesses = jnp.minimum(1 / jnp.sqrt(bent), widest)
    widths = jax.lax.fori_loop(0, _PROBES, fit, guesses)
    log_mass = jnp.sum(jnp.log(widths)) + 0.5 * z.size * math.log(2 * math.pi) - bottom
    usable = usable & jnp.isfinite(log_mass) & jnp.all(jnp.isfinite(z))
    steps = (axes * widths).T
    sides = jax.vmap(value)(jnp.concatenate([z + steps, z - steps]))
    is_minimum = jnp.all(sides > bottom) & jnp.all(jnp.abs(steps @ jax.grad(value)(z)) < 1)
    return Modes(z, axes, widths, jnp.where(usable, log_mass, -jnp.inf), is_minimum)


def _heaviest(modes: Modes, num_modes: int) -> Modes:
    """The heaviest modes, each once."""
    near = within(modes, modes.places)
    # A narrow mode inside a wide one is another mode.
    same = (near & near.T) | jnp.eye(len(near), dtype=bool)

    def pick(left: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        best = jnp.argmax(left)
        return jnp.where(same[best], -jnp.inf, left), (best, left[best])

    _, (chosen, mass) = jax.lax.scan(pick, modes.log_mass, length=num_modes)
    mass = jnp.where(mass > mass[0] - _LIGHTEST, mass, -jnp.inf)
    return jax.tree.map(lambda leaf: leaf[chosen], modes)._replace(log_mass=mass)
