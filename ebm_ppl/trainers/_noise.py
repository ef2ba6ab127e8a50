"""Noise distributions: NumPyro's, FlowJAX's and energies', behind one small interface."""

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import Distribution

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.distribution import EnergyDistribution
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.quadrature import GridTable, normalize


class AbstractNoise(eqx.Module):
    """A law with exact draws and a normalised density."""

    @property
    @abc.abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw."""

    @property
    @abc.abstractmethod
    def is_discrete(self) -> bool:
        """Whether it is a law on states, with probabilities in place of densities."""

    @abc.abstractmethod
    def sample(
        self, rng_key: PRNGKey, count: int
    ) -> tuple[Float[Array, "count *event"], Float[Array, " count"]]:
        """Draw independently; return the draws and their log densities."""

    @abc.abstractmethod
    def log_prob(self, x: Event) -> Scalar:
        """Log density of one point, minus infinity outside the support."""


class DistributionNoise(AbstractNoise):
    """Noise from a NumPyro distribution; batch axes count as independent coordinates."""

    distribution: Distribution

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw."""
        return tuple(self.distribution.event_shape)

    @property
    def is_discrete(self) -> bool:
        """Whether the distribution's support is."""
        return bool(self.distribution.support.is_discrete)  # pyright: ignore[reportOptionalMemberAccess]

    def sample(
        self, rng_key: PRNGKey, count: int
    ) -> tuple[Float[Array, "count *event"], Float[Array, " count"]]:
        """Draw independently; discrete draws become floating-point numbers, as data are."""
        x = jnp.asarray(self.distribution.sample(rng_key, (count,)), dtype=float)
        return x, jax.vmap(self.log_prob)(x)

    def log_prob(self, x: Event) -> Scalar:
        """Log density; that of NumPyro holds inside the support only."""
        support: Any = self.distribution.support
        return jnp.where(support(x), self.distribution.log_prob(x), -jnp.inf)


class FlowNoise(AbstractNoise):
    """Noise from a FlowJAX distribution, at a condition if it has one."""

    flow: Any
    condition: Array | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw."""
        return tuple(self.flow.shape)

    @property
    def is_discrete(self) -> bool:
        """A flow has a density."""
        return False

    def sample(
        self, rng_key: PRNGKey, count: int
    ) -> tuple[Float[Array, "count *event"], Float[Array, " count"]]:
        """Draw independently, in one pass with the densities."""
        if not jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
            rng_key = jax.random.wrap_key_data(rng_key)
        return self.flow.sample_and_log_prob(rng_key, (count,), self.condition)

    def log_prob(self, x: Event) -> Scalar:
        """Log density of one point."""
        return self.flow.log_prob(x, self.condition)


class EnergyNoise(AbstractNoise):
    """Noise from a normalised energy, drawn exactly from a grid."""

    energy: AbstractEnergy
    log_z: Scalar
    table: GridTable

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw."""
        return tuple(self.energy.event_shape)

    @property
    def is_discrete(self) -> bool:
        """An energy on a grid has a density."""
        return False

    def sample(
        self, rng_key: PRNGKey, count: int
    ) -> tuple[Float[Array, "count *event"], Float[Array, " count"]]:
        """Draw independently."""
        x = self.table.sample(rng_key, (count,))
        return x, jax.vmap(self.log_prob)(x)

    def log_prob(self, x: Event) -> Scalar:
        """Log density of one point."""
        return jnp.where(self.energy.support(x), -self.energy(x) - self.log_z, -jnp.inf)


class _FlowAt(eqx.Module):
    """A conditional FlowJAX distribution as a callable of the condition, which stays a pytree."""

    flow: Any

    def __call__(self, y: Array) -> FlowNoise:
        return FlowNoise(self.flow, y)


class ConditionalNoise(eqx.Module):
    """Noise whose law depends on the condition: a callable from a condition to a distribution."""

    fn: Callable[[Any], Any]

    def given(self, y: Array) -> AbstractNoise:
        """The noise at a condition."""
        noise = as_noise(self.fn(y))
        if isinstance(noise, ConditionalNoise):
            raise ValueError(
                f"`noise` must map a condition to a distribution; got {type(noise.fn).__name__}."
            )
        return noise


Noise: TypeAlias = AbstractNoise | ConditionalNoise


def as_noise(noise: Any) -> Noise:
    """Read a noise distribution.

    Args:
        noise: A NumPyro distribution, a FlowJAX distribution (which may be conditional), an
            `EnergyDistribution` with a `log_z`, or a callable from a condition to one of these.

    Raises:
        ValueError: If it is none of these, or an energy that cannot be drawn from exactly.
    """
    if isinstance(noise, AbstractNoise | ConditionalNoise):
        return noise
    if isinstance(noise, EnergyDistribution):
        return _from_energy(noise)
    if isinstance(noise, Distribution):
        return DistributionNoise(noise.to_event() if noise.batch_shape else noise)
    if is_flow(noise):
        if noise.cond_shape is None:
            return FlowNoise(noise)
        return ConditionalNoise(_FlowAt(noise))
    if callable(noise):
        return ConditionalNoise(noise)
    raise ValueError(
        "`noise` must be a NumPyro or FlowJAX distribution, an EnergyDistribution with a log_z, or a "
        f"callable from a condition to one; got {noise!r}."
    )


def is_flow(distribution: Any) -> bool:
    """Whether an object is a FlowJAX distribution."""
    from flowjax.distributions import AbstractDistribution  # takes a while to import

    return isinstance(distribution, AbstractDistribution)


def _from_energy(noise: EnergyDistribution) -> EnergyNoise:
    energy = noise.energy
    if noise.log_z is None:
        raise ValueError(
            f"`noise` must be normalised; give the EnergyDistribution of {type(energy).__name__} a "
            "`log_z`."
        )
    if energy.event_size > 2:
        raise ValueError(
            "`noise` must have exact draws, which an energy has with 1 or 2 coordinates; "
            f"{type(energy).__name__} has {energy.event_size}."
        )
    table = GridTable.from_density(normalize(energy))
    return EnergyNoise(energy, jnp.asarray(noise.log_normalizer(), dtype=float), table)
