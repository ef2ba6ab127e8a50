"""The path along which restricted Boltzmann machines are annealed: their couplings are turned on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.annealing._path import AbstractPath
from ebm_ppl.energies import RestrictedBoltzmannMachine, as_parameter


class RestrictedBoltzmannPath(AbstractPath):
    r"""Restricted Boltzmann machines from independent visible units to a given machine.

    The machine at $\beta$ has the couplings $\beta W$, the hidden biases $\beta c$ and the visible biases
    $(1 - \beta) a + \beta b$, where $a$ are the log odds of the base law:
    $$f_\beta(v) = e^{((1 - \beta) a + \beta b)^\top v}
    \prod_j \left(1 + e^{\beta (c_j + (v^\top W)_j)}\right).$$
    It is the geometric path of both layers together, $f_\beta(v, h)$, with the hidden units summed out, so
    Gibbs sweeps serve everywhere on it.

    Args:
        machine: The machine at $\beta = 1$.
        visible_mean: Probability of each visible unit under the base law, strictly between 0 and 1: a
            number, or an array of shape `(visible,)` such as the smoothed means of the data, which is
            much nearer to a trained machine than fair coins.

    Raises:
        ValueError: If `visible_mean` has another shape or is not within its bounds.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.annealing import RestrictedBoltzmannPath
        >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
        >>> machine = RestrictedBoltzmannMachine([[2.0], [-1.0]], [0.0, 0.5], [-0.5])
        >>> path = RestrictedBoltzmannPath(machine, visible_mean=[0.5, 0.75])
        >>> print(f"{path.log_z_base:.4f}")  # log 2 + log 4 + log 2
        2.7726
        >>> path.at(jnp.array(0.5)).weights[:, 0]
        Array([ 1. , -0.5], dtype=float32)

    References:
        R. Salakhutdinov and I. Murray (2008). On the quantitative analysis of deep belief networks.
        *ICML* 25, section 4.1.
    """

    machine: RestrictedBoltzmannMachine
    base_bias: Float[Array, " visible"]

    def __init__(self, machine: RestrictedBoltzmannMachine, visible_mean: Any = 0.5) -> None:
        if np.shape(visible_mean) not in ((), machine.event_shape):
            raise ValueError(
                f"Expected `visible_mean` of shape () or {machine.event_shape}; got "
                f"{np.shape(visible_mean)}."
            )
        mean = as_parameter(visible_mean)
        # In NumPy: under `jit` a comparison by JAX would be traced, whatever it compares.
        if not is_traced(mean) and not np.all((np.asarray(mean) > 0) & (np.asarray(mean) < 1)):
            raise ValueError(f"`visible_mean` must be within (0, 1); got {visible_mean!r}.")
        self.machine = machine
        self.base_bias = jnp.broadcast_to(jax.scipy.special.logit(mean), machine.event_shape)

    @property
    def energy(self) -> RestrictedBoltzmannMachine:
        """The machine at the end of the path."""
        return self.machine

    @property
    def log_z_base(self) -> Scalar:
        """Log partition function of independent visible units and fair hidden ones."""
        hidden = len(self.machine.hidden_bias)
        return jnp.sum(jax.nn.softplus(self.base_bias)) + hidden * jnp.log(2.0)

    def sample_base(self, rng_key: PRNGKey, count: int) -> Float[Array, "count *event"]:
        """Draw independent visible units."""
        shape = (count, *self.machine.event_shape)
        mean = jax.nn.sigmoid(self.base_bias)
        return jax.random.bernoulli(rng_key, mean, shape).astype(self.base_bias.dtype)

    def at(self, inverse_temperature: Scalar) -> RestrictedBoltzmannMachine:
        r"""The machine at $\beta$."""
        machine, share = self.machine, inverse_temperature
        return RestrictedBoltzmannMachine(
            share * machine.weights,
            (1 - share) * self.base_bias + share * machine.visible_bias,
            share * machine.hidden_bias,
        )

    def log_ratio(self, x: Event, start: Scalar, end: Scalar) -> Scalar:
        r"""Log weight of a step.

        The hidden units' inputs are computed at the larger $\beta$, and scale from there: going up, that is
        where the next sweep needs them too, and the compiler computes them once.
        """
        upper = jnp.maximum(start, end)
        logits = self.at(upper).hidden_logits(x)
        softplus = jax.nn.softplus
        hidden = softplus(logits * (end / upper)) - softplus(logits * (start / upper))
        visible = x @ (self.machine.visible_bias - self.base_bias)
        return (end - start) * visible + jnp.sum(hidden)
