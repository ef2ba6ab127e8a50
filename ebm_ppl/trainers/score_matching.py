"""Score matching with the exact trace of the Hessian."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch, energies_of
from ebm_ppl.trainers._derivatives import check_no_boundary, for_each
from ebm_ppl.trainers._kinks import check_no_kinks


class ScoreMatching(AbstractObjective):
    r"""Score matching: the score of the model against that of the data, without knowing the latter.

    For a density that vanishes at the boundary, integration by parts turns $\frac12 \mathbb{E} \|\nabla_x
    E_\theta(x) + \nabla_x \log p(x)\|^2$ into the expectation, up to a constant, of
    $$\ell(\theta; x) = \tfrac12 \|\nabla_x E_\theta(x)\|^2 - \operatorname{tr} \nabla_x^2 E_\theta(x).$$

    The trace costs one Hessian-vector product a coordinate;
    [`SlicedScoreMatching`][ebm_ppl.trainers.SlicedScoreMatching] estimates it from a few. For a normal
    model the minimiser is that of maximum likelihood. Score matching is blind to the weights of modes
    that almost no mass connects.

    Raises:
        ValueError: When the fit begins, if the energy's support has a boundary, at which the
            integration by parts would fail, or its Hessian misses what bends it, as with ReLU units.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.trainers import Model, ScoreMatching, as_batch
        >>> energy = Quartic(a=1.0, b=0.0, gamma=-50.0)  # E = x²: score −2x, second derivative 2
        >>> data = as_batch(energy, jnp.array([0.0, 2.0]))
        >>> ScoreMatching().losses(Model(energy), data, None).tolist()
        [-2.0, 6.0]

    References:
        A. Hyvärinen (2005). Estimation of non-normalized statistical models by score matching. *Journal
        of Machine Learning Research* 6, 695-709, theorem 1.
    """

    consistent = True
    is_criterion = True

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, None]:
        """Nothing is learned or carried; the support must have no boundary."""
        check_no_boundary(energy)
        check_no_kinks(energy, data)
        return None, None

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        """Half the squared norm of the score less the trace of the Hessian, for each example."""
        x = batch.x

        def total(x: Float[Array, "num_examples *event"]) -> Scalar:
            return jnp.sum(energies_of(model.energy, eqx.tree_at(lambda b: b.x, batch, x)))

        # Of all examples at once: XLA makes fewer and larger loops of it than of one, mapped over them.
        gradient, hessian_product = jax.linearize(jax.grad(total), x)

        def second_derivative(coordinate: Event) -> Float[Array, " num_examples"]:
            direction = jnp.broadcast_to(coordinate, x.shape)
            return _sum_of_each(direction * hessian_product(direction))

        size = x[0].size
        coordinates = jnp.eye(size, dtype=x.dtype).reshape(size, *x.shape[1:])
        trace = jnp.sum(for_each(second_derivative, coordinates), axis=0)
        return 0.5 * _sum_of_each(gradient**2) - trace


def _sum_of_each(values: Float[Array, "num_examples *event"]) -> Float[Array, " num_examples"]:
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))
