"""The restricted Boltzmann machine with real visible and binary hidden units."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_count, check_finite, check_positive
from ebm_ppl._random import fast_key
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._base import AbstractEnergy, as_parameter
from ebm_ppl.energies._draws import draw_bernoulli
from ebm_ppl.energies._layers import check_layers, product
from ebm_ppl.energies._unbatched import check_unbatched
from ebm_ppl.energies.blockwise import AbstractLatentEnergy


class GaussianBernoulliRBM(AbstractLatentEnergy):
    r"""Free energy of real visible units $v$ that are coupled to binary hidden units $h$.

    With the scales $s_i = e^{\lambda_i}$ of the visible units,

    $$E(v, h) = \sum_i \frac{(v_i - b_i)^2}{2 s_i^2} - c^\top h - \sum_{ij} \frac{v_i}{s_i^2} W_{ij} h_j,$$
    $$E(v) = \sum_i \frac{(v_i - b_i)^2}{2 s_i^2}
    - \sum_j \log\left(1 + e^{c_j + \sum_i v_i W_{ij} / s_i^2}\right),$$

    and given one layer the units of the other are independent:

    $$P(h_j = 1 \mid v) = \sigma\Big(c_j + \sum_i \frac{v_i}{s_i^2} W_{ij}\Big), \qquad
    v \mid h \sim N\left(b + W h, \operatorname{diag}(s^2)\right).$$

    It is a mixture of $2^n$ normal laws for $n$ hidden units.

    Args:
        weights: Couplings $W$, shape `(visible, hidden)`.
        visible_bias: Biases $b$, shape `(visible,)`.
        hidden_bias: Biases $c$, shape `(hidden,)`.
        log_scale: Logarithms $\lambda$ of the visible units' scales, shape `(visible,)`; `None` for zeros.

    Raises:
        ValueError: If the shapes do not fit, a layer is empty, or an entry is not finite.

    Examples:
        >>> from ebm_ppl.energies import GaussianBernoulliRBM
        >>> from ebm_ppl.partition import EnumerationNormalizer
        >>> machine = GaussianBernoulliRBM([[1.0], [-2.0]], [0.0, 1.0], [-0.5])
        >>> print(f"{machine([1.0, 1.0]):.4f} {EnumerationNormalizer()(machine):.4f}")
        0.2986 2.5310

    References:
        Cho, Ilin & Raiko (2011). Improved learning of Gaussian-Bernoulli restricted Boltzmann machines.
        International Conference on Artificial Neural Networks.
    """

    sweeps_batches: ClassVar[bool] = True

    weights: Float[Array, "visible hidden"]
    visible_bias: Float[Array, " visible"]
    hidden_bias: Float[Array, " hidden"]
    log_scale: Float[Array, " visible"]

    def __init__(
        self, weights: Any, visible_bias: Any, hidden_bias: Any, log_scale: Any = None
    ) -> None:
        self.weights = as_parameter(weights)
        self.visible_bias = as_parameter(visible_bias)
        self.hidden_bias = as_parameter(hidden_bias)
        self.log_scale = as_parameter(
            np.zeros(np.shape(visible_bias)) if log_scale is None else log_scale
        )

    def __check_init__(self) -> None:
        check_layers(self.weights, self.visible_bias, self.hidden_bias)
        check_unbatched("log_scale", self.log_scale, self.visible_bias.shape)
        check_finite("log_scale", self.log_scale)

    @classmethod
    def random(
        cls, rng_key: PRNGKey, num_visible: int, num_hidden: int, weight_scale: float = 0.01
    ) -> "GaussianBernoulliRBM":
        """A machine to start training from, for standardised data: small random weights, no biases.

        Args:
            rng_key: Random key.
            num_visible: Number of visible units.
            num_hidden: Number of hidden units.
            weight_scale: Standard deviation of the weights.

        Returns:
            The machine.

        Raises:
            ValueError: If an argument is outside its bounds.
        """
        check_count("num_visible", num_visible)
        check_count("num_hidden", num_hidden)
        check_positive("weight_scale", weight_scale)
        weights = weight_scale * jax.random.normal(rng_key, (num_visible, num_hidden))
        return cls(weights, jnp.zeros(num_visible), jnp.zeros(num_hidden))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(visible,)`."""
        return self.visible_bias.shape

    @property
    def support(self) -> constraints.Constraint:
        """All real vectors."""
        return constraints.real_vector

    @property
    def _precision(self) -> Float[Array, " visible"]:
        return jnp.exp(-2 * self.log_scale)

    def visible_energy(self, x: Event) -> Scalar:
        """Energy of the visible units while all hidden ones are 0, that of independent normal laws."""
        return 0.5 * jnp.sum((x - self.visible_bias) ** 2 * self._precision)

    def hidden_logits(self, x: Event) -> Float[Array, "*points hidden"]:
        """Log odds of the hidden units given the visible ones, shape `(hidden,)`."""
        return self.hidden_bias + product(x * self._precision, self.weights)

    def visible_mean(
        self, hidden: Float[Array, "*points hidden"]
    ) -> Float[Array, "*points visible"]:
        """Mean $b + W h$ of the visible units given the hidden ones, shape `(visible,)`."""
        return self.visible_bias + product(hidden, self.weights.T)

    @eqx.filter_jit
    def sample_hidden(self, rng_key: PRNGKey, x: Event) -> Float[Array, "*points hidden"]:
        """Draw the hidden units given the visible ones, shape `(hidden,)`; of a batch by one key."""
        return draw_bernoulli(rng_key, self.hidden_logits(x))

    @eqx.filter_jit
    def sample_visible(self, rng_key: PRNGKey, hidden: Float[Array, "*points hidden"]) -> Event:
        """Draw the visible units given the hidden ones, shape `(visible,)`; of a batch by one key."""
        mean = self.visible_mean(hidden)
        noise = jax.random.normal(fast_key(rng_key), mean.shape, mean.dtype)
        return mean + jnp.exp(self.log_scale) * noise

    @property
    def hidden_marginal(self) -> AbstractEnergy:
        r"""Energy of the hidden units, in closed form.

        $$E(h) = -c^\top h - \sum_i \frac{(b + W h)_i^2 - b_i^2}{2 s_i^2} - \sum_i \log(s_i \sqrt{2 \pi})$$
        """
        return _HiddenUnits(self)


class _HiddenUnits(AbstractEnergy):
    """What is left of a Gaussian-Bernoulli machine when its visible units are integrated out."""

    machine: GaussianBernoulliRBM

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.machine.hidden_bias.shape

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.boolean, 1)

    def _energy(self, x: Event) -> Scalar:
        machine = self.machine
        shift = product(machine.weights, x)
        # (b + Wh)^2 - b^2 without the cancellation of large squares.
        gain = 0.5 * jnp.sum(shift * (shift + 2 * machine.visible_bias) * machine._precision)
        volume = jnp.sum(machine.log_scale) + 0.5 * shift.size * math.log(2 * math.pi)
        return -product(x, machine.hidden_bias) - gain - volume
