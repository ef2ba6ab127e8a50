"""Geometric paths: powers of a base law times powers of the target."""

import contextlib
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import biject_to
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_shape
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.annealing._path import AbstractPath
from ebm_ppl.annealing._uniform_states import UniformStates
from ebm_ppl.distribution import EnergyDistribution
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._described import in_place_of_energy
from ebm_ppl.quadrature._chart import support_limits

_SCALE = 2.0


class GeometricEnergy(AbstractEnergy):
    r"""Energy between a base law and an energy, $(1 - \beta)(-\log p_0(x)) + \beta E(x)$.

    Args:
        energy: The energy at $\beta = 1$.
        base: The law at $\beta = 0$.
        inverse_temperature: The number $\beta$ in $[0, 1]$.
    """

    energy: AbstractEnergy
    base: dist.Distribution
    inverse_temperature: Scalar

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the energy, which is that of the base law."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        share = self.inverse_temperature
        return -(1 - share) * self.base.log_prob(x) + share * self.energy(x)


class GeometricPath(AbstractPath):
    r"""Weighted geometric means of a base law and an energy.

    $$f_\beta(x) = p_0(x)^{1 - \beta}\, e^{-\beta E(x)}, \qquad 0 \le \beta \le 1.$$

    Args:
        energy: The energy at the end.
        base: The law at the beginning, on the energy's support: a NumPyro distribution (batch axes count
            as independent coordinates) or a normalised `EnergyDistribution`; `None` for
            [`default_base`][ebm_ppl.annealing.default_base].

    Raises:
        TypeError: If `energy` is no energy or `base` no distribution.
        ValueError: If `base` has another shape or support than the energy, or no normaliser.

    Examples:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from ebm_ppl.annealing import GeometricPath
        >>> from ebm_ppl.energies import Gaussian
        >>> path = GeometricPath(Gaussian([0.0], [[1.0]]), dist.Normal(0.0, 2.0).expand((1,)))
        >>> print(f"{path.at(jnp.array(0.5))(jnp.array([2.0])):.3f}")
        2.056
    """

    _energy: AbstractEnergy
    base: dist.Distribution

    def __init__(self, energy: AbstractEnergy, base: Any = None) -> None:
        if not isinstance(energy, AbstractEnergy):
            raise TypeError(
                f"`energy` must be an AbstractEnergy; got {in_place_of_energy(energy)}."
            )
        self._energy = energy
        self.base = default_base(energy) if base is None else as_base(base, energy)

    @property
    def energy(self) -> AbstractEnergy:
        """The energy at the end of the path."""
        return self._energy

    @property
    def log_z_base(self) -> Scalar:
        """Zero: the base law is normalised."""
        return jnp.zeros(())

    def sample_base(self, rng_key: PRNGKey, count: int) -> Float[Array, "count *event"]:
        """Draw independently from the base law; discrete draws become floating-point numbers.

        A draw that is rounded to an edge of the support, where densities are not finite, is moved to the
        nearest number inside.
        """
        draws = jnp.asarray(self.base.sample(rng_key, (count,)), dtype=float)
        return _inside(self._energy.support, draws)

    def at(self, inverse_temperature: Scalar) -> AbstractEnergy:
        r"""The energy at $\beta$."""
        return GeometricEnergy(self._energy, self.base, inverse_temperature)

    def log_ratio(self, x: Event, start: Scalar, end: Scalar) -> Scalar:
        r"""Log weight of a step, $(\beta' - \beta)(-E(x) - \log p_0(x))$, without cancellation."""
        return (end - start) * (-self._energy(x) - self.base.log_prob(x))


def _inside(support: Constraint, x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Points, those at an end of an interval or a half-line moved to the nearest number inside."""
    if support.is_discrete:
        return x
    try:
        low, high = (jnp.asarray(limit, dtype=x.dtype) for limit in support_limits(support))
    except ValueError:  # coordinates that are tied to one another, such as a simplex
        return x
    return jnp.clip(x, jnp.nextafter(low, jnp.inf), jnp.nextafter(high, -jnp.inf))


def default_base(energy: AbstractEnergy) -> dist.Distribution:
    r"""The law where a path begins unless told otherwise.

    On all reals it is a standard normal law. On other supports it is the image of logistic laws of scale 2
    under NumPyro's map to the support, one for each unconstrained coordinate. Images of normal laws would
    vanish at an edge faster than any power of the distance $t$ from it, and weights of targets that do not
    would have no variance; the density of this one is of order $t^{-1/2}$ there, as that of the arcsine law.

    Args:
        energy: The energy at the end of the path.

    Returns:
        The law, on the energy's support; of finitely many states, the uniform one.

    Raises:
        ValueError: If the support is discrete and not finite.
    """
    if energy.support.is_discrete:
        return UniformStates(energy)
    transform = biject_to(energy.support)
    shape = transform.inverse_shape(energy.event_shape)
    law = unconstrained_base(energy).expand(shape).to_event(len(shape))
    is_real = _bare(energy.support) is dist.constraints.real
    return law if is_real else dist.TransformedDistribution(law, transform)


def unconstrained_base(energy: AbstractEnergy) -> dist.Distribution:
    """The law of each unconstrained coordinate under `default_base`, for an energy of real points.

    Args:
        energy: The energy at the end of the path.

    Returns:
        A standard normal law on all reals, a logistic one of scale 2 elsewhere.
    """
    is_real = _bare(energy.support) is dist.constraints.real
    return dist.Normal(0.0, 1.0) if is_real else dist.Logistic(0.0, _SCALE)


def as_base(base: object, energy: AbstractEnergy) -> dist.Distribution:
    """Check a law with which an energy is to be compared, and turn its batch axes into event axes.

    Args:
        base: A NumPyro distribution or a normalised `EnergyDistribution`.
        energy: The energy.

    Returns:
        The law, with the energy's event shape.

    Raises:
        TypeError: If `base` is no NumPyro distribution.
        ValueError: If it has another shape or support than the energy, or no normaliser.
    """
    if not isinstance(base, dist.Distribution):
        raise TypeError(f"`base` must be a NumPyro distribution; got {type(base).__name__}.")
    if isinstance(base, EnergyDistribution) and base.log_z is None:
        raise ValueError("`base` must be normalised; give its EnergyDistribution a `log_z`.")
    if isinstance(base, EnergyDistribution):
        # Where there is no table, it says so when draws are asked for.
        with contextlib.suppress(NotImplementedError):
            base = base.with_table()
    law = base.to_event(len(base.batch_shape)) if base.batch_shape else base
    check_shape("base", np.empty(law.event_shape), energy.event_shape)
    ours, theirs = _bare(energy.support), _bare(law.support)
    if not (ours is theirs or bool(np.all(np.asarray(ours.eq(theirs))))):
        raise ValueError(
            f"`base` must have the energy's support, {energy.support!r}; got {law.support!r}."
        )
    return law


def _bare(support: Any) -> Any:
    """A constraint without the axes over which it is independent."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support
