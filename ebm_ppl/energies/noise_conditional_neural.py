"""A neural network as the energy of data under noise of every strength, with or without a condition."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_positive
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._conditions import zero_condition
from ebm_ppl.energies._network import Perceptron, scalar_network
from ebm_ppl.energies._parameters import as_shape, as_shape_or_none
from ebm_ppl.energies._supports import real_support
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


class NeuralNoiseConditionalEnergy(AbstractConditionalEnergy):
    r"""The normal law of data and noise together, corrected by a perceptron $f_\theta$.

    With the data's standard deviation $s$ and the total one $\tau = \sqrt{s^2 + \sigma^2}$,

    $$E_\sigma(x) = \frac{\|u\|^2}{2} + \frac{s}{\tau}\,
    f_\theta\!\left(u, \frac{4 \sigma^2}{\tau^2}\right), \qquad u = \frac{x}{\tau}.$$

    **Why these factors.** The network's input $u$ has variance 1 at every level, and the denoiser that
    belongs to the energy is

    $$x - \sigma^2 \nabla E_\sigma(x) = \frac{s^2}{\tau^2}\, x - \frac{\sigma^2 s}{\tau^2}\,
    \nabla_u f_\theta.$$

    For noise as strong as the data or stronger this is the preconditioning of Karras et al., in which
    the network regresses on a target of order 1 whatever $\sigma$ is: their factor is $\sigma s / \tau$.
    For weak noise theirs would be larger by $\tau / \sigma$, which suits data without a density, such as
    images on a manifold. Here the law itself is wanted, and $E_\sigma$ tends to the energy of the
    data: with the factor above $f_\theta$ tends to a function of $x$ alone, while with theirs it would
    have to vanish in proportion to $\sigma$. With $f_\theta = 0$ the energy is that of normal data.

    **Why $\sigma^2$ and not $\log \sigma$.** The density at level $\sigma$ solves the heat equation,
    $\partial p / \partial (\sigma^2) = \frac12 \Delta p$, so $E_\sigma$ is smooth in $\sigma^2$ down to the
    data. The weights of separate modes are learnt where noise joins them, and weak noise does not see them:
    what carries them down to the data is that the network hardly changes on the way, while over $\log
    \sigma$ there is room for them to drift. The price is that levels far below $s / 100$ look alike to the
    network.

    **Normalisable for every $\theta$ and every $\sigma$**: $f_\theta$ grows at most linearly in $x$,
    and the quadratic term, whose strength $1 / \tau^2 > 0$ is no parameter, outgrows it.

    With a condition, $E_\sigma(x \mid y)$ has $f_\theta(u, 4 \sigma^2 / \tau^2, y)$ in its place, and
    normalises for every $y$ and under guidance too.

    Args:
        event_shape: Shape of one point; points and conditions are flattened for the network.
        condition_shape: Shape of one condition; `None` for an energy without one.
        rng_key: Key for the initial weights.
        width: Number of units in each hidden layer.
        depth: Number of hidden layers.
        activation: `"silu"`, `"gelu"`, `"softplus"` or `"tanh"`.
        data_scale: Standard deviation $s > 0$ of a coordinate of the data, which should be centred.
        class_free: Whether the condition can be dropped; the null condition is then a parameter that
            starts at 0, as that of `NeuralConditionalEnergy`.

    Attributes:
        network: The perceptron, whose weights are parameters.
        data_scale: The constant $s$.
        null_condition: The condition that stands for none, or `None`.

    Raises:
        ValueError: If a size is no positive integer, `activation` is none of those, `data_scale` is no
            positive number, or a condition can be dropped that is not there.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralNoiseConditionalEnergy
        >>> energy = NeuralNoiseConditionalEnergy((2,), rng_key=jax.random.key(0), data_scale=2.0)
        >>> energy.at(sigma=0.1)([0.5, -0.5]).shape
        ()

    References:
        T. Karras, M. Aittala, T. Aila and S. Laine (2022). Elucidating the design space of
        diffusion-based generative models. *NeurIPS*; equation 7 and Table 1.
    """

    network: Perceptron
    null_condition: Float[Array, "..."] | None
    _event_shape: tuple[int, ...] = eqx.field(static=True)
    _condition_shape: tuple[int, ...] | None = eqx.field(static=True)
    data_scale: float = eqx.field(static=True)
    noise_conditional = True

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...] | None = None,
        *,
        rng_key: PRNGKey,
        width: int = 32,
        depth: int = 2,
        activation: str = "silu",
        data_scale: Any = 1.0,
        class_free: bool = False,
    ) -> None:
        self._event_shape = as_shape("event_shape", event_shape)
        self._condition_shape = as_shape_or_none("condition_shape", condition_shape)
        check_positive("data_scale", data_scale)
        self.data_scale = float(data_scale)
        self.null_condition = zero_condition(self._condition_shape) if class_free else None
        num_conditions = 0 if self._condition_shape is None else math.prod(self._condition_shape)
        self.network = scalar_network(
            math.prod(self._event_shape) + 1 + num_conditions,
            rng_key=rng_key,
            width=width,
            depth=depth,
            activation=activation,
        )

    def __check_init__(self) -> None:
        check_positive("data_scale", self.data_scale)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self._event_shape

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Shape of one condition, or `None`."""
        return self._condition_shape

    @property
    def support(self) -> constraints.Constraint:
        """All real arrays of shape `event_shape`."""
        return real_support(self.event_shape)

    def _energy(self, x: Event, y: Float[Array, "..."] | None, sigma: Scalar) -> Scalar:
        ratio = sigma / self.data_scale
        total = jnp.hypot(1.0, ratio)  # in units of the data's scale
        u = jnp.ravel(x) / (self.data_scale * total)
        level = 4.0 * (ratio / total) ** 2  # in units in which the network takes other inputs
        conditions = [] if y is None else [jnp.ravel(y)]
        correction = self.network(jnp.concatenate([u, level[None], *conditions]))
        return 0.5 * jnp.sum(u**2) + correction / total
