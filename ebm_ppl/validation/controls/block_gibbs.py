"""Block Gibbs sweeps that draw from wrong conditional laws, and sweeps in another order that are right."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._types import Event, PRNGKey
from ebm_ppl.energies._lattice import colours
from ebm_ppl.samplers import BlockGibbs
from ebm_ppl.samplers._contract import Moved
from ebm_ppl.validation.controls._base import Control, claims


class _Sweep(BlockGibbs):
    """The correct kernel; a control gives in `sweep` what it gets wrong."""

    def __init__(self, potential_fn: Any) -> None:
        super().__init__(potential_fn=potential_fn)
        # `sweep` reads laws that differ from one energy to another.
        self.energy: Any = self._blockwise

    def sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        return self._blockwise.gibbs_sweep(rng_key, x)

    def move(self, rng_key: PRNGKey, x: Event) -> Moved:
        return Moved(self.sweep(rng_key, x), jnp.ones(()), jnp.asarray(False))


class _Units(_Sweep):
    """Sweeps over the units of a Boltzmann machine, one after the other."""

    def log_odds(self, x: Event) -> Event:
        return self.energy.conditional_logits(x)

    def sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        for unit, key in enumerate(jax.random.split(rng_key, x.size)):
            is_one = jax.random.bernoulli(key, jax.nn.sigmoid(self.log_odds(x)[unit]))
            x = x.at[unit].set(is_one.astype(x.dtype))
        return x


class _AllAtOnce(_Units):
    def sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        probs = jax.nn.sigmoid(self.log_odds(x))
        return jax.random.bernoulli(rng_key, probs).astype(x.dtype)


class _Upside(_Units):
    def log_odds(self, x: Event) -> Event:
        return -super().log_odds(x)


class _SlightlyHot(_Units):
    def log_odds(self, x: Event) -> Event:
        return 0.95 * super().log_odds(x)


class _OneWay(_Units):
    """Each unit sees only those before it."""

    def log_odds(self, x: Event) -> Event:
        left, right = self.energy.graph.edges.T
        return self.energy.biases.at[right].add(self.energy.weights * x[left])


class _AnyUnit(_Units):
    """One unit, drawn at random, in place of all in turn."""

    def sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        key_unit, key_value = jax.random.split(rng_key)
        unit = jax.random.randint(key_unit, (), 0, x.size)
        is_one = jax.random.bernoulli(key_value, jax.nn.sigmoid(self.log_odds(x)[unit]))
        return x.at[unit].set(is_one.astype(x.dtype))


class _Spins(_Sweep):
    """Sweeps over the colours of a lattice."""

    def colours(self) -> np.ndarray:
        return colours(self.energy.shape, self.energy.periodic)

    def log_odds(self, x: Event) -> Event:
        return self.energy.conditional_logits(x)

    def sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        colour = self.colours()
        for one, key in enumerate(jax.random.split(rng_key, colour.max() + 1)):
            is_up = jax.random.bernoulli(key, jax.nn.sigmoid(self.log_odds(x)))
            x = jnp.where(colour == one, jnp.where(is_up, 1.0, -1.0).astype(x.dtype), x)
        return x


class _HalfTheLogOdds(_Spins):
    def log_odds(self, x: Event) -> Event:
        return 0.5 * super().log_odds(x)


class _TwoColours(_Spins):
    def colours(self) -> np.ndarray:
        return np.indices(self.energy.shape).sum(axis=0) % 2


class _OtherOrder(_Spins):
    def colours(self) -> np.ndarray:
        right = super().colours()
        return right.max() - right


class _Layers(_Sweep):
    """Sweeps over the two layers of a restricted Boltzmann machine."""

    def sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        return self.draw_visible(*self.draw_hidden(rng_key, x))

    def draw_hidden(self, rng_key: PRNGKey, x: Event) -> tuple[PRNGKey, Event]:
        key_hidden, key_visible = jax.random.split(rng_key)
        return key_visible, self.energy.sample_hidden(key_hidden, x)

    def draw_visible(self, rng_key: PRNGKey, hidden: Event) -> Event:
        return self.energy.sample_visible(rng_key, hidden)


class _OneKey(_Layers):
    def draw_hidden(self, rng_key: PRNGKey, x: Event) -> tuple[PRNGKey, Event]:
        return rng_key, self.energy.sample_hidden(rng_key, x)


class _NoBias(_Layers):
    def draw_visible(self, rng_key: PRNGKey, hidden: Event) -> Event:
        probs = jax.nn.sigmoid(self.energy.weights @ hidden)
        return jax.random.bernoulli(rng_key, probs).astype(hidden.dtype)


class _MeanField(_Layers):
    """Hands the probabilities of the hidden units on, in place of draws."""

    def draw_hidden(self, rng_key: PRNGKey, x: Event) -> tuple[PRNGKey, Event]:
        return rng_key, jax.nn.sigmoid(self.energy.hidden_logits(x))


def _control(
    kernel: type[_Sweep], target: str, name: str, wrong_because: str, **options: Any
) -> Control:
    case = claims(
        kernel, reversible=False, reports_acceptance=False, adaptation_field=None, discrete=True
    )
    return Control(name, wrong_because, case, target=target, **options)


CONTROLS = (
    _control(
        _AllAtOnce,
        "boltzmann_machine",
        "all units at once",
        "units that are coupled are redrawn at the same time",
        quick=True,
    ),
    _control(
        _Upside,
        "boltzmann_machine",
        "log odds of the wrong sign",
        "every unit is drawn with the probabilities of its values exchanged",
    ),
    _control(
        _SlightlyHot,
        "boltzmann_machine",
        "log odds 5% too small",
        "samples at a temperature of 1.05",
    ),
    _control(
        _OneWay,
        "boltzmann_machine",
        "edges in one direction only",
        "a unit does not see the neighbours that come after it",
    ),
    _control(
        _HalfTheLogOdds,
        "ising_3x3",
        "log odds of zeros and ones for spins",
        "spins of -1 and 1 differ by 2, and the log odds lack the factor",
    ),
    _control(
        _TwoColours,
        "ising_3x3",
        "checkerboard on odd rings",
        "a ring of three sites in two colours has neighbours of the same colour",
    ),
    _control(
        _OneKey,
        "restricted_boltzmann_machine",
        "one key for both layers",
        "the two layers are drawn with the same random numbers",
    ),
    _control(
        _NoBias,
        "restricted_boltzmann_machine",
        "visible units without bias",
        "the way down forgets the visible biases",
    ),
    _control(
        _MeanField,
        "restricted_boltzmann_machine",
        "hidden probabilities for hidden draws",
        "the visible units are drawn given the mean of the hidden ones",
    ),
    _control(
        _AnyUnit,
        "boltzmann_machine",
        "one random unit a step",
        "each unit is still drawn from its conditional law",
        equivalent=True,
    ),
    _control(
        _OtherOrder,
        "ising_3x3",
        "colours in reverse order",
        "a sweep may visit the colours in any order",
        equivalent=True,
    ),
)
