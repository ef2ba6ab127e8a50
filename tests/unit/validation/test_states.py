"""Tests of chains on states: right false-alarm rates, departures that they must see, and hostile chains."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from ebm_ppl.energies import BoltzmannMachine, Graph, RestrictedBoltzmannMachine
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.validation.chains import ShortChains
from ebm_ppl.validation.checks import states
from ebm_ppl.validation.checks.enumeration import free_energy, state_normalizer
from ebm_ppl.validation.checks.state_invariance import state_p_values
from ebm_ppl.validation.results import Verdict
from ebm_ppl.validation.targets import discover_discrete

NUM_REPLICATIONS = 400
NUM_CHAINS = 20_000
LEVEL = 1e-8
"""False-alarm rate of the test that p-values are uniform; it sees p-values halved with 99% power."""

PROBS = np.array([0.4, 0.3, 0.2, 0.1])
TARGETS = discover_discrete()


def moves(rng, share=0.25):
    """Chains that stay, or else draw afresh from a law: reversible, and `PROBS` is invariant."""
    start = rng.choice(4, NUM_CHAINS, p=PROBS)
    fresh = rng.choice(4, NUM_CHAINS, p=PROBS)
    end = np.where(rng.uniform(size=NUM_CHAINS) < share, fresh, start)
    return np.bincount(start * 4 + end, minlength=16).reshape(4, 4)


def ring(rng, share=0.25):
    """Chains that go round: the uniform law is invariant, and no pair of moves is symmetric."""
    start = rng.choice(4, NUM_CHAINS)
    end = np.where(rng.uniform(size=NUM_CHAINS) < share, (start + 1) % 4, start)
    return np.bincount(start * 4 + end, minlength=16).reshape(4, 4)


@pytest.mark.parametrize(
    "p_value",
    [
        lambda rng: states.g_test(rng.multinomial(NUM_CHAINS, PROBS), PROBS),
        lambda rng: states.homogeneity(moves(rng)),
        lambda rng: states.homogeneity(ring(rng)),
        lambda rng: states.symmetry(moves(rng)),
    ],
    ids=["G", "homogeneity", "homogeneity of a ring", "symmetry"],
)
def test_p_values_are_uniform_where_nothing_is_wrong(p_value):
    rng = np.random.default_rng(0)
    values = [p_value(rng) for _ in range(NUM_REPLICATIONS)]
    assert stats.kstest(values, "uniform").pvalue > LEVEL
    assert (
        stats.binomtest(int(np.sum(np.array(values) < 0.01)), NUM_REPLICATIONS, 0.01).pvalue > LEVEL
    )


def test_departures_are_seen():
    rng = np.random.default_rng(1)
    shifted = PROBS + np.array([0.02, -0.02, 0.0, 0.0])
    assert states.g_test(rng.multinomial(NUM_CHAINS, shifted), PROBS) < 1e-6
    assert states.symmetry(ring(rng)) < 1e-100
    drifting = moves(rng) + np.diag([0, 0, 0, 0])
    drifting[0, 3] += 300
    drifting[3, 0] -= min(drifting[3, 0], 150)
    assert states.homogeneity(drifting) < 1e-8


def test_rare_states_share_a_cell():
    probs = np.array([0.5, 0.4, 0.06, 0.03, 0.01])
    np.testing.assert_array_equal(states.cells(probs, 4_000), [0, 1, 2, 2, 2])  # 400 expected
    # Only 40 of the last: they join the least likely of the others.
    np.testing.assert_array_equal(states.cells(probs, 7_000), [0, 1, 2, 3, 3])
    np.testing.assert_array_equal(states.cells(probs, 100), [0] * 5)
    assert states.g_test(np.array([100]), np.array([1.0])) == 1.0
    still = np.diag([10, 20])
    assert states.homogeneity(still) == states.symmetry(still) == 1.0


def exact_chains(table, rng, count=NUM_CHAINS):
    draws = [table.states[rng.choice(len(table.states), count, p=table.probs)] for _ in range(3)]
    start, one, end = (draw.reshape(count, -1) for draw in draws)
    return ShortChains(
        start=start,
        one=one,
        end=end,
        energy_change=np.zeros(count),
        moved=np.any(start != one, axis=1)[None],
        accept_prob=np.ones((1, count)),
    )


def test_independent_draws_pass_and_what_is_no_state_does_not():
    table = enumerate_states(TARGETS["boltzmann_machine"].energy)
    chains = exact_chains(table, np.random.default_rng(2))
    tests = state_p_values(chains, table, reversible=True, reports_acceptance=False)
    assert min(tests.values()) > 1e-6
    assert "symmetry of moves" in tests
    for bad, name in ((0.5, "a point that is no state"), (np.nan, "non-finite value")):
        end = chains.end.copy()
        end[7, 2] = bad
        spoilt = dataclasses.replace(chains, end=end)
        tests = state_p_values(spoilt, table, reversible=True, reports_acceptance=False)
        assert tests == {name: 0.0}


@pytest.mark.parametrize("name", TARGETS)
def test_closed_forms_agree_with_the_sum_over_all_states(name):
    target = TARGETS[name]
    assert target.derivation
    table = enumerate_states(target.energy)
    np.testing.assert_allclose(table.log_z, target.log_z, atol=1e-12)
    assert state_normalizer(table, target.log_z).passed
    assert not state_normalizer(table, target.log_z + 1e-9).passed


class _LosesAHiddenUnit(RestrictedBoltzmannMachine):
    def _energy(self, x):
        return super()._energy(x) + 1e-6 * x[0]


def test_a_wrong_free_energy_is_seen():
    machine = TARGETS["restricted_boltzmann_machine"].energy
    assert free_energy(enumerate_states(machine)).passed
    wrong = _LosesAHiddenUnit(machine.weights, machine.visible_bias, machine.hidden_bias)
    assert free_energy(enumerate_states(wrong)).verdict is Verdict.FAIL


def test_a_law_without_mass_is_refused():
    from ebm_ppl.validation.subjects import Subject

    machine = BoltzmannMachine(1.0, 0.0, Graph.complete(3))
    assert Subject("fine", machine).refusal is None
    nowhere = _Nowhere(machine.weights, machine.biases, machine.graph)
    assert "must be a number at every state" in str(Subject("nowhere", nowhere).refusal)


class _Nowhere(BoltzmannMachine):
    def _energy(self, x):
        return super()._energy(x) + jax.numpy.nan
