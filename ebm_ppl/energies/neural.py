"""A neural network as an energy, held together by a quadratic confinement."""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import constraints

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._network import Perceptron, as_confinement, scalar_network
from ebm_ppl.energies._parameters import as_shape
from ebm_ppl.energies._supports import real_support


class NeuralEnergy(AbstractEnergy):
    r"""A multilayer perceptron $f_\theta$ with a quadratic confining term.

    $$E(x) = f_\theta(x) + \frac{c}{2} \|x\|^2.$$

    **Normalisable for every $\theta$ if $c > 0$**: all the activations on offer are smooth and grow
    at most linearly, hence $|f_\theta(x)| \le A + B \|x\|$ with finite $A$ and $B$, and the
    quadratic term wins. For this reason $c$ is a constant and not a parameter: training cannot lose
    the normalisation. With $c = 0$ the energy need not be normalisable, and quadrature refuses it
    where it is not.

    The last layer has no bias, since $Z$ would absorb it.

    Args:
        event_shape: Shape of one point; it is flattened for the network.
        rng_key: Key for the initial weights.
        width: Number of units in each hidden layer.
        depth: Number of hidden layers.
        activation: `"silu"`, `"gelu"`, `"softplus"` or `"tanh"`.
        confinement: Strength $c \ge 0$ of the confining term; at 1 it is a standard normal law.

    Attributes:
        network: The perceptron, whose weights are the parameters.
        confinement: The constant $c$.

    Raises:
        ValueError: If a size is no positive integer, `activation` is none of those, or
            `confinement` is negative or not finite.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralEnergy
        >>> energy = NeuralEnergy((2,), rng_key=jax.random.key(0), width=8, depth=1)
        >>> energy([0.5, -0.5]).shape
        ()
        >>> len(jax.tree.leaves(energy))  # two weight matrices and the hidden layer's bias
        3

    References:
        S. Elfwing, E. Uchibe and K. Doya (2018). Sigmoid-weighted linear units for neural network
        function approximation in reinforcement learning. *Neural Networks* 107, 3-11.
    """

    network: Perceptron
    _event_shape: tuple[int, ...] = eqx.field(static=True)
    confinement: float = eqx.field(static=True)

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        rng_key: PRNGKey,
        width: int = 32,
        depth: int = 2,
        activation: str = "silu",
        confinement: float = 1.0,
    ) -> None:
        self._event_shape = as_shape("event_shape", event_shape)
        self.confinement = as_confinement(confinement)
        self.network = scalar_network(
            self.event_size, rng_key=rng_key, width=width, depth=depth, activation=activation
        )

    def __check_init__(self) -> None:
        as_confinement(self.confinement)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self._event_shape

    @property
    def support(self) -> constraints.Constraint:
        """All real arrays of shape `event_shape`."""
        return real_support(self.event_shape)

    def _energy(self, x: Event) -> Scalar:
        flat = jnp.ravel(x)
        return self.network(flat) + 0.5 * self.confinement * jnp.sum(flat**2)
