"""What stands at inverse temperature 0, and what leads from there to the target."""

import abc
import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import Distribution

from ebm_ppl._checks import check_instance, check_shape
from ebm_ppl._types import Position, PotentialFn
from ebm_ppl.annealing import AbstractPath, Cover, CoveringLaw, GeometricPath, as_path
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.samplers._numpyro import (
    EnergySource,
    ModelArgs,
    ModelKwargs,
    ModelSource,
    PotentialSource,
    PriorSource,
)
from ebm_ppl.samplers.replica_exchange.ladder import NormalBase
from ebm_ppl.samplers.replica_exchange.tempering import (
    AbstractTempering,
    FlatTempering,
    PathTempering,
    PriorTempering,
    check_moments,
    normal_law,
    registered_potential,
    scouted_base,
)

Source = ModelSource | PotentialSource | EnergySource
_LAW, _LAW_OR_PATH = "a NumPyro distribution", "a NumPyro distribution or a path to the energy"


class Registered(NamedTuple):
    """An energy that a kernel samples, and the site that it has in a model."""

    energy: AbstractEnergy
    site: str | None


class AbstractBase(abc.ABC):
    """A base law, of which a ladder holds what warm-up learns: `()`, a `Cover` or a `NormalBase`."""

    is_learned = False
    """Whether warm-up learns it from the moments of draws."""

    def target(
        self, source: Source, model_args: ModelArgs, model_kwargs: ModelKwargs
    ) -> PotentialFn:
        """The target's potential.

        Args:
            source: Where it comes from.
            model_args: Arguments of the model.
            model_kwargs: Keyword arguments of the model.
        """
        return source.potential_fn(model_args, model_kwargs)

    def first(
        self,
        positions: Float[Array, "chains dim"],  # noqa: ARG002
        like: Position,  # noqa: ARG002
        target: PotentialFn,  # noqa: ARG002
        *,
        has_warmup: bool,  # noqa: ARG002
    ) -> Any:
        """What is known of the law before the first step; by default nothing.

        Args:
            positions: Flat position of each chain.
            like: A position.
            target: The target's potential.
            has_warmup: Whether there is a warm-up.
        """
        return ()

    @abc.abstractmethod
    def tempering(
        self,
        learned: Any,
        like: Position,
        target: PotentialFn,
        model_args: ModelArgs,
        model_kwargs: ModelKwargs,
    ) -> AbstractTempering:
        """The potentials between the law and the target.

        Args:
            learned: What is known of the law.
            like: A position.
            target: The target's potential.
            model_args: Arguments of the model.
            model_kwargs: Keyword arguments of the model.
        """


@dataclasses.dataclass(frozen=True)
class PriorBase(AbstractBase):
    """The prior of a model."""

    source: PriorSource

    def tempering(
        self,
        learned: Any,  # noqa: ARG002
        like: Position,
        target: PotentialFn,  # noqa: ARG002
        model_args: ModelArgs,
        model_kwargs: ModelKwargs,
    ) -> PriorTempering:
        """The likelihood is tempered."""
        return PriorTempering(self.source, model_args, model_kwargs, set(like))


@dataclasses.dataclass(frozen=True)
class PathBase(AbstractBase):
    """The first law of a path to a registered energy; or, where nobody chose it, what scouts find."""

    path: AbstractPath
    site: str | None
    is_given: bool

    def target(
        self,
        source: Source,  # noqa: ARG002
        model_args: ModelArgs,  # noqa: ARG002
        model_kwargs: ModelKwargs,  # noqa: ARG002
    ) -> PotentialFn:
        """That of the registered energy, for which no model is traced."""
        return registered_potential(self.path.energy, self.site)

    def first(
        self,
        positions: Float[Array, "chains dim"],
        like: Position,
        target: PotentialFn,
        *,
        has_warmup: bool,
    ) -> Any:
        """The modes of a geometric path's real target, unless the path was given."""
        is_real = isinstance(self.path, GeometricPath) and not self.path.energy.support.is_discrete
        looks = has_warmup and is_real and not self.is_given
        return scouted_base(target, positions, like) if looks else ()

    def tempering(
        self,
        learned: Any,
        like: Position,
        target: PotentialFn,
        model_args: ModelArgs,  # noqa: ARG002
        model_kwargs: ModelKwargs,  # noqa: ARG002
    ) -> AbstractTempering:
        """The path, unless a law covers what scouts have found."""
        if isinstance(learned, Cover):
            return FlatTempering.of(target, CoveringLaw(learned, self.path.energy), like)
        return PathTempering(self.path, self.site)


@dataclasses.dataclass(frozen=True)
class FlatBase(AbstractBase):
    """A law over flat positions; or, where nobody chose it, what scouts find."""

    law: Distribution | None

    def first(
        self,
        positions: Float[Array, "chains dim"],
        like: Position,
        target: PotentialFn,
        *,
        has_warmup: bool,
    ) -> Any:
        """The modes of the target, unless a law was given."""
        looks = has_warmup and self.law is None
        return scouted_base(target, positions, like) if looks else ()

    def tempering(
        self,
        learned: Any,
        like: Position,
        target: PotentialFn,
        model_args: ModelArgs,  # noqa: ARG002
        model_kwargs: ModelKwargs,  # noqa: ARG002
    ) -> FlatTempering:
        """A geometric path."""
        law = CoveringLaw(learned, None) if isinstance(learned, Cover) else self.law
        return FlatTempering.of(target, law, like)


@dataclasses.dataclass(frozen=True)
class LearnedBase(AbstractBase):
    """A normal law with the means and variances that draws have had, at first those of another law."""

    law: Distribution | None

    is_learned = True

    def first(
        self,
        positions: Float[Array, "chains dim"],
        like: Position,  # noqa: ARG002
        target: PotentialFn,  # noqa: ARG002
        *,
        has_warmup: bool,  # noqa: ARG002
    ) -> NormalBase:
        """Mean and scale of the law; 0 and 1 by default."""
        flat = positions[0]
        if self.law is None:
            return NormalBase(jnp.zeros_like(flat), jnp.ones_like(flat))
        check_shape("base.mean", self.law.mean, flat.shape)
        mean, variance = (jnp.asarray(of, flat.dtype) for of in (self.law.mean, self.law.variance))
        return NormalBase(mean, jnp.sqrt(variance))

    def tempering(
        self,
        learned: NormalBase,
        like: Position,
        target: PotentialFn,
        model_args: ModelArgs,  # noqa: ARG002
        model_kwargs: ModelKwargs,  # noqa: ARG002
    ) -> FlatTempering:
        """A geometric path."""
        return FlatTempering.of(target, normal_law(*learned), like)


def as_base(
    base: Any, registered: Registered | None, prior: PriorSource | None, *, adapts: bool
) -> AbstractBase:
    """The base law of a target.

    Args:
        base: A law or a path; `None` for that which the target has by default.
        registered: The energy, if the target is one.
        prior: Where priors come from, if the target is a model of another kind.
        adapts: Whether warm-up makes a normal law of it.

    Raises:
        ValueError: If `base` is of another kind, or there is none that can adapt.
    """
    may_be_path = registered is not None and not adapts
    if base is not None:
        kinds = (Distribution, AbstractPath) if may_be_path else Distribution
        check_instance("base", base, kinds, _LAW_OR_PATH if may_be_path else _LAW)
    if adapts:
        if registered is not None and registered.energy.support.is_discrete:
            raise ValueError("`adapt_base` must be False for a discrete energy; got True.")
        if base is not None:
            check_moments(base)
        return LearnedBase(base)
    if registered is not None:
        is_path = isinstance(base, AbstractPath)
        path = as_path(base if is_path else registered.energy, None if is_path else base)
        return PathBase(path, registered.site, base is not None)
    if prior is not None and base is None:
        return PriorBase(prior)
    return FlatBase(base)
