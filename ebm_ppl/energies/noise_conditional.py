"""The interface of energies of a law under noise of every strength."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_shape
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._conditions import as_condition
from ebm_ppl.energies._parameters import check_positive_scalars


class AbstractNoiseConditionalEnergy(eqx.Module):
    r"""A family of energies $E_\sigma$, one for each strength $\sigma$ of noise added to the data.

    $$p_\sigma(x) = \frac{\exp(-E_\sigma(x))}{Z(\sigma)} \approx
    \int p_{\text{data}}(y)\, N(x; y, \sigma^2 I)\, dy.$$

    Large $\sigma$ blurs the data into one mode, small $\sigma$ shows their detail: denoising score
    matching trains all levels at once, and annealed sampling walks from the one to the other. At a
    fixed level it is an energy like any other, which
    [`at_noise`][ebm_ppl.energies.AbstractNoiseConditionalEnergy.at_noise] returns. What depends on
    $\sigma$ alone drops out: $Z(\sigma)$ absorbs it.

    To write one, subclass, declare the parameters as array fields, give `event_shape` and `support`
    as fields or properties, and implement `_energy` for **one** point and **one** level.

    Attributes:
        event_shape: Shape of one point.
        support: NumPyro constraint that the points satisfy; as noise is added to them, all reals.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import AbstractNoiseConditionalEnergy
        >>> from numpyro.distributions import constraints
        >>> class NoisyNormal(AbstractNoiseConditionalEnergy):
        ...     event_shape = ()
        ...     support = constraints.real
        ...
        ...     def _energy(self, x, sigma):
        ...         return 0.5 * x**2 / (1 + sigma**2)
        >>> float(NoisyNormal().at_noise(3.0).score(10.0))
        -1.0
    """

    if TYPE_CHECKING:
        # Type checkers take an `AbstractVar` for an argument of the generated constructor.
        @property
        def event_shape(self) -> tuple[int, ...]: ...  # noqa: D102
        @property
        def support(self) -> Constraint: ...  # noqa: D102
    else:
        event_shape: eqx.AbstractVar[tuple[int, ...]]
        support: eqx.AbstractVar[Constraint]

    def __call__(self, x: Any, sigma: Any) -> Scalar:
        """Energy of one point at one noise level.

        Args:
            x: The point, of shape `event_shape`.
            sigma: Standard deviation of the noise, a positive scalar.

        Returns:
            The energy, a scalar.

        Raises:
            ValueError: If `x` has another shape, or `sigma` is no scalar.
        """
        check_shape("x", x, self.event_shape)
        check_shape("sigma", sigma, ())
        return self._energy(jnp.asarray(x), as_condition(sigma))

    def at_noise(self, sigma: Any) -> "AtNoiseEnergy":
        r"""The energy $E_\sigma$ of one noise level.

        Args:
            sigma: Standard deviation of the noise, a positive scalar; it may be traced.

        Returns:
            An energy on `event_shape`.

        Raises:
            ValueError: If `sigma` is no positive scalar.
        """
        return AtNoiseEnergy(self, sigma)

    @abc.abstractmethod
    def _energy(self, x: Event, sigma: Scalar) -> Scalar:
        """Energy of one point at one noise level, whose shapes the caller has checked."""


class AtNoiseEnergy(AbstractEnergy):
    r"""A noise-conditional energy at one noise level, $E(x) = E_\sigma(x)$.

    [`AbstractNoiseConditionalEnergy.at_noise`][ebm_ppl.energies.AbstractNoiseConditionalEnergy.at_noise]
    builds it.

    Args:
        energy: The noise-conditional energy.
        sigma: Standard deviation $\sigma > 0$ of the noise.

    Raises:
        ValueError: If `sigma` is no positive scalar.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import NeuralNoiseConditionalEnergy
        >>> energy = NeuralNoiseConditionalEnergy((2,), rng_key=jax.random.key(0))
        >>> scores = jax.vmap(lambda s: energy.at_noise(s).score([1.0, 2.0]))(jax.numpy.ones(3))
        >>> scores.shape
        (3, 2)
    """

    energy: AbstractNoiseConditionalEnergy
    sigma: Scalar = eqx.field(converter=as_condition)

    def __check_init__(self) -> None:
        check_positive_scalars(sigma=self.sigma)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the noise-conditional energy."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        return self.energy(x, self.sigma)
