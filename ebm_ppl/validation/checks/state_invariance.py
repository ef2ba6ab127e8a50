"""Exact invariance on finitely many states: chains that start in the target must stay in it."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ebm_ppl.quadrature import StateTable
from ebm_ppl.validation.cases._base import KernelCase
from ebm_ppl.validation.chains import CHUNK, ShortChains
from ebm_ppl.validation.checks import error_rates, states, uniformity
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS
from ebm_ppl.validation.checks.sequential import screen_then_confirm
from ebm_ppl.validation.results import CheckResult, Question, Verdict

MINIMUM_MOVES = 0.15
"""Share of the transitions that has to move a chain."""

MINIMUM_REJECTION = 0.02
"""Share of rejected transitions of a kernel that reports its acceptance: it has to be exercised."""


@dataclasses.dataclass(frozen=True)
class StateSubject:
    """A kernel on a discrete target, ready to run.

    Attributes:
        case: The kernel and its claims.
        runner: Runs short chains from given starts: `ebm_ppl.validation.chains.ShortChainRunner`.
        table: Ground truth of the target.
    """

    case: KernelCase
    runner: Callable[[jax.Array, Any, float], ShortChains]
    table: StateTable


def state_p_values(
    chains: ShortChains, table: StateTable, *, reversible: bool, reports_acceptance: bool
) -> dict[str, float]:
    """p-values of all tests of short chains from exact starts; all 0 if a chain has left the states."""
    if not chains.is_finite:
        return {"non-finite value": 0.0}
    shape = (len(chains.start), *table.energy.event_shape)
    try:
        numbers = [
            table.number_of(positions.reshape(shape))
            for positions in (chains.start, chains.one, chains.end)
        ]
    except ValueError:
        return {"a point that is no state": 0.0}
    cell_of = states.cells(table.probs, len(chains.start))
    num_cells = int(cell_of.max()) + 1
    probs = np.bincount(cell_of, table.probs, num_cells)
    start, one, end = (cell_of[number] for number in numbers)

    def moves(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pairs = np.bincount(first * num_cells + second, minlength=num_cells**2)
        return pairs.reshape(num_cells, num_cells)

    p_values = {
        "G test": states.g_test(np.bincount(end, minlength=num_cells), probs),
        "G test after one step": states.g_test(np.bincount(one, minlength=num_cells), probs),
        "paired change": states.homogeneity(moves(start, end)),
        "paired change in one step": states.homogeneity(moves(start, one)),
    }
    if reversible:
        p_values["symmetry of moves"] = states.symmetry(moves(start, one))
    if reports_acceptance:
        p_values |= uniformity.acceptance_tests(chains.moved, chains.accept_prob)
    surprise = np.where(table.probs > 0, -table.log_probs, 0.0)
    centred = surprise - table.entropy()
    p_values["neighbour independence, end"] = uniformity.neighbour_independence(centred[numbers[2]])
    p_values["neighbour independence, change"] = uniformity.neighbour_independence(
        surprise[numbers[1]] - surprise[numbers[0]]
    )
    return p_values


def state_invariance(
    subject: StateSubject,
    rng_key: jax.Array,
    *,
    question: Question = Question.CORRECTNESS,
    screen_chains: int = SCREEN_CHAINS,
) -> CheckResult:
    """Check that a kernel leaves a discrete target invariant, by a screen and, if need be, a confirmation.

    Args:
        subject: Kernel and target.
        rng_key: Random key; screen and confirmation use independent ones.
        question: Recorded in the result.
        screen_chains: Independent chains in the screen; four times as many in the confirmation.

    Returns:
        FAIL if both stages reject, or the screen does beyond doubt, or the chains hardly move, or never
        exercise the acceptance that they report; PASS otherwise.
    """
    began = time.perf_counter()
    case, table = subject.case, subject.table
    shares: list[float] = []

    def stage(key: jax.Array, num_chains: int) -> dict[str, float]:
        num_chains = max(num_chains // CHUNK * CHUNK, min(num_chains, CHUNK))
        start_key, chain_key = jax.random.split(key)
        start = np.asarray(table.sample(start_key, (num_chains,)))
        chains = subject.runner(chain_key, start, 1.0)
        shares.append(chains.acceptance)
        return state_p_values(
            chains, table, reversible=case.reversible, reports_acceptance=case.reports_acceptance
        )

    decision = screen_then_confirm(stage, rng_key, screen_chains)
    worst, share = decision.worst, shares[0]
    unexercised = ""
    if share < MINIMUM_MOVES:
        unexercised = f"the chains hardly moved ({share:.1%} of the transitions)"
    elif case.reports_acceptance and 1 - share < MINIMUM_REJECTION:
        unexercised = f"only {1 - share:.1%} of the proposals were rejected"
    if decision.rejected:
        detail = f"the law changed: {worst}"
    else:
        detail = unexercised or f"no test rejects; the least likely was {worst}"
    num_cells = int(states.cells(table.probs, screen_chains).max()) + 1
    divergence = _detectable(len(decision.tests), num_cells, screen_chains)
    return CheckResult(
        check="exact invariance",
        question=question,
        verdict=Verdict.FAIL if decision.rejected or unexercised else Verdict.PASS,
        statistic=error_rates.rank(decision.tests[worst]),
        statistic_name=f"smallest p-value of {len(decision.tests)} tests, {worst}",
        bound=error_rates.SCREEN_LEVEL,
        p_value=decision.p_value,
        sample_size=decision.sample_size,
        detectable=f"a Kullback-Leibler divergence of {divergence:.1e} nats",
        false_alarm_rate=error_rates.SEQUENTIAL_LEVEL,
        detail=detail,
        seconds=time.perf_counter() - began,
        components={f"p: {name}": error_rates.rank(p) for name, p in decision.tests.items()}
        | {"share of moves": share},
    )


def _detectable(num_tests: int, num_cells: int, num_chains: int) -> float:
    r"""Smallest divergence that the G test sees: it is half of $\delta^2$, the noncentrality for a draw."""
    shift = error_rates.detectable_component(
        num_chains, error_rates.SCREEN_LEVEL, num_tests, max(num_cells - 1, 1)
    )
    return shift**2 / 2
