"""A neural network as a conditional energy."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._conditions import zero_condition
from ebm_ppl.energies._network import Perceptron, as_confinement, scalar_network
from ebm_ppl.energies._parameters import as_shape
from ebm_ppl.energies._supports import real_support
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


class NeuralConditionalEnergy(AbstractConditionalEnergy):
    r"""A multilayer perceptron $f_\theta$ of point and condition, with a term that confines the point.

    $$E(x \mid y) = f_\theta(x, y) + \frac{c}{2} \|x\|^2.$$

    It normalises for every $\theta$ and every $y$ if $c > 0$, for the reason given for
    [`NeuralEnergy`][ebm_ppl.energies.NeuralEnergy]; so does its guided energy, in which the
    confining terms add up to the same one.

    Args:
        event_shape: Shape of one point; points and conditions are flattened for the network.
        condition_shape: Shape of one condition.
        rng_key: Key for the initial weights.
        width: Number of units in each hidden layer.
        depth: Number of hidden layers.
        activation: `"silu"`, `"gelu"`, `"softplus"` or `"tanh"`.
        confinement: Strength $c \ge 0$ of the confining term.
        class_free: Whether the condition can be dropped. The null condition is then a parameter that
            starts at 0, which is no one-hot label; real conditions near 0 are best given with a
            constant 1 beside them.

    Attributes:
        network: The perceptron, whose weights are parameters.
        confinement: The constant $c$.
        null_condition: The condition that stands for none, or `None`.

    Raises:
        ValueError: If a size is no positive integer, `activation` is none of those, or
            `confinement` is negative or not finite.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralConditionalEnergy
        >>> key = jax.random.key(0)
        >>> energy = NeuralConditionalEnergy((2,), (3,), rng_key=key, class_free=True)
        >>> energy([0.5, -0.5], [0.0, 1.0, 0.0]).shape
        ()
        >>> energy.at(kept=False).event_shape  # the unconditional law
        (2,)
    """

    network: Perceptron
    null_condition: Float[Array, "..."] | None
    _event_shape: tuple[int, ...] = eqx.field(static=True)
    _condition_shape: tuple[int, ...] = eqx.field(static=True)
    confinement: float = eqx.field(static=True)
    noise_conditional = False

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...],
        *,
        rng_key: PRNGKey,
        width: int = 32,
        depth: int = 2,
        activation: str = "silu",
        confinement: float = 1.0,
        class_free: bool = False,
    ) -> None:
        self._event_shape = as_shape("event_shape", event_shape)
        self._condition_shape = as_shape("condition_shape", condition_shape)
        self.confinement = as_confinement(confinement)
        self.null_condition = zero_condition(self._condition_shape) if class_free else None
        self.network = scalar_network(
            math.prod(self._event_shape) + math.prod(self._condition_shape),
            rng_key=rng_key,
            width=width,
            depth=depth,
            activation=activation,
        )

    def __check_init__(self) -> None:
        as_confinement(self.confinement)

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

    def _energy(self, x: Event, y: Float[Array, "..."], sigma: None) -> Scalar:
        flat = jnp.ravel(x)
        joined = jnp.concatenate([flat, jnp.ravel(y)])
        return self.network(joined) + 0.5 * self.confinement * jnp.sum(flat**2)
