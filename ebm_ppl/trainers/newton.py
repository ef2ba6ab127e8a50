"""Newton's method for small models, as an Optax transformation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ebm_ppl._checks import check_interval
from ebm_ppl._types import Scalar

_MOST_PARAMETERS = 1000
_DIRECTIONS = 64  # Hessian-vector products at a time
_SUFFICIENT = 1e-4  # share of the predicted decrease that a step must bring
_MOST_HALVINGS = 100  # where the Hessian all but vanishes, Newton's step is that much too long
_ROUNDING = 32.0  # in units of the last place of the loss


class NewtonState(NamedTuple):
    r"""What the last step knew of its distance from the minimum.

    Attributes:
        decrement: $g^\top |H|^{-1} g$, twice the decrease that the step was to bring.
    """

    decrement: Scalar


def newton(damping: float = 1e-6) -> optax.GradientTransformationExtraArgs:
    r"""Newton's method with a line search, for models of at most 1000 parameters.

    With the gradient $g$ and the Hessian $H = S (V \Lambda V^\top) S$ of the loss, $S$ the diagonal of the
    square roots of $|H_{ii}|$, a step is
    $$\theta \leftarrow \theta - t\, S^{-1} V |\Lambda|^{-1} V^\top S^{-1} g,$$
    where $|\Lambda|$ holds the absolute eigenvalues, so the direction leads downhill also where the loss
    is not convex, and $t$ is the largest of $1, \frac12, \frac14, \dots$ for which the loss decreases
    enough (Armijo's rule). Near a minimum with $H > 0$ it is Newton's method and converges
    quadratically, to the precision of the floating-point numbers. Units of the parameters do not matter,
    and parameters without influence on the loss stay where they are. If no $t$ brings a decrease, the
    parameters do not move.

    It wants an exact loss: the whole data set in each step, and noise that stays. `fit` warns if the last
    step was still a long one.

    Args:
        damping: Least absolute eigenvalue that is inverted, relative to the largest, in (0, 1).

    Returns:
        An Optax transformation whose `update` needs `value`, the loss, and `value_fn`, the loss as a
        function of the parameters; `fit` gives it both.

    Raises:
        ValueError: If `damping` is not in (0, 1); in `init`, if there are more than 1000 parameters; in
            `update`, if `params`, `value` or `value_fn` is missing.

    Examples:
        The exact maximum-likelihood fit of a normal law takes a handful of steps:

        >>> import jax, jax.numpy as jnp
        >>> import ebm_ppl as ebm
        >>> energy = ebm.energies.Gaussian([0.0], [[1.0]])
        >>> fit = ebm.fit(
        ...     energy,
        ...     jnp.array([[1.0], [3.0], [5.0]]),
        ...     ebm.ScoreMatching(),
        ...     ebm.trainers.newton(),
        ...     num_steps=10,
        ...     rng_key=jax.random.key(0),
        ...     progress_bar=False,
        ... )
        >>> print(f"{fit.energy.loc[0]:.4f}")
        3.0000

    References:
        J. Nocedal and S. J. Wright (2006). *Numerical Optimization*, 2nd edition, sections 3.1 and 3.4.
        Y. N. Dauphin et al. (2014). Identifying and attacking the saddle point problem in
        high-dimensional non-convex optimization. *NeurIPS* 27 (absolute eigenvalues).
    """
    check_interval("damping", damping, 0.0, 1.0)

    def init_fn(params: Any) -> NewtonState:
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        if size > _MOST_PARAMETERS:
            raise ValueError(
                f"`params` must have at most {_MOST_PARAMETERS} entries for Newton's method; got "
                f"{size}."
            )
        return NewtonState(jnp.asarray(jnp.inf, dtype=float))

    def update_fn(
        updates: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        value, value_fn = (extra_args.get(name) for name in ("value", "value_fn"))
        if params is None or value is None or value_fn is None:
            raise ValueError("`params`, `value` and `value_fn` must be given to Newton's method.")
        flat, unravel = ravel_pytree(params)
        gradient, _ = ravel_pytree(updates)

        def loss_fn(flat: Float[Array, " p"]) -> Scalar:
            return value_fn(unravel(flat))

        direction = _direction(_hessian(loss_fn, flat), gradient, damping)
        fraction = _line_search(loss_fn, flat, value, gradient, direction)
        decrement = -jnp.dot(gradient, direction)
        return unravel(fraction * direction), NewtonState(decrement.astype(state.decrement.dtype))

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _hessian(
    fn: Callable[[Float[Array, " p"]], Scalar], x: Float[Array, " p"]
) -> Float[Array, "p p"]:
    _, product = jax.linearize(jax.grad(fn), x)
    return jax.lax.map(product, jnp.eye(x.size, dtype=x.dtype), batch_size=_DIRECTIONS)


def _direction(
    hessian: Float[Array, "p p"], gradient: Float[Array, " p"], damping: float
) -> Float[Array, " p"]:
    """The Newton direction with absolute eigenvalues, in coordinates in which the diagonal is one."""
    diagonal = jnp.sqrt(jnp.abs(jnp.diag(hessian)))
    least = jnp.finfo(hessian.dtype).eps * jnp.max(diagonal)
    scale = jnp.where(diagonal > least, diagonal, jnp.maximum(jnp.max(diagonal), least))
    scale = jnp.where(scale > 0, scale, 1.0)
    eigenvalues, vectors = jnp.linalg.eigh(hessian / jnp.outer(scale, scale))
    size = jnp.abs(eigenvalues)
    size = jnp.maximum(size, damping * jnp.max(size))
    coordinates = vectors.T @ (gradient / scale)
    return -vectors @ (coordinates / jnp.where(size > 0, size, 1.0)) / scale


def _line_search(
    fn: Callable[[Float[Array, " p"]], Scalar],
    x: Float[Array, " p"],
    value: Scalar,
    gradient: Float[Array, " p"],
    direction: Float[Array, " p"],
) -> Scalar:
    """The largest of 1, 1/2, 1/4, ... by which the loss decreases enough; 0 if there is none."""
    slope = _SUFFICIENT * jnp.dot(gradient, direction)
    # Near the minimum a decrease drowns in rounding; a full step is then the best there is.
    allowance = _ROUNDING * jnp.finfo(x.dtype).eps * (1.0 + jnp.abs(value))

    def is_too_far(fraction: Scalar) -> Array:
        # In this form a loss that is NaN is too far as well.
        return ~(fn(x + fraction * direction) <= value + fraction * slope + allowance)

    def goes_on(carry: tuple[Scalar, Array]) -> Array:
        fraction, too_far = carry
        return too_far & (fraction > 0)

    def halve(carry: tuple[Scalar, Array]) -> tuple[Scalar, Array]:
        half = carry[0] / 2
        fraction = jnp.where(half < 2.0**-_MOST_HALVINGS, jnp.zeros_like(half), half)
        return fraction, is_too_far(fraction)

    one = jnp.ones((), x.dtype)
    return jax.lax.while_loop(goes_on, halve, (one, is_too_far(one)))[0]
