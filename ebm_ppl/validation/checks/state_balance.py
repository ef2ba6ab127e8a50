r"""Detailed balance of a kernel that proposes single changes of a state, without a random number.

From a state $x$ the kernel proposes the change $x'$ with probability $q(x' \mid x)$ and accepts it with
probability $\min(1, r(x, x'))$. It is reversible if
$$\pi(x)\, q(x' \mid x)\, \min(1, r(x, x')) = \pi(x')\, q(x \mid x')\, \min(1, r(x', x))$$
for every state and every change of one coordinate.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import StateTable
from ebm_ppl.samplers import GibbsWithGradients
from ebm_ppl.validation.cases._base import KernelCase
from ebm_ppl.validation.checks.detailed_balance import BOUND
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.results import CheckResult, Question, Verdict

MAXIMUM_STARTS = 1024
"""States from which every change is looked at: all, or so many that are spread over them."""


def state_balance(
    case: KernelCase,
    potential: EnergyPotential,
    table: StateTable,
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult:
    """Hold the probability flow of every single change against the reverse flow.

    Args:
        case: The kernel, whose `log_proposal` and `propose` are questioned.
        potential: Potential of the target.
        table: Ground truth.
        question: Recorded in the result.

    Returns:
        FAIL if the flows differ by more than `BOUND`, relative to the largest, at any change.
    """
    began = time.perf_counter()
    num_starts = min(len(table.states), MAXIMUM_STARTS)
    rows = np.linspace(0, len(table.states) - 1, num_starts).round().astype(int)
    with float64():
        potential = to_float64(potential)
        kernel = case.make(potential)
        assert isinstance(kernel, GibbsWithGradients)  # `case` claims it
        flows = _flows(kernel, potential, jnp.asarray(table.states[rows]), table.log_probs[rows])
    worst = float(np.max(np.abs(flows[..., 0] - flows[..., 1])) / np.max(flows))
    return CheckResult(
        check="detailed balance",
        question=question,
        verdict=Verdict.PASS if worst <= BOUND else Verdict.FAIL,
        statistic=worst,
        statistic_name="largest difference of flow and reverse flow, relative to the largest flow",
        bound=BOUND,
        sample_size=flows[..., 0].size,
        detectable=f"flows that differ by {BOUND:.0e} of the largest flow at any of the changes",
        false_alarm_rate=0.0,
        seconds=time.perf_counter() - began,
    )


def _flows(
    kernel: GibbsWithGradients, potential: EnergyPotential, starts: Array, log_probs: np.ndarray
) -> np.ndarray:
    """Flow and reverse flow of each change from each start, shape `(starts, changes, 2)`."""
    space = StateSpace.of(potential.energy)
    assert space is not None  # there is a table
    lowest, step = jnp.asarray(space.lowest), space.step
    shape = (len(space.sizes), max(space.sizes))
    site, digit = (jnp.asarray(part.ravel()) for part in np.indices(shape))

    def flow(log_prob: Array, log_q: Array, log_ratio: Array) -> Array:
        return jnp.exp(log_prob + log_q + jnp.minimum(log_ratio, 0.0))

    def change(x: Array, log_prob: Array, log_q: Array, site: Array, digit: Array) -> Array:
        before = jnp.round((x.ravel()[site] - lowest[site]) / step).astype(int)
        end, log_ratio = kernel.propose(x, log_q, site, digit)
        log_q_back = kernel.log_proposal(end)
        _, log_ratio_back = kernel.propose(end, log_q_back, site, before)
        end_log_prob = log_prob + potential.energy(x) - potential.energy(end)
        there = flow(log_prob, log_q[site, digit], log_ratio)
        back = flow(end_log_prob, log_q_back[site, before], log_ratio_back)
        # The value that a coordinate has, and those that it cannot have, are not proposed.
        return jnp.where(jnp.isfinite(log_q[site, digit]), jnp.stack([there, back]), 0.0)

    def changes(x: Array, log_prob: Array) -> Array:
        log_q = kernel.log_proposal(x)
        return jax.vmap(lambda site, digit: change(x, log_prob, log_q, site, digit))(site, digit)

    return np.asarray(jit_lightly(jax.vmap(changes))(starts, jnp.asarray(log_probs)))
