"""Energies with kinks, at which score matching does not see what it has to integrate."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._processes import on_host
from ebm_ppl._types import Event, Scalar
from ebm_ppl.trainers._batch import Batch, Condition, at

_NUM_PAIRS = 16
_COARSE, _FINE = 64, 256
"""Points between two examples at which curvatures are read."""
_SHARE = 1e-5  # of the slopes, which float32 resolves a hundred times better
_SETTLED = 0.25
"""How much of what is missed may go with more points: all of it where an energy is smooth."""


def check_no_kinks(energy: Any, data: Batch) -> None:
    r"""Refuse an energy whose Hessian misses what its gradient does between the examples.

    Between two examples $a$ and $b = a + v$ the slope $v^\top \nabla E$ rises by
    $$v^\top (\nabla E(b) - \nabla E(a)) = \int_0^1 v^\top \nabla^2 E(a + t v)\, v \, dt$$
    if the energy is smooth. What bends a network of ReLU units lies in kinks, where there is no Hessian, and
    the integral lacks it, alone or beside smooth parts. Score matching then flattens what it sees, and not
    the rest. The integral is a mean over midpoints, and what it lacks counts if finer ones lack it, too.

    Raises:
        ValueError: If the energy is one of these.
    """
    if is_traced((energy, data)) or data.num_examples < 2:
        return
    rows = np.arange(_NUM_PAIRS + 1) % data.num_examples
    x, condition = jax.tree.map(lambda leaf: leaf[rows], (data.x, data.condition))
    coarse, fine, rises, slopes = map(on_host, _along_pairs(energy, x, condition))
    missed = np.abs(rises - fine).sum()
    is_settled = np.abs(fine - coarse).sum() < _SETTLED * missed
    if is_settled and missed > _SHARE * (np.abs(fine).sum() + slopes.sum()):
        raise ValueError(
            "`energy` must be smooth for score matching, which sees its Hessian alone; got "
            f"{type(energy).__name__}, whose slope changes between examples where its Hessian does not say "
            "so, as with ReLU units. Take a smooth activation such as `jax.nn.silu`, or an objective "
            "without second derivatives, such as `DenoisingScoreMatching` or `NoiseContrastive`."
        )


@eqx.filter_jit
def _along_pairs(
    energy: Any, x: Float[Array, "num_rows *event"], condition: Condition | None
) -> tuple[Array, Array, Array, Array]:
    """From each row to the next: two means of curvatures, the change of slope, the size of both slopes."""

    def one(
        pair: tuple[Event, Event, Condition | None],
    ) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        start, end, condition = pair
        one_energy = at(energy, condition)
        direction = end - start

        def slope(fraction: Scalar) -> Scalar:
            return jax.jvp(one_energy, (start + fraction * direction,), (direction,))[1]

        def curvature(num_points: int) -> Scalar:
            midpoints = (jnp.arange(num_points, dtype=x.dtype) + 0.5) / num_points
            return jnp.mean(jax.vmap(jax.grad(slope))(midpoints))

        ends = jnp.stack([slope(jnp.zeros((), x.dtype)), slope(jnp.ones((), x.dtype))])
        return curvature(_COARSE), curvature(_FINE), ends[1] - ends[0], jnp.sum(jnp.abs(ends))

    first = jax.tree.map(lambda leaf: leaf[:-1], condition)
    # One after the other: networks of images are large.
    return jax.lax.map(one, (x[:-1], x[1:], first))
