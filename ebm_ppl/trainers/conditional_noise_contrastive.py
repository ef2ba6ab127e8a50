"""Conditional noise-contrastive estimation: each example against perturbed copies of itself."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_shape, is_traced
from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import as_parameter
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._contrast import energies_of_both, energy_gap


class ConditionalNoiseContrastive(AbstractObjective):
    r"""Conditional noise-contrastive estimation, with Gaussian noise about the data.

    Beside every example $x_i$ stand $\kappa$ points $\tilde x_{ij} = x_i + \varepsilon\, \xi_{ij}$ with
    standard normal $\xi_{ij}$. Since the noise is symmetric, its density cancels, and so does $Z$:
    $$\ell_i(\theta) = \frac{2}{\kappa} \sum_{j=1}^\kappa
    \log\left(1 + e^{E_\theta(x_i) - E_\theta(\tilde x_{ij})}\right).$$

    No noise distribution has to be chosen but a scale. As it tends to 0,
    $$\frac{2}{\varepsilon^2} \left(\mathbb{E}_\xi\, \ell - 2 \log 2\right) \to
    \tfrac12 \|\nabla_x E_\theta\|^2 - \operatorname{tr} \nabla_x^2 E_\theta,$$
    the loss of score matching, and like it this objective is then blind to the weights of modes which
    the noise does not connect.

    Args:
        noise_scale: Standard deviation $\varepsilon$ of the noise, a positive number or an array of the
            energy's `event_shape`.
        num_noise: Number $\kappa$ of noise points per example.

    Raises:
        ValueError: If `noise_scale` is not positive and finite or `num_noise` no positive integer; when
            the fit begins, if the shape of `noise_scale` is not the energy's.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.trainers import ConditionalNoiseContrastive, Model, as_batch
        >>> energy = Quartic()
        >>> data = as_batch(energy, jnp.array([1.0]))
        >>> objective = ConditionalNoiseContrastive(noise_scale=0.5)
        >>> loss = objective.losses(Model(energy), data, jnp.array([[-1.0]]))  # of equal energy
        >>> print(f"{loss[0]:.4f} = 2 log 2")
        1.3863 = 2 log 2

    References:
        C. Ceylan and M. U. Gutmann (2018). Conditional noise-contrastive estimation of unnormalised
        models. *International Conference on Machine Learning* 35, 726-734.
    """

    consistent = True
    is_criterion = True

    noise_scale: Float[Array, "..."] = eqx.field(converter=as_parameter)
    num_noise: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_count("num_noise", self.num_noise)
        scale = self.noise_scale
        if not is_traced(scale) and not bool(np.all(np.isfinite(scale) & (np.asarray(scale) > 0))):
            raise ValueError(f"`noise_scale` must be finite and above 0; got {scale!r}.")

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, None]:
        """Nothing is learned or carried; the scale has to fit the energy."""
        if self.noise_scale.ndim:
            check_shape("noise_scale", self.noise_scale, energy.event_shape)
        return None, None

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Draw the points beside each example."""
        count, *event_shape = batch.x.shape
        noise = jax.random.normal(rng_key, (count, self.num_noise, *event_shape), batch.x.dtype)
        points = batch.x[:, None] + self.noise_scale.astype(batch.x.dtype) * noise
        return Prepared(points, carried, {"energy_gap": energy_gap(model, batch, points)})

    def losses(
        self, model: Model, batch: Batch, sample: Float[Array, "num_examples num_noise *event"]
    ) -> Float[Array, " num_examples"]:
        """Twice the mean logistic loss of telling each example from its perturbed copies."""
        of_data, of_noise = energies_of_both(model, batch, sample)
        return 2.0 * jnp.mean(jax.nn.softplus(of_data[:, None] - of_noise), axis=1)
