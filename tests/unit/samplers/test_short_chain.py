"""Short chains: every step knows its number, the last one too, which stands outside the loop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl.samplers import (
    AbstractWarmup,
    Adaptation,
    Langevin,
    RandomWalkMetropolis,
    Settings,
    run_short_chain,
)
from ebm_ppl.samplers._contract.target import Transition


@dataclasses.dataclass(frozen=True)
class Counting(AbstractWarmup):
    """Steps as large as their number."""

    adaptation: Adaptation

    def init(self, num_warmup, step_size, inverse_mass_matrix, positions):
        return self.adaptation.init(num_warmup, step_size, inverse_mass_matrix, positions)

    def settings(self, state, iteration):
        return Settings(iteration.astype(state.step_size.dtype))

    def update(self, state, observed):
        return state


class CountingMetropolis(RandomWalkMetropolis):
    """Moves every coordinate by the number of the step, whatever the energy."""

    def warmup(self, adaptation):
        return Counting(adaptation)

    def transition(self, rng_key, target, start, auxiliary, settings):
        end = target.evaluate(jnp.full_like(start.position, settings.step_size))
        return Transition(end, auxiliary, jnp.ones(()), jnp.zeros((), bool))


class CountingLangevin(Langevin):
    """Likewise, without acceptance."""

    def warmup(self, adaptation):
        return Counting(adaptation)

    def move(self, noise, target, start, auxiliary, settings):
        return target.evaluate(jnp.full_like(start.position, settings.step_size)), auxiliary


@pytest.mark.parametrize("cls", [CountingMetropolis, CountingLangevin])
@pytest.mark.parametrize("num_steps", [1, 4])
def test_steps_are_numbered_from_0_to_the_last(cls, num_steps):
    kernel = cls(potential_fn=lambda z: 0.0 * jnp.sum(z), step_size=1.0)
    end, accept_prob = run_short_chain(kernel, jnp.zeros(2), num_steps, jax.random.key(0))
    np.testing.assert_allclose(end, num_steps * (num_steps - 1) / 2)
    assert float(accept_prob) == 1.0
