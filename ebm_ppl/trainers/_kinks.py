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
_FRACTIONS = (0.0, 0.27, 0.61, 1.0)  # of the way; no symmetry of data about a point fits all four
_ROUNDING = 1e-5  # of curvatures in float32 that are the same
_SHARE = 1e-3  # of the slopes, which float32 resolves a thousand times better


def check_no_kinks(energy: Any, data: Batch) -> None:
    r"""Refuse an energy whose Hessian misses what its gradient does between the examples.

    The Hessian of a piecewise linear network, plus a quadratic term or not, is the same wherever it exists;
    what bends the energy lies in kinks, where it does not. Its trace then has no gradient in the network's
    parameters, and score matching flattens the network. Between two examples $a$ and $b = a + v$ it is
    seen by $v^\top \nabla^2 E\, v$, which is constant, but not $v^\top (\nabla E(b) - \nabla E(a))$.

    Raises:
        ValueError: If the energy is one of these.
    """
    if is_traced((energy, data)) or data.num_examples < 2:
        return
    rows = np.arange(_NUM_PAIRS + 1) % data.num_examples
    x, condition = jax.tree.map(lambda leaf: leaf[rows], (data.x, data.condition))
    curvatures, rises, slopes = map(on_host, _along_pairs(energy, x, condition))
    size = np.abs(curvatures).max(axis=1, keepdims=True)
    is_constant = bool(np.all(np.abs(curvatures - curvatures[:, :1]) <= _ROUNDING * size))
    missed = np.abs(rises - curvatures[:, 0]).sum()
    if is_constant and missed > _SHARE * (size.sum() + slopes.sum()):
        raise ValueError(
            "`energy` must be smooth for score matching, which sees its Hessian alone; got "
            f"{type(energy).__name__}, whose slope changes between examples where its Hessian does not say "
            "so, as with ReLU units. Take a smooth activation such as `jax.nn.silu`, or an objective "
            "without second derivatives, such as `DenoisingScoreMatching` or `NoiseContrastive`."
        )


@eqx.filter_jit
def _along_pairs(
    energy: Any, x: Float[Array, "num_rows *event"], condition: Condition | None
) -> tuple[Array, Array, Array]:
    """From each row to the next: curvatures on the way, the change of slope, and the size of both slopes."""

    def one(start: Event, end: Event, condition: Condition | None) -> tuple[Array, Scalar, Scalar]:
        one_energy = at(energy, condition)
        direction = end - start

        def slope(fraction: Scalar) -> Scalar:
            return jax.jvp(one_energy, (start + fraction * direction,), (direction,))[1]

        fractions = jnp.asarray(_FRACTIONS, x.dtype)
        ends = jnp.stack([slope(fractions[0]), slope(fractions[-1])])
        return jax.vmap(jax.grad(slope))(fractions), ends[1] - ends[0], jnp.sum(jnp.abs(ends))

    first = jax.tree.map(lambda leaf: leaf[:-1], condition)
    return jax.vmap(one)(x[:-1], x[1:], first)
