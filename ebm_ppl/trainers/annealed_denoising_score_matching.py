"""Denoising score matching at all noise levels at once, for noise-conditional energies."""

import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import Distribution

from ebm_ppl._checks import check_finite, check_interval
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractConditionalEnergy
from ebm_ppl.energies._described import described
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, levels_are_open, per_example
from ebm_ppl.trainers._denoising import Noise, denoising_loss
from ebm_ppl.trainers._derivatives import check_no_boundary


class AnnealedDenoisingScoreMatching(AbstractObjective):
    r"""Denoising score matching over a range of noise levels, for a noise-conditional energy.

    Every example draws its own level $\sigma$, and with $\tilde x = x + \sigma \xi$, $\xi \sim N(0, I)$,
    $$\ell(\theta; x) = \sigma^2 \left[\tfrac12 \|\nabla E_{\theta, \sigma}(\tilde x)\|^2
    - \nabla E_{\theta, \sigma}(\tilde x) \cdot \frac{\xi}{\sigma}\right]
    = \tfrac12 \left\|\sigma \nabla E_{\theta, \sigma}(\tilde x) - \xi\right\|^2 - \tfrac12 \|\xi\|^2.$$
    The minimiser $E_\sigma$ is, at every level, the energy of the data under noise of that level. Strong
    noise joins the modes, and so teaches their weights, to which score matching alone is blind; weak noise
    teaches the detail. It is the draws that learn weights, on their way from strong noise to weak; the fitted
    energy at a weak level alone may have any, since between modes there are no examples to teach it.
    [`annealed_langevin`][ebm_ppl.samplers.annealed_langevin.annealed_langevin] draws
    from the result.

    **Why $\sigma^2$**: with it the loss has the same magnitude at every level, and if $\log \sigma$ is
    uniform, its excess over the minimum bounds the divergence of the data, under the least noise, from what
    the reverse diffusion draws, up to a constant factor. It says little about weak noise, however; where the
    energy at the lowest level is wanted as that of the data, a `weight_floor` $w > 0$ makes the factor
    $\sigma^2 + w$, which near the data is that of the Fisher divergence. The variance within a mode is of the
    right order for $w$.

    Args:
        noise_scales: Levels $\sigma$, shape `(num_levels,)`, each as likely as another, such as
            `jnp.geomspace(10.0, 0.01, 20)`; or a NumPyro distribution of $\sigma$ with an `icdf`, such as
            `dist.LogUniform(0.01, 10.0)`, for levels in between as well. The largest should exceed the
            distances between modes, the smallest be well below the finest detail.
        antithetic: Whether each example is seen with both signs of its noise, see
            [`DenoisingScoreMatching`][ebm_ppl.trainers.DenoisingScoreMatching].
        weight_floor: What is added to the weight $\sigma^2$ of each level, at least 0.

    Raises:
        ValueError: If the levels are not positive, the distribution has no `icdf`, or `weight_floor` is
            negative or not finite; when the fit begins, if the energy is not noise-conditional or its
            support has a boundary.

    Examples:
        >>> import jax, numpyro.distributions as dist, optax
        >>> import ebm_ppl as ebm
        >>> data = jax.random.normal(jax.random.key(0), (500, 2))
        >>> energy = ebm.energies.NeuralNoiseConditionalEnergy(
        ...     (2,), rng_key=jax.random.key(1), width=8, depth=1
        ... )
        >>> fit = ebm.fit(
        ...     energy,
        ...     data,
        ...     ebm.AnnealedDenoisingScoreMatching(dist.LogUniform(0.05, 5.0)),
        ...     optax.adam(1e-3),
        ...     num_steps=10,
        ...     rng_key=jax.random.key(2),
        ...     progress_bar=False,
        ... )
        >>> fit.energy.at(sigma=0.1)([0.5, -0.5]).shape
        ()

    References:
        Y. Song and S. Ermon (2019). Generative modeling by estimating gradients of the data distribution.
        *NeurIPS* 32.
        Y. Song, C. Durkan, I. Murray and S. Ermon (2021). Maximum likelihood training of score-based
        diffusion models. *NeurIPS* 34 (the bound).
        D. P. Kingma, T. Salimans, B. Poole and J. Ho (2021). Variational diffusion models. *NeurIPS* 34
        (levels of low discrepancy).
    """

    # At each level the law is that of the data under noise.
    consistent = False
    is_criterion = True
    adds_noise = True

    noise_scales: Distribution | Float[Array, " num_levels"]
    antithetic: bool = eqx.field(static=True)
    weight_floor: float = eqx.field(static=True)

    def __init__(
        self, noise_scales: Any, antithetic: bool = True, weight_floor: float = 0.0
    ) -> None:
        self.noise_scales = _as_levels(noise_scales)
        self.antithetic = antithetic
        check_interval("weight_floor", weight_floor, 0.0, sys.float_info.max, closed=True)
        self.weight_floor = float(weight_floor)

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, None]:
        """Nothing is learned or carried; the energy must be noise-conditional."""
        if not levels_are_open(energy, data):
            raise ValueError(
                f"`energy` must be noise-conditional for {self.name}; got {described(energy)}, which "
                "`DenoisingScoreMatching` fits at one level."
            )
        check_no_boundary(energy)
        return None, None

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Draw a level and noise for each example."""
        key_level, key_direction = jax.random.split(rng_key)
        direction = jax.random.normal(key_direction, batch.x.shape, batch.x.dtype)
        return Prepared(Noise(self._levels(key_level, batch), direction), carried, {})

    def losses(self, model: Model, batch: Batch, sample: Noise) -> Float[Array, " num_examples"]:
        """Weighted denoising loss of each example at its level."""

        def loss(energy: AbstractConditionalEnergy, x: Event, noise: Noise) -> Scalar:
            weight = noise.scale**2 + self.weight_floor
            return weight * denoising_loss(energy, x, noise, self.antithetic)

        return per_example(loss, model.energy, batch, sample)

    def _levels(self, rng_key: PRNGKey, batch: Batch) -> Float[Array, " num_examples"]:
        # Equidistant quantiles under a common random shift: each is uniform by itself, and together
        # they leave no gap, which takes the choice of levels out of the variance of the mean loss.
        count, dtype = batch.num_examples, batch.x.dtype
        shift = jax.random.uniform(rng_key, dtype=dtype)
        quantiles = (jnp.arange(count, dtype=dtype) / count + shift) % 1
        if isinstance(self.noise_scales, Distribution):
            rounding = jnp.finfo(dtype).eps  # the quantile of 0 may be no level
            quantiles = jnp.clip(quantiles, rounding, 1 - rounding)
            return jnp.asarray(self.noise_scales.icdf(quantiles), dtype=dtype)
        last = len(self.noise_scales) - 1
        numbers = jnp.minimum((quantiles * len(self.noise_scales)).astype(int), last)
        return self.noise_scales.astype(dtype)[numbers]


def _as_levels(noise_scales: Any) -> Distribution | Array:
    """Read a ladder of levels, or a distribution of them."""
    if isinstance(noise_scales, Distribution):
        if noise_scales.batch_shape or noise_scales.event_shape:
            raise ValueError(
                f"`noise_scales` must be a distribution of one number; got {noise_scales!r}."
            )
        try:
            quantiles = np.asarray(noise_scales.icdf(jnp.array([0.001, 0.5])))
        except NotImplementedError:
            raise ValueError(
                f"`noise_scales` must be a distribution with an `icdf`; got {noise_scales!r}."
            ) from None
        if not (quantiles > 0).all():
            raise ValueError(f"`noise_scales` must be positive; got {noise_scales!r}.")
        return noise_scales
    check_finite("noise_scales", noise_scales)
    levels = jnp.asarray(noise_scales, dtype=float)
    if levels.ndim != 1 or levels.size == 0 or not bool((levels > 0).all()):
        raise ValueError(
            f"`noise_scales` must be a vector of numbers above 0; got {noise_scales!r}."
        )
    return levels
