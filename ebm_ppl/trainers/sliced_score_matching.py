"""Sliced score matching: second derivatives along random directions only."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_choice, check_count
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, per_example
from ebm_ppl.trainers._derivatives import (
    check_no_boundary,
    gradient_and_products,
    slopes_and_products,
)
from ebm_ppl.trainers._kinks import check_no_kinks

_LAWS = ("rademacher", "normal", "sphere")


class SlicedScoreMatching(AbstractObjective):
    r"""Sliced score matching: compare scores along random directions $v$ with $\mathbb{E}\, v v^\top = I$.

    With the score $s = -\nabla_x E_\theta$ and $m$ directions for each example,
    $$\ell(\theta; x) = \frac1m \sum_{j=1}^m \left[\tfrac12 (v_j^\top s(x))^2
    + v_j^\top \nabla s(x)\, v_j\right].$$
    The mean of the first term over the directions is known. Putting it in gives the loss of reduced
    variance
    $$\ell(\theta; x) = \tfrac12 \|s(x)\|^2 + \frac1m \sum_{j=1}^m v_j^\top \nabla s(x)\, v_j,$$
    which is score matching with Hutchinson's estimate of the trace. Either way the mean over the
    directions is the loss of [`ScoreMatching`][ebm_ppl.trainers.ScoreMatching], at a cost that does not
    grow with the number of coordinates: $m$ second derivatives instead of one a coordinate.

    The variance of $v^\top H v$ is $2 \|H\|_F^2 - 2 \sum_i H_{ii}^2$ with independent signs, $2 \|H\|_F^2$
    with normal directions and $\frac{2d}{d+2} (\|H\|_F^2 - \frac1d (\operatorname{tr} H)^2)$ on the sphere:
    signs are exact for a diagonal Hessian, and hence on the line.

    Args:
        num_projections: Number $m$ of directions for each example.
        variance_reduced: Whether to use the second form. The first is somewhat cheaper.
        directions: Law of the directions: `"rademacher"` (independent signs), `"normal"` (standard
            normal) or `"sphere"` (uniform on the sphere of radius $\sqrt d$).

    Raises:
        ValueError: If `num_projections` is no positive integer or `directions` is none of those; when
            the fit begins, if the energy's support has a boundary, or its Hessian misses what bends it,
            as with ReLU units.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.trainers import Model, SlicedScoreMatching, as_batch
        >>> energy = Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 0.5]])  # Hessian diag(1, 2)
        >>> data = as_batch(energy, jnp.array([[3.0, 1.0]]))
        >>> directions = jnp.array([[[1.0, -1.0]]])
        >>> SlicedScoreMatching().losses(Model(energy), data, directions).tolist()  # (9 + 4)/2 - 3
        [3.5]
        >>> plain = SlicedScoreMatching(variance_reduced=False)
        >>> plain.losses(Model(energy), data, directions).tolist()  # (3 - 2)²/2 - 3
        [-2.5]

    References:
        Y. Song, S. Garg, J. Shi and S. Ermon (2019). Sliced score matching: a scalable approach to
        density and score estimation. *Uncertainty in Artificial Intelligence* 35.
        M. F. Hutchinson (1990). A stochastic estimator of the trace of the influence matrix for
        Laplacian smoothing splines. *Communications in Statistics* 19(2), 433-450.
    """

    consistent = True
    is_criterion = True

    num_projections: int = eqx.field(static=True, default=1)
    variance_reduced: bool = eqx.field(static=True, default=True)
    directions: str = eqx.field(static=True, default="rademacher")

    def __check_init__(self) -> None:
        check_count("num_projections", self.num_projections)
        check_choice("directions", self.directions, _LAWS)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, None]:
        """Nothing is learned or carried; the support must have no boundary."""
        check_no_boundary(energy)
        check_no_kinks(energy, data)
        return None, None

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Draw the directions, shape `(num_examples, num_projections, *event)`."""
        shape = (batch.num_examples, self.num_projections, *batch.x.shape[1:])
        if self.directions == "rademacher":
            return Prepared(jax.random.rademacher(rng_key, shape, batch.x.dtype), carried, {})
        directions = jax.random.normal(rng_key, shape, batch.x.dtype)
        if self.directions == "sphere":
            axes = tuple(range(2, len(shape)))
            mean_square = jnp.mean(directions**2, axes, keepdims=True)
            # Rounded to zero in all coordinates, a draw has no direction.
            directions /= jnp.sqrt(jnp.maximum(mean_square, jnp.finfo(directions.dtype).tiny))
        return Prepared(directions, carried, {})

    def losses(
        self,
        model: Model,
        batch: Batch,
        sample: Float[Array, "num_examples num_projections *event"],
    ) -> Float[Array, " num_examples"]:
        """Loss of each example, averaged over its directions."""

        def reduced(energy: AbstractEnergy, x: Event, directions: Array) -> Scalar:
            gradient, products = gradient_and_products(energy, x, directions)
            return 0.5 * jnp.sum(gradient**2) - jnp.mean(products)

        def plain(energy: AbstractEnergy, x: Event, directions: Array) -> Scalar:
            slopes, products = slopes_and_products(energy, x, directions)
            return jnp.mean(0.5 * slopes**2 - products)

        loss = reduced if self.variance_reduced else plain
        return per_example(loss, model.energy, batch, sample)
