"""Persistent chains in equilibrium, whose expected gradient is that of the likelihood."""

import functools

from ebm_ppl.samplers import RandomWalkMetropolis
from ebm_ppl.trainers import PersistentCD, ReplayBufferCD
from ebm_ppl.validation import estimation
from ebm_ppl.validation.cases._objective import ObjectiveCase
from ebm_ppl.validation.estimation import QUARTIC

_KERNEL = functools.partial(RandomWalkMetropolis, step_size=2.0)
_THEORY = estimation.MaximumLikelihood(QUARTIC)

CASES = (
    ObjectiveCase(
        name="persistent_cd",
        objective=PersistentCD(_KERNEL, num_steps=10, num_chains=1024),
        theory=_THEORY,
        burn_in=4,
        holds_chains=True,
    ),
    ObjectiveCase(
        name="replay_buffer_cd",
        # a restarted chain has many sweeps before it counts: 40 of them leave no trace of its start
        objective=ReplayBufferCD(_KERNEL, num_steps=40, buffer_size=2048, restart_fraction=0.02),
        theory=_THEORY,
        burn_in=1,
        holds_chains=True,
    ),
)
