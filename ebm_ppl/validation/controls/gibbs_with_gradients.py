"""Gibbs with gradients with a wrong acceptance step, and with other proposals that are right."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.samplers import GibbsWithGradients
from ebm_ppl.samplers._contract import Moved
from ebm_ppl.validation.controls._base import Control, claims


class _Gradients(GibbsWithGradients):
    """The correct kernel; a control overrides the one thing that it gets wrong."""

    def __init__(self, potential_fn: Any) -> None:
        super().__init__(potential_fn=potential_fn)


class _Altered(_Gradients):
    """A log acceptance ratio that is altered."""

    def altered(self, log_ratio: Scalar, energy_change: Scalar) -> Scalar:
        raise NotImplementedError

    def propose(
        self, x: Event, log_q: Float[Array, "dim values"], site: Array, digit: Array
    ) -> tuple[Event, Scalar]:
        proposal, log_ratio = super().propose(x, log_q, site, digit)
        return proposal, self.altered(log_ratio, self._energy(proposal) - self._energy(x))


class _NoWayBack(_Altered):
    def altered(self, log_ratio: Scalar, energy_change: Scalar) -> Scalar:
        return -energy_change


class _AlwaysAccepts(_Altered):
    def altered(self, log_ratio: Scalar, energy_change: Scalar) -> Scalar:
        return jnp.zeros_like(log_ratio)


class _OnlyTheWay(_Altered):
    def altered(self, log_ratio: Scalar, energy_change: Scalar) -> Scalar:
        return log_ratio + energy_change


class _SlightlyHot(_Altered):
    def altered(self, log_ratio: Scalar, energy_change: Scalar) -> Scalar:
        return log_ratio + 0.05 * energy_change


class _OneKey(_Gradients):
    """Accepts with the key that chose the change."""

    def move(self, rng_key: PRNGKey, x: Event) -> Moved:
        log_q = self.log_proposal(x)
        choice = jax.random.categorical(rng_key, log_q.ravel())
        site, digit = jnp.divmod(choice, log_q.shape[1])
        proposal, log_ratio = self.propose(x, log_q, site, digit)
        accept_prob = jnp.exp(jnp.minimum(log_ratio, 0.0))
        accept = jax.random.uniform(rng_key, dtype=accept_prob.dtype) < accept_prob
        return Moved(jnp.where(accept, proposal, x), accept_prob, jnp.asarray(False))


class _Blind(_Gradients):
    """Proposes every change alike."""

    def log_proposal(self, x: Event) -> Float[Array, "dim values"]:
        log_q = super().log_proposal(x)
        return jax.nn.log_softmax(jnp.where(jnp.isfinite(log_q), 0.0, -jnp.inf), axis=(0, 1))


class _Bold(_Gradients):
    """Weighs the whole difference of energies, not half of it."""

    def log_proposal(self, x: Event) -> Float[Array, "dim values"]:
        return jax.nn.log_softmax(2 * super().log_proposal(x), axis=(0, 1))


def _control(
    kernel: type[_Gradients], target: str, name: str, wrong_because: str, **options: Any
) -> Control:
    case = claims(kernel, metropolis=True, adaptation_field=None, discrete=True)
    return Control(name, wrong_because, case, target=target, **options)


CONTROLS = (
    _control(
        _NoWayBack,
        "boltzmann_machine",
        "gradient proposal without its ratio",
        "the proposal is not symmetric, and its ratio is left out",
        quick=True,
    ),
    _control(
        _AlwaysAccepts,
        "potts_chain",
        "gradient proposal always accepted",
        "a guess of the energy's change takes the place of the change",
    ),
    _control(
        _OnlyTheWay,
        "boltzmann_machine",
        "ratio of gradient proposals alone",
        "the energies are missing from the acceptance ratio",
    ),
    _control(
        _SlightlyHot,
        "potts_chain",
        "energy difference of a change 5% too small",
        "samples at a temperature of 1.05",
    ),
    _control(
        _OneKey,
        "boltzmann_machine",
        "one key for change and acceptance",
        "the uniform draw depends on the change that was chosen",
    ),
    _control(
        _Blind,
        "boltzmann_machine",
        "changes proposed without gradient",
        "any proposal is right with its own ratio",
        equivalent=True,
    ),
    _control(
        _Bold,
        "potts_chain",
        "changes proposed by whole differences",
        "any proposal is right with its own ratio",
        equivalent=True,
    ),
)
