"""Potentials between a base law and a kernel's target, in the kernel's own coordinates."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._types import Position, PotentialFn, PRNGKey, Scalar
from ebm_ppl.annealing import (
    AbstractPath,
    GeometricPath,
    can_look,
    cover,
    find_modes,
)
from ebm_ppl.energies import AbstractEnergy, from_callable
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers._numpyro import ModelArgs, ModelKwargs, PriorSource, SitePotential


class AbstractTempering(abc.ABC):
    r"""Potentials $U_\beta$ of one position, from a base law at 0 to the target at 1."""

    @property
    @abc.abstractmethod
    def log_z_base(self) -> Scalar | float:
        """Log of the integral of $e^{-U_0}$."""

    @abc.abstractmethod
    def potential(self, inverse_temperature: Scalar) -> PotentialFn:
        r"""The potential $U_\beta$."""

    @abc.abstractmethod
    def log_ratio(self, z: Position, start: Scalar, end: Scalar) -> Scalar:
        r"""$U_\beta(z) - U_{\beta'}(z)$."""

    @abc.abstractmethod
    def draw(self, rng_key: PRNGKey) -> Position:
        """One independent draw of the base law."""


@dataclasses.dataclass(frozen=True)
class PriorTempering(AbstractTempering):
    """The prior of a model, times a power of its likelihood."""

    source: PriorSource
    model_args: ModelArgs
    model_kwargs: ModelKwargs
    names: set[str]

    @property
    def log_z_base(self) -> float:
        """Zero: priors are normalised."""
        return 0.0

    def potential(self, inverse_temperature: Scalar) -> PotentialFn:
        """The potential with a tempered likelihood."""
        return self._weighted(1.0, inverse_temperature)

    def log_ratio(self, z: Position, start: Scalar, end: Scalar) -> Scalar:
        """The log likelihood, times the change."""
        return -(end - start) * self._weighted(0.0, 1.0)(z)

    def draw(self, rng_key: PRNGKey) -> Position:
        """One draw of the prior."""
        return self.source.draw(rng_key, self.names, self.model_args, self.model_kwargs)

    def _weighted(self, prior: float, likelihood: Scalar | float) -> PotentialFn:
        return self.source.weighted(prior, likelihood, self.model_args, self.model_kwargs)


def registered_potential(energy: AbstractEnergy, name: str | None) -> EnergyPotential:
    """The potential of an energy, at positions that are the dictionary of one site if it has a name."""
    return EnergyPotential(energy) if name is None else SitePotential(energy, name)


@dataclasses.dataclass(frozen=True)
class PathTempering(AbstractTempering):
    """A path of energies; `name` is that of the site where positions are dictionaries."""

    path: AbstractPath
    name: str | None = None

    @property
    def log_z_base(self) -> Scalar:
        """That of the path."""
        return self.path.log_z_base

    def potential(self, inverse_temperature: Scalar) -> PotentialFn:
        """The registered potential of the path's energy."""
        return registered_potential(self.path.at(inverse_temperature), self.name)

    def log_ratio(self, z: Position, start: Scalar, end: Scalar) -> Scalar:
        """That of the path, to which Jacobians do not matter."""
        x = EnergyPotential(self.path.energy).constrain(z if self.name is None else z[self.name])
        return self.path.log_ratio(x, start, end)

    def draw(self, rng_key: PRNGKey) -> Position:
        """One draw of the path's base law."""
        x = self.path.sample_base(rng_key, 1)[0]
        z = EnergyPotential(self.path.energy).unconstrain(x)
        return z if self.name is None else {self.name: z}


@dataclasses.dataclass(frozen=True)
class FlatTempering(AbstractTempering):
    """A geometric path from a law over flat positions to any potential."""

    path: GeometricPath
    unravel: Callable[[Array], Position]

    @classmethod
    def of(
        cls, potential_fn: PotentialFn, base: dist.Distribution | None, like: Position
    ) -> "FlatTempering":
        """The path to a potential of positions like the given one."""
        flat, unravel = ravel_pytree(like)
        energy: AbstractEnergy = from_callable(lambda x: potential_fn(unravel(x)), flat.shape)
        return cls(GeometricPath(energy, base), unravel)

    @property
    def log_z_base(self) -> Scalar:
        """Zero: the base law is normalised."""
        return self.path.log_z_base

    def potential(self, inverse_temperature: Scalar) -> PotentialFn:
        """The energy of the path at the flat position."""
        energy = self.path.at(inverse_temperature)
        return lambda z: energy(ravel_pytree(z)[0])

    def log_ratio(self, z: Position, start: Scalar, end: Scalar) -> Scalar:
        """That of the path."""
        return self.path.log_ratio(ravel_pytree(z)[0], start, end)

    def draw(self, rng_key: PRNGKey) -> Position:
        """One draw of the base law."""
        return self.unravel(self.path.sample_base(rng_key, 1)[0])


def normal_law(mean: Float[Array, " dim"], scale: Float[Array, " dim"]) -> dist.Distribution:
    """Independent normal laws of the coordinates."""
    return dist.Normal(mean, scale).to_event(1)


def scouted_base(potential_fn: PotentialFn, starts: Float[Array, "n dim"], like: Position) -> Any:
    """The normal laws about the modes that scouts find, or `()` where they cannot look.

    Args:
        potential_fn: The target's potential.
        starts: Flat positions of the chains.
        like: A position.

    Returns:
        The laws; none for more than 64 coordinates, or a potential without second derivatives.
    """
    unravel = ravel_pytree(like)[1]

    def value(flat: Float[Array, " dim"]) -> Scalar:
        return jnp.asarray(potential_fn(unravel(flat)), flat.dtype)

    return cover(find_modes(value, starts)) if can_look(value, starts[0]) else ()


def check_moments(base: dist.Distribution) -> None:
    """Refuse a base law that no normal law can take after; traced ones pass."""
    try:
        moments: list[Any] = [base.mean, base.variance]
    except NotImplementedError:
        moments = [np.nan, np.nan]
    if any(map(is_traced, moments)):
        return
    moments = [np.asarray(moment) for moment in moments]
    if not (all(np.isfinite(moment).all() for moment in moments) and np.all(moments[1] > 0)):
        raise ValueError(
            "`base` must have finite means, and variances above 0, if `adapt_base`; got "
            f"{type(base).__name__} with means {moments[0]} and variances {moments[1]}."
        )


def can_draw(tempering: AbstractTempering) -> bool:
    """Whether the base law has independent draws."""
    try:
        jax.eval_shape(tempering.draw, jax.random.key(0))
    except NotImplementedError:
        return False
    return True


def cast_like(z: Position, like: Position) -> Position:
    """A position in the precision of another."""
    return jax.tree.map(lambda leaf, other: jnp.asarray(leaf, other.dtype), z, like)
