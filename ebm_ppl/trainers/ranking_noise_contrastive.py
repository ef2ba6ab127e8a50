"""Ranking noise contrastive estimation: the example among noise points, without any log Z."""

from typing import Any

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._contrast import Contrast, NoiseSource, energies_of_both, energy_gap


class RankingNoiseContrastive(AbstractObjective):
    r"""Ranking noise-contrastive estimation: which of $1 + K$ candidates is the example?

    Beside every example $x_{i0} = x_i$ stand $K$ noise points $x_{i1}, \dots, x_{iK}$, all seen under the
    condition $y_i$. With the weights $s(x) = -E_\theta(x \mid y_i) - \log p_n(x \mid y_i)$ the loss is
    that of a softmax,
    $$\ell_i(\theta) = -\log \frac{e^{s(x_{i0})}}{\sum_{j=0}^K e^{s(x_{ij})}}.$$

    $\log Z(y)$ is the same for all candidates and cancels, so nothing is learned beside the energy,
    and the fit is consistent for conditional energies whatever the form of $Z(y)$. As $K$ grows it
    becomes that of maximum likelihood.

    Args:
        noise: The noise distribution, as in `NoiseContrastive`.
        num_noise: Number $K$ of noise points per example.
        fresh_noise: Whether each step draws new noise, or each example keeps its own.

    Raises:
        ValueError: If `num_noise` is no positive integer or `noise` no distribution; when the fit begins,
            if shapes do not fit or the noise has no density at some example.

    Examples:
        Linear regression, $x \approx 2 y$:

        >>> import jax, numpyro.distributions as dist
        >>> import ebm_ppl as ebm
        >>> y = jax.random.normal(jax.random.key(0), (1000, 1))
        >>> x = 2.0 * y + 0.5 * jax.random.normal(jax.random.key(1), (1000, 1))
        >>> fit = ebm.fit(
        ...     ebm.energies.ConditionalGaussian([[1.0]], [0.0], [[1.0]]),
        ...     x,
        ...     ebm.RankingNoiseContrastive(dist.Normal(0.0, 3.0).expand((1,)), fresh_noise=False),
        ...     ebm.trainers.newton(),
        ...     condition=y,
        ...     num_steps=10,
        ...     batch_size=1000,
        ...     rng_key=jax.random.key(2),
        ...     progress_bar=False,
        ... )
        >>> print(f"{fit.energy.coefficients[0, 0]:.1f}")
        2.0

    References:
        R. Jozefowicz, O. Vinyals, M. Schuster, N. Shazeer and Y. Wu (2016). Exploring the limits of
        language modeling. arXiv:1602.02410.
        Z. Ma and M. Collins (2018). Noise contrastive estimation and negative sampling for conditional
        models: consistency and statistical efficiency. *EMNLP*, 3698-3707.
    """

    consistent = True
    is_criterion = True

    source: NoiseSource

    def __init__(self, noise: Any, num_noise: int = 10, fresh_noise: bool = True) -> None:
        self.source = NoiseSource(noise, num_noise, fresh_noise)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, Contrast | None]:
        """Nothing is learned; the noise that stays is carried."""
        return None, self.source.init(energy, data, rng_key)

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Draw the noise."""
        contrast = self.source.draw(batch, carried, rng_key)
        return Prepared(
            contrast, carried, {"energy_gap": energy_gap(model, batch, contrast.points)}
        )

    def for_held_out(self, data: Batch, carried: Any, rng_key: PRNGKey) -> Contrast | None:
        """Noise that stays is drawn for the held-out examples too."""
        return self.source.stored(data, rng_key)

    def losses(self, model: Model, batch: Batch, sample: Contrast) -> Float[Array, " num_examples"]:
        """Negative log probability of picking each example among its candidates."""
        of_data, of_noise = energies_of_both(model, batch, sample.points)
        data_weights = -of_data - sample.log_noise_of_data
        noise_weights = -of_noise - sample.log_noise
        weights = jnp.concatenate([data_weights[:, None], noise_weights], axis=1)
        return logsumexp(weights, axis=1) - data_weights
