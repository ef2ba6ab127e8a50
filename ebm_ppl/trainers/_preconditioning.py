"""Natural-gradient directions for small models, as an Optax transformation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ebm_ppl._checks import check_positive
from ebm_ppl.energies._described import described
from ebm_ppl.trainers._base import Model
from ebm_ppl.trainers._batch import levels_are_open
from ebm_ppl.trainers._data import as_batch
from ebm_ppl.trainers._derivatives import energy_gradients

_MOST_PARAMETERS = 1000


def scale_by_fisher(
    energy: Any,
    points: Any,
    damping: float = 1e-3,
    condition: Any = None,
    sigma: Any = None,
) -> optax.GradientTransformation:
    r"""Precondition by the covariance of $\nabla_\theta E$, for models of at most 1000 parameters.

    The Fisher information of $p_\theta \propto e^{-E_\theta}$ is the covariance of $\nabla_\theta E$ under
    the model. With its estimate $F(\theta)$ over given points, taken anew at the parameters of each step,
    a gradient $g$ becomes
    $$\left(F + \delta \operatorname{diag} F\right)^{-1} g,$$
    the natural gradient. Along it all directions of the likelihood are equally steep near its maximum, so
    that one learning rate, of the order of 1, serves a model whose parameters have unlike units. Where
    a loss vanishes does not change, so the points need not be those of the fit: examples, or draws
    of a model that is roughly right.

    Args:
        energy: The energy that is trained, for what the optimiser does not train of it.
        points: Points, shape `(num_points, *event_shape)`; a few hundred suffice. They should lie where
            the model has its mass.
        damping: The damping $\delta$, relative to the diagonal, positive.
        condition: Conditions of the points, for a conditional energy, as in `fit`.
        sigma: Standard deviation of the noise that is in each point, for an energy that depends on it.

    Returns:
        An Optax transformation of the gradients of a `Model`, such as `fit` trains; gradients of what is
        learned beside the energy pass unchanged. Chain it with a learning rate.

    Raises:
        ValueError: If `damping` is not positive, or `points`, `condition` or `sigma` do not fit the
            energy; in `init`, if there are more than 1000 parameters; in `update`, if `params` is
            missing.

    Examples:
        The quartic family, whose parameters have unlike units, by plain steps:

        >>> import jax, jax.numpy as jnp, optax
        >>> import ebm_ppl as ebm
        >>> energy = ebm.energies.Quartic(a=1.0, b=0.0, gamma=-3.0)
        >>> data = 0.5 + jax.random.normal(jax.random.key(0), (200,))
        >>> fisher = ebm.trainers.scale_by_fisher(energy, data)
        >>> fit = ebm.fit(
        ...     energy,
        ...     data,
        ...     ebm.ExactMaximumLikelihood.for_energy(energy),
        ...     optax.chain(fisher, optax.scale_by_learning_rate(0.5)),
        ...     num_steps=50,
        ...     rng_key=jax.random.key(0),
        ...     progress_bar=False,
        ... )
        >>> mean = ebm.quadrature.normalize(fit.energy).mean().item()
        >>> bool(abs(mean - data.mean()) < 1e-3)
        True

    References:
        S. Amari (1998). Natural gradient works efficiently in learning. *Neural Computation* 10(2),
        251-276.
    """
    check_positive("damping", damping)
    batch = as_batch(energy, points, condition, sigma)
    if levels_are_open(energy, batch):
        raise ValueError(f"`sigma` must be given for {described(energy)}; got None.")
    constants = eqx.filter(energy, eqx.is_inexact_array, inverse=True)

    def init_fn(params: Any) -> optax.EmptyState:
        size = sum(leaf.size for leaf in jax.tree.leaves(params.energy))
        if size > _MOST_PARAMETERS:
            raise ValueError(
                f"`params` must have at most {_MOST_PARAMETERS} entries for a dense Fisher "
                f"information; got {size}."
            )
        return optax.EmptyState()

    def update_fn(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("`params` must be given, at which the Fisher information is taken.")
        gradient, unravel = ravel_pytree(updates.energy)
        rows = energy_gradients(Model(eqx.combine(params.energy, constants)), batch)
        direction = _solve(rows - jnp.mean(rows, axis=0), gradient, damping)
        return updates._replace(energy=unravel(direction)), state

    return optax.GradientTransformation(init_fn, update_fn)


def _solve(
    rows: Float[Array, "num_points p"], gradient: Float[Array, " p"], damping: float
) -> Float[Array, " p"]:
    """The damped solution, in units in which the diagonal is one: powers of x differ by orders."""
    scale = jnp.sqrt(jnp.mean(rows**2, axis=0))
    scale = jnp.where(scale > 0, scale, 1.0)  # parameters without influence have no gradient either
    correlation = (rows / scale).T @ (rows / scale) / len(rows)
    damped = correlation + damping * jnp.eye(len(scale), dtype=rows.dtype)
    return jnp.linalg.solve(damped, gradient / scale) / scale
