"""Denoising score matching with one noise level."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._schedule import Schedule, check_positive_schedule, value_at
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, per_example
from ebm_ppl.trainers._denoising import Noise, denoising_loss
from ebm_ppl.trainers._derivatives import check_no_boundary


class DenoisingScoreMatching(AbstractObjective):
    r"""Denoising score matching: from an example under noise, the score points back to the example.

    Under noise, $\tilde x = x + \sigma \xi$ with $\xi \sim N(0, I)$, the data have the smoothed density
    $q_\sigma = p * N(0, \sigma^2 I)$, and
    $$\tfrac12 \mathbb{E} \left\|\nabla E_\theta(\tilde x) - \frac{\xi}{\sigma}\right\|^2
    = \tfrac12 \mathbb{E}_{q_\sigma} \|\nabla E_\theta + \nabla \log q_\sigma\|^2 + \text{const}.$$
    The loss is the left-hand side less $\frac12 \mathbb{E} \|\xi\|^2 / \sigma^2$, which no model changes;
    as $\sigma \to 0$ it tends to that of [`ScoreMatching`][ebm_ppl.trainers.ScoreMatching]. It needs
    first derivatives only.

    **The energy learned is that of the smoothed data**, $-\log q_\sigma$, and not that of the data: the
    bias falls with $\sigma$. Without `antithetic` the variance of the gradient grows like $1 / \sigma^2$; the
    two signs of one noise cancel what grows, at the cost of twice as many gradients of the energy.

    An energy that depends on the level of noise learns $E_\sigma$ at the level of the noise that is added;
    [`AnnealedDenoisingScoreMatching`][ebm_ppl.trainers.AnnealedDenoisingScoreMatching] fits all levels.

    Args:
        noise_scale: Standard deviation $\sigma$ of the noise: a number, or a schedule of the training
            step; the minimiser is then that of the last value.
        antithetic: Whether each example is seen with both signs of its noise.

    Raises:
        ValueError: If `noise_scale` is no positive number; when the fit begins, if the energy's support
            has a boundary, which noise would cross.

    Examples:
        The fit of normal data has the variance of data and noise together:

        >>> import jax, jax.numpy as jnp, optax
        >>> import ebm_ppl as ebm
        >>> data = jax.random.normal(jax.random.key(0), (4000, 1))
        >>> fit = ebm.fit(
        ...     ebm.energies.Gaussian([0.0], [[1.0]]),
        ...     data,
        ...     ebm.DenoisingScoreMatching(noise_scale=1.0),
        ...     optax.adam(optax.cosine_decay_schedule(0.05, 200)),
        ...     num_steps=200,
        ...     rng_key=jax.random.key(1),
        ...     progress_bar=False,
        ... )
        >>> print(f"{fit.energy.whitening[0, 0] ** -2:.1f}")
        2.0

    References:
        P. Vincent (2011). A connection between score matching and denoising autoencoders. *Neural
        Computation* 23(7), 1661-1674.
    """

    consistent = False
    is_criterion = True
    adds_noise = True

    noise_scale: Schedule
    antithetic: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        check_positive_schedule("noise_scale", self.noise_scale)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, None]:
        """Nothing is learned or carried; the support must have no boundary."""
        check_no_boundary(energy)
        return None, None

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Draw the noise; if its level is scheduled, record it as `noise_scale`."""
        level = jnp.asarray(value_at(self.noise_scale, step), dtype=batch.x.dtype)
        direction = jax.random.normal(rng_key, batch.x.shape, batch.x.dtype)
        noise = Noise(jnp.full(batch.num_examples, level), direction)
        return Prepared(
            noise, carried, {"noise_scale": level} if callable(self.noise_scale) else {}
        )

    def losses(self, model: Model, batch: Batch, sample: Noise) -> Float[Array, " num_examples"]:
        """Denoising loss of each example."""

        def loss(energy: Any, x: Event, noise: Noise) -> Scalar:
            return denoising_loss(energy, x, noise, self.antithetic)

        return per_example(loss, model.energy, batch, sample)
