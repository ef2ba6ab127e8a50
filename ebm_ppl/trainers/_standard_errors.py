"""Standard errors of fitted parameters, by the sandwich."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._transform import Transform, key_of_transform, transformed

_MOST_PARAMETERS = 1000
_UNSEEN = 1e-3


class StandardErrors(eqx.Module):
    """Uncertainty of a fit's parameters that comes from the sampling of the data.

    Attributes:
        model: Standard error of each parameter, in the structure of the model.
        covariance: Covariance matrix of all parameters, in the order of
            `jax.flatten_util.ravel_pytree`.
    """

    model: Model
    covariance: Float[Array, "num_parameters num_parameters"]

    @property
    def energy(self) -> Any:
        """Standard error of each parameter of the energy, as an energy."""
        return self.model.energy

    @property
    def learned(self) -> Any:
        """Standard error of each parameter learned beside the energy."""
        return self.model.learned


def standard_errors(
    objective: AbstractObjective,
    model: Model,
    data: Batch,
    rng_key: PRNGKey,
    *,
    carried: Any = None,
    step: int = 0,
    num_draws: int = 16,
    num_averaged: int | None = None,
    transform: Transform | None = None,
) -> StandardErrors:
    r"""Sandwich standard errors of the parameters that minimise an objective.

    With the loss $\ell_\theta$ of one example and $\psi = \nabla_\theta \ell_\theta$, the minimiser over
    $n$ independent examples has asymptotically the covariance
    $$\frac1n A^{-1} B A^{-\top}, \qquad A = \frac{\partial}{\partial \theta} \mathbb{E}\, \psi, \quad
    B = \operatorname{Cov}\, \psi.$$
    $A$ is the mean Hessian of the losses and, where what the objective draws follows the model (negative
    examples), the objective's `sensitivity`. Noise that is drawn afresh in each step averages out of a
    fit: $B$ is the cross-covariance of $\psi$ under different draws, to which such noise contributes nothing
    and noise that stays fixed contributes in full. If the fit averaged it over only $m$ draws an example,
    as Robbins-Monro steps $1/t$ or averaged iterates do in $m$ passes through the data, $1/m$ of what it
    adds to the covariance of one draw is left. The data need not follow the model. Other errors of the
    optimisation (too few steps, a constant learning rate) are not counted.

    Args:
        objective: The objective.
        model: The model at the fit.
        data: The examples of the fit.
        rng_key: Key for the objective's draws.
        carried: State of the objective, as the fit left it.
        step: Step at which schedules are taken.
        num_draws: Number of draws of the objective over which $A$ and $B$ are averaged, at least 2;
            chains go on from one to the next. An objective that draws nothing needs none.
        num_averaged: Number $m$ of draws over which the fit averaged the noise of each example; `None`
            for so many that nothing of it is left.
        transform: What the fit did to the points of each step: noise like any other that is drawn afresh.

    Returns:
        The standard errors; NaN for parameters that the objective does not identify.

    Raises:
        ValueError: If the model has more than 1000 parameters, `num_draws` is below 2 or `num_averaged` is
            below 1.

    Examples:
        The standard error of a mean:

        >>> import jax, jax.numpy as jnp
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.trainers import Model, ScoreMatching, as_batch, standard_errors
        >>> x = 3.0 * jax.random.normal(jax.random.key(0), (10_000, 1))
        >>> energy = Gaussian(x.mean(0), jnp.cov(x.T).reshape(1, 1))
        >>> data = as_batch(energy, x)
        >>> errors = standard_errors(ScoreMatching(), Model(energy), data, jax.random.key(1))
        >>> print(f"{errors.energy.loc[0]:.3f}")
        0.030

    References:
        P. J. Huber (1967). The behavior of maximum likelihood estimates under nonstandard conditions.
        *Proceedings of the Fifth Berkeley Symposium* 1, 221-233.
    """
    check_count("num_draws", num_draws, 2)
    if num_averaged is not None:
        check_count("num_averaged", num_averaged)
    share = jnp.asarray(0.0 if num_averaged is None else 1 / num_averaged)
    return _standard_errors(
        objective, model, data, rng_key, carried, jnp.asarray(step), num_draws, share, transform
    )


@eqx.filter_jit
def _standard_errors(
    objective: AbstractObjective,
    model: Model,
    data: Batch,
    rng_key: PRNGKey,
    carried: Any,
    step: Array,
    num_draws: int,
    noise_share: Array,
    transform: Transform | None,
) -> StandardErrors:
    parameters, constants = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)
    if flat.size > _MOST_PARAMETERS:
        raise ValueError(
            f"`model` must have at most {_MOST_PARAMETERS} parameters; got {flat.size}."
        )

    def losses(flat: Array, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        return objective.losses(eqx.combine(unravel(flat), constants), batch, sample)

    def draw(carried: Any, rng_key: PRNGKey) -> tuple[Any, tuple[Array, Array]]:
        """Gradients of all examples and the slope of their mean, for one draw."""
        rng_key, key_transform = key_of_transform(transform, rng_key)
        batch = transformed(transform, data, key_transform)
        prepared = objective.prepare(model, batch, carried, step, rng_key)
        gradients = jax.jacfwd(losses)(flat, batch, prepared.sample)
        slope = jax.hessian(lambda flat: jnp.mean(losses(flat, batch, prepared.sample)))(flat)
        slope += objective.sensitivity(gradients, model, batch, prepared.sample)
        return prepared.carried, (gradients - jnp.mean(gradients, axis=0), slope)

    sample = objective.prepare(model, data, carried, step, rng_key).sample
    draws_nothing = sample is None and transform is None
    if draws_nothing:
        _, (gradients, bread) = draw(carried, rng_key)
        products = gradients.T @ gradients
    else:
        bread, products, of_one = _averaged(draw, carried, jax.random.split(rng_key, num_draws))
        products += noise_share * (of_one - products)
    meat = products / (data.num_examples - 1)
    inverse = jnp.linalg.pinv(bread)
    covariance = inverse @ ((meat + meat.T) / 2) @ inverse.T / data.num_examples
    # A parameter that the objective does not see has a share in the null space.
    seen = jnp.diag(inverse @ bread) > 1 - _UNSEEN
    errors = jnp.where(seen, jnp.sqrt(jnp.diag(covariance)), jnp.nan)
    return StandardErrors(eqx.combine(unravel(errors), constants), covariance)


def _averaged(draw: Any, carried: Any, rng_keys: PRNGKey) -> tuple[Array, Array, Array]:
    """Means over draws: of the slope, and of products of gradients of two different draws and of one."""
    dynamic, static = eqx.partition(carried, eqx.is_array)
    shapes = eqx.filter_eval_shape(lambda: draw(carried, rng_keys[0])[1])
    total, slopes = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def body(sums: Any, rng_key: PRNGKey) -> tuple[Any, None]:
        dynamic, total, slopes, squares = sums
        carried, (gradients, slope) = draw(eqx.combine(dynamic, static), rng_key)
        squares = squares + gradients.T @ gradients
        return (eqx.filter(carried, eqx.is_array), total + gradients, slopes + slope, squares), None

    sums = (dynamic, total, slopes, jnp.zeros_like(slopes))
    (_, total, slopes, squares), _ = jax.lax.scan(body, sums, rng_keys)
    count = len(rng_keys)
    products = (total.T @ total - squares) / (count * (count - 1))
    return slopes / count, products, squares / count
