"""The restricted Boltzmann machine with binary visible and hidden units."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ebm_ppl._checks import check_count, check_interval, check_positive, is_traced
from ebm_ppl._processes import on_host
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._components import rotated_components
from ebm_ppl.energies._draws import draw_bernoulli
from ebm_ppl.energies._layers import check_layers, product
from ebm_ppl.energies._pairwise import check_weights
from ebm_ppl.energies.blockwise import AbstractLatentEnergy, AbstractLinearEnergy


class RestrictedBoltzmannMachine(AbstractLatentEnergy, AbstractLinearEnergy):
    r"""Free energy of binary visible units $v$ that are coupled to binary hidden units $h$.

    $$E(v, h) = -b^\top v - c^\top h - v^\top W h, \qquad
    E(v) = -b^\top v - \sum_j \log\left(1 + e^{c_j + (v^\top W)_j}\right),$$

    and given one layer the units of the other are independent:

    $$P(h_j = 1 \mid v) = \sigma\left(c_j + (v^\top W)_j\right), \qquad
    P(v_i = 1 \mid h) = \sigma\left(b_i + (W h)_i\right).$$

    Args:
        weights: Couplings $W$, shape `(visible, hidden)`.
        visible_bias: Biases $b$, shape `(visible,)`.
        hidden_bias: Biases $c$, shape `(hidden,)`.

    Raises:
        ValueError: If the shapes do not fit, a layer is empty, or an entry is not finite.

    Examples:
        >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
        >>> from ebm_ppl.partition import EnumerationNormalizer
        >>> machine = RestrictedBoltzmannMachine([[2.0], [-1.0]], [0.0, 0.5], [-0.5])
        >>> print(f"{machine([1.0, 1.0]):.4f} {EnumerationNormalizer()(machine):.4f}")
        -1.4741 2.6006

    References:
        Smolensky (1986). Information processing in dynamical systems: foundations of harmony theory.
        In: Parallel Distributed Processing, volume 1.
        Hinton (2002). Training products of experts by minimizing contrastive divergence. Neural
        Computation 14.
    """

    sweeps_batches: ClassVar[bool] = True

    weights: Float[Array, "visible hidden"] = eqx.field(converter=as_parameter)
    visible_bias: Float[Array, " visible"] = eqx.field(converter=as_parameter)
    hidden_bias: Float[Array, " hidden"] = eqx.field(converter=as_parameter)

    def __check_init__(self) -> None:
        check_layers(self.weights, self.visible_bias, self.hidden_bias)

    @classmethod
    def random(
        cls,
        rng_key: PRNGKey,
        num_visible: int,
        num_hidden: int,
        weight_scale: float = 0.01,
        visible_mean: Any = 0.5,
    ) -> "RestrictedBoltzmannMachine":
        r"""A machine to start training from: small random weights, and the marginals of the data.

        The weights are normal, the hidden biases 0, and the visible biases the log odds of the marginals.

        Args:
            rng_key: Random key.
            num_visible: Number of visible units.
            num_hidden: Number of hidden units.
            weight_scale: Standard deviation of the weights.
            visible_mean: Probability of each visible unit, strictly between 0 and 1: a number, or an
                array of shape `(visible,)` such as the smoothed means of the data.

        Returns:
            The machine.

        Raises:
            ValueError: If an argument is outside its bounds.

        Examples:
            >>> import jax
            >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
            >>> machine = RestrictedBoltzmannMachine.random(
            ...     jax.random.key(0), 6, 3, visible_mean=0.2
            ... )
            >>> machine.weights.shape, f"{machine.visible_bias[0]:.3f}"
            ((6, 3), '-1.386')

        References:
            Hinton (2012). A practical guide to training restricted Boltzmann machines, section 8. In:
            Neural Networks: Tricks of the Trade, second edition.
        """
        check_count("num_visible", num_visible)
        check_count("num_hidden", num_hidden)
        check_positive("weight_scale", weight_scale)
        if np.shape(visible_mean) not in ((), (num_visible,)):
            raise ValueError(
                f"Expected `visible_mean` of shape () or {(num_visible,)}; got {np.shape(visible_mean)}."
            )
        if not is_traced(visible_mean):
            mean = np.asarray(visible_mean, dtype=np.float64)
            if not np.all((mean > 0) & (mean < 1)):
                raise ValueError(f"`visible_mean` must be within (0, 1); got {visible_mean!r}.")
        mean = jnp.broadcast_to(as_parameter(visible_mean), (num_visible,))
        return cls(
            weight_scale * jax.random.normal(rng_key, (num_visible, num_hidden)),
            jax.scipy.special.logit(mean),
            jnp.zeros(num_hidden),
        )

    @classmethod
    def from_data(
        cls, data: Any, num_hidden: int, weight_scale: float = 3.0
    ) -> "RestrictedBoltzmannMachine":
        r"""A machine to start training from, whose hidden units see directions in which the data vary.

        With $u_k$ the principal components of the data and $\lambda_k$ the variances along them, the columns
        $\sqrt{\lambda_k}\, u_k$ are turned by varimax, so that each concerns few of the visible units, and
        multiplied by `weight_scale`. Biases are such that hidden units are undecided at the mean $\bar v$ of
        the data, smoothed by half an example, and the visible ones have their marginals at the mean of the
        hidden ones,
        $$c = -W^\top \bar v, \qquad b = \operatorname{logit}(\bar v) - \tfrac12 W \mathbf 1.$$

        Nothing about it is random. Random weights make all hidden units alike, and what breaks that tie is
        the noise of the first steps; fits from here end near one another.

        Args:
            data: Zeros and ones, shape `(num_examples, visible)`.
            num_hidden: Number of hidden units, at most that of examples and of visible units.
            weight_scale: Factor of the weights, positive.

        Returns:
            The machine.

        Raises:
            ValueError: If an argument is outside its bounds.

        Examples:
            >>> import numpy as np
            >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
            >>> data = np.repeat([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]], [4, 3, 3], axis=0)
            >>> machine = RestrictedBoltzmannMachine.from_data(data, 2)
            >>> bool(np.all(machine.weights[0] == machine.weights[1]))  # which are always alike
            True

        References:
            Kaiser (1958). The varimax criterion for analytic rotation in factor analysis. Psychometrika 23.
        """
        check_count("num_hidden", num_hidden)
        check_positive("weight_scale", weight_scale)
        points = on_host(data, np.float64)
        if points.ndim != 2 or 0 in points.shape or not np.all((points == 0) | (points == 1)):
            raise ValueError(
                "`data` must be zeros and ones of shape (num_examples, visible); got shape "
                f"{points.shape} with values from {np.min(points, initial=np.inf)} to "
                f"{np.max(points, initial=-np.inf)}."
            )
        check_interval("num_hidden", num_hidden, 1.0, float(min(points.shape)), closed=True)
        weights = weight_scale * rotated_components(points, num_hidden)
        mean = (points.sum(axis=0) + 0.5) / (len(points) + 1)
        visible_bias = np.log(mean) - np.log1p(-mean) - 0.5 * weights.sum(axis=1)
        return cls(weights, visible_bias, -mean @ weights)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(visible,)`."""
        return self.visible_bias.shape

    @property
    def support(self) -> constraints.Constraint:
        """Vectors of zeros and ones."""
        return constraints.independent(constraints.boolean, 1)

    def visible_energy(self, x: Event) -> Scalar:
        r"""Energy $-b^\top v$ of the visible units while all hidden ones are 0."""
        return -product(x, self.visible_bias)

    def hidden_logits(self, x: Event) -> Float[Array, "*points hidden"]:
        r"""Log odds $c + v^\top W$ of the hidden units given the visible ones, shape `(hidden,)`."""
        return self.hidden_bias + product(x, self.weights)

    def visible_logits(
        self, hidden: Float[Array, "*points hidden"]
    ) -> Float[Array, "*points visible"]:
        r"""Log odds $b + W h$ of the visible units given the hidden ones, shape `(visible,)`."""
        return self.visible_bias + product(hidden, self.weights.T)

    @eqx.filter_jit
    def sample_hidden(self, rng_key: PRNGKey, x: Event) -> Float[Array, "*points hidden"]:
        """Draw the hidden units given the visible ones, shape `(hidden,)`; of a batch by one key."""
        return draw_bernoulli(rng_key, self.hidden_logits(x))

    @eqx.filter_jit
    def sample_visible(self, rng_key: PRNGKey, hidden: Float[Array, "*points hidden"]) -> Event:
        """Draw the visible units given the hidden ones, shape `(visible,)`; of a batch by one key."""
        return draw_bernoulli(rng_key, self.visible_logits(hidden))

    def uncoupled(self, fields: Any = 0.0) -> "RestrictedBoltzmannMachine":
        """The machine without couplings, of other visible biases, shape `(visible,)` or one for all."""
        check_weights("fields", as_parameter(fields), self.event_shape)
        return RestrictedBoltzmannMachine(
            jnp.zeros_like(self.weights),
            jnp.broadcast_to(as_parameter(fields), self.event_shape),
            jnp.zeros_like(self.hidden_bias),
        )

    @property
    def log_z_uncoupled(self) -> Scalar:
        """Log partition function of independent units of both layers."""
        softplus = jax.nn.softplus
        return jnp.sum(softplus(self.visible_bias)) + jnp.sum(softplus(self.hidden_bias))

    @property
    def hidden_marginal(self) -> "RestrictedBoltzmannMachine":
        """Free energy of the hidden units: the machine with its layers exchanged."""
        return RestrictedBoltzmannMachine(self.weights.T, self.hidden_bias, self.visible_bias)
