"""Discrete energies against sums over all states: the normaliser, and hidden units summed out."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import AbstractLatentEnergy
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.partition import EnumerationNormalizer
from ebm_ppl.quadrature import StateTable
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.results import CheckResult, Question, Verdict

BOUND = 1e-10
"""Largest allowed error of log Z and of a free energy, in nats; both are computed in float64."""

MOST_HIDDEN_STATES = 2**12


def state_normalizer(
    table: StateTable, log_z: float | None, *, question: Question = Question.CORRECTNESS
) -> CheckResult:
    """Hold `EnumerationNormalizer` against a closed form, or against the table of all states.

    Of an energy with hidden units the normaliser sums over the smaller layer and the table over the visible
    one.

    Args:
        table: The law of all states.
        log_z: Closed form of log Z, or `None`.
        question: Recorded in the result.
    """
    began = time.perf_counter()
    value = EnumerationNormalizer().exact(table.energy)
    error = abs(value - (table.log_z if log_z is None else log_z))
    return CheckResult(
        check="normaliser",
        question=question,
        verdict=Verdict.PASS if error <= BOUND else Verdict.FAIL,
        statistic=error,
        statistic_name="error of log Z (enumeration)",
        bound=BOUND,
        sample_size=len(table.states),
        detectable=f"an error of log Z above {BOUND:.0e}",
        false_alarm_rate=0.0,
        detail=f"log Z = {value:.12g}"
        + ("; no closed form, held against the sum over all states" if log_z is None else ""),
        seconds=time.perf_counter() - began,
        components={"log_z": value},
    )


def has_free_energy(table: StateTable) -> bool:
    """Whether an energy has few enough hidden units for `free_energy`."""
    if not isinstance(table.energy, AbstractLatentEnergy):
        return False
    hidden = StateSpace.of(table.energy.hidden_marginal)
    return hidden is not None and hidden.total <= MOST_HIDDEN_STATES


def free_energy(table: StateTable, *, question: Question = Question.CORRECTNESS) -> CheckResult:
    r"""Hold a free energy against the sum over the hidden units, $-\log \sum_h e^{-E(x, h)}$.

    Args:
        table: The law of all visible states of an `AbstractLatentEnergy`.
        question: Recorded in the result.
    """
    began = time.perf_counter()
    with float64():
        energy = to_float64(table.energy)
        assert isinstance(energy, AbstractLatentEnergy)  # `has_free_energy`
        space = StateSpace.of(energy.hidden_marginal)
        assert space is not None
        hidden = space.states(jnp.arange(space.total))

        def error(x: jax.Array) -> jax.Array:
            joint = jax.vmap(lambda h: energy.joint_energy(x, h))(hidden)
            return energy(x) + logsumexp(-joint)

        states = jnp.asarray(table.states)
        worst = float(np.max(np.abs(jit_lightly(lambda x: jax.lax.map(error, x))(states))))
    return CheckResult(
        check="free energy",
        question=question,
        verdict=Verdict.PASS if worst <= BOUND else Verdict.FAIL,
        statistic=worst,
        statistic_name="largest error of the free energy",
        bound=BOUND,
        sample_size=len(table.states),
        detectable=f"an error above {BOUND:.0e} nats at any state",
        false_alarm_rate=0.0,
        seconds=time.perf_counter() - began,
    )
