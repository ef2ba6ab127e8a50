"""Replica exchange with exchanges that are accepted wrongly, or half done."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Position, PotentialFn, Scalar
from ebm_ppl.annealing import default_base
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers import MALA, ReplicaExchange
from ebm_ppl.samplers.replica_exchange import OwnLevels, PathTempering
from ebm_ppl.validation.controls._base import Control, claims


class _TwoLevels(ReplicaExchange):
    """Target and base law alone, correct; a control overrides one part of it.

    The base law is given, so that tempering follows a path whichever way a check sets the kernel up.
    """

    def __init__(self, potential_fn: PotentialFn) -> None:
        assert isinstance(potential_fn, EnergyPotential)
        base = default_base(potential_fn.energy)
        super().__init__(MALA(potential_fn=potential_fn), base=base, num_replicas=2)


class _NoRatio(_TwoLevels):
    def log_acceptance(
        self, hotter: Float[Array, "..."], colder: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return jnp.zeros_like(hotter + colder)


class _WrongSign(_TwoLevels):
    def log_acceptance(
        self, hotter: Float[Array, "..."], colder: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return -(hotter + colder)


class _OneSide(_TwoLevels):
    """The ratio of an importance weight to one."""

    def log_acceptance(
        self,
        hotter: Float[Array, "..."],
        colder: Float[Array, "..."],
    ) -> Float[Array, "..."]:
        return hotter


class _HalfTemperature(_TwoLevels):
    """The difference of temperatures is taken by half."""

    def log_acceptance(
        self, hotter: Float[Array, "..."], colder: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return 0.5 * (hotter + colder)


class _EnergyAlone(PathTempering):
    """Leaves the base law out of the ratio."""

    def log_ratio(self, z: Position, start: Scalar, end: Scalar) -> Scalar:
        return -(end - start) * self.path.energy(z)


class _NoBase(_TwoLevels):
    def _tempering(
        self, model_args: Any, model_kwargs: Any, ladder: Any, like: Position
    ) -> _EnergyAlone:
        correct = super()._tempering(model_args, model_kwargs, ladder, like)
        assert isinstance(correct, PathTempering)
        return _EnergyAlone(correct.path, correct.name)


class _Stale(OwnLevels):
    """Exchanges positions and leaves their potentials and gradients behind."""

    def place(self, state: Any, z: Position) -> Any:
        return state._replace(z=z)


class _StalePotential(_TwoLevels):
    def __init__(self, potential_fn: PotentialFn) -> None:
        super().__init__(potential_fn)
        self._levels = _Stale


def _control(kernel: type[_TwoLevels], name: str, wrong_because: str, **options: Any) -> Control:
    case = claims(kernel, reversible=False, reports_acceptance=False)
    return Control(f"replica exchange {name}", wrong_because, case, **options)


CONTROLS = (
    _control(_TwoLevels, "between two levels", "nothing is wrong", equivalent=True),
    _control(_NoRatio, "without a ratio", "every exchange is accepted"),
    _control(_WrongSign, "with the wrong sign", "the ratio of an exchange is turned round"),
    _control(_OneSide, "weighed on one side", "only one of the two positions counts in the ratio"),
    _control(_HalfTemperature, "at half the difference", "the ratio's temperature is off by two"),
    _control(_NoBase, "without the base law", "the ratio leaves the base law out"),
    _control(_StalePotential, "with stale potentials", "potentials stay behind when states move"),
)
