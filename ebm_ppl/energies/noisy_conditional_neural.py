"""A neural network as the conditional energy of data under noise of every strength."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_positive
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._network import Perceptron, scalar_network
from ebm_ppl.energies._parameters import as_shape
from ebm_ppl.energies._preconditioning import preconditioned
from ebm_ppl.energies._supports import real_support
from ebm_ppl.energies.noisy_conditional import AbstractNoisyConditionalEnergy


class NeuralNoisyConditionalEnergy(AbstractNoisyConditionalEnergy):
    r"""The energy of `NeuralNoiseConditionalEnergy` with a condition among the network's inputs.

    $$E_\sigma(x \mid y) = \frac{\|u\|^2}{2} + \frac{s}{\tau}\,
    f_\theta\!\left(u, \frac{4 \sigma^2}{\tau^2}, y\right), \qquad u = \frac{x}{\tau}, \quad
    \tau = \sqrt{s^2 + \sigma^2}.$$

    It normalises for every $\theta$, $y$ and $\sigma$, under guidance too, and is scaled as is explained
    for [`NeuralNoiseConditionalEnergy`][ebm_ppl.energies.NeuralNoiseConditionalEnergy].

    Args:
        event_shape: Shape of one point; points and conditions are flattened for the network.
        condition_shape: Shape of one condition.
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
        ValueError: If a size is no positive integer, `activation` is none of those, or
            `data_scale` is no positive number.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralNoisyConditionalEnergy
        >>> energy = NeuralNoisyConditionalEnergy((2,), (3,), rng_key=jax.random.key(0))
        >>> energy([0.5, -0.5], [0.0, 1.0, 0.0], 0.1).shape
        ()
    """

    network: Perceptron
    null_condition: Float[Array, "..."] | None
    _event_shape: tuple[int, ...] = eqx.field(static=True)
    _condition_shape: tuple[int, ...] = eqx.field(static=True)
    data_scale: float = eqx.field(static=True)

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...],
        *,
        rng_key: PRNGKey,
        width: int = 32,
        depth: int = 2,
        activation: str = "silu",
        data_scale: Any = 1.0,
        class_free: bool = False,
    ) -> None:
        self._event_shape = as_shape("event_shape", event_shape)
        self._condition_shape = as_shape("condition_shape", condition_shape)
        check_positive("data_scale", data_scale)
        self.data_scale = float(data_scale)
        self.null_condition = jnp.zeros(self._condition_shape) if class_free else None
        self.network = scalar_network(
            math.prod(self._event_shape) + 1 + math.prod(self._condition_shape),
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
    def condition_shape(self) -> tuple[int, ...]:
        """Shape of one condition."""
        return self._condition_shape

    @property
    def support(self) -> constraints.Constraint:
        """All real arrays of shape `event_shape`."""
        return real_support(self.event_shape)

    def _energy(self, x: Event, y: Float[Array, "..."], sigma: Scalar) -> Scalar:
        return preconditioned(self.network, x, sigma, self.data_scale, y)
