"""Every training objective meets its theory, every planted bug is caught, every equivalent passes."""

import pytest

import ebm_ppl.trainers
from ebm_ppl.trainers import AbstractObjective, FisherScoreMatching
from ebm_ppl.validation.checks.training import every_example
from ebm_ppl.validation.results import Question, Verdict
from ebm_ppl.validation.suite import OBJECTIVES
from ebm_ppl.validation.suite.objectives import objective_checks

SEED = 0
CASES = OBJECTIVES.cases()
CONTROLS = OBJECTIVES.controls()

# In the parameter, not in the data: tests/unit/trainers/test_fisher_score_matching.py. Its theory is no
# estimator of a family on the line. Annealed denoising trains a ladder of energies, not one. Replicas
# of discrete energies: tests/unit/trainers/test_replica_exchange_cd.py.
WITHOUT_CASE = {
    FisherScoreMatching.__name__,
    "AnnealedDenoisingScoreMatching",
    "ReplicaExchangeCD",
}


# Chains of their own make these the slowest; contrastive divergence from the data stands for them.
CHAINS_OF_THEIR_OWN = ("persistent", "replay")


def _slow_with_chains(names):
    """Each name as a parameter, marked as slow where the objective carries chains from step to step."""
    return [
        pytest.param(name, marks=pytest.mark.slow) if name.startswith(CHAINS_OF_THEIR_OWN) else name
        for name in names
    ]


@pytest.mark.parametrize("name", _slow_with_chains(CASES))
def test_objective_meets_its_theory(name):
    """False-alarm rate 1e-7 a check; each states what it sees with 99% power."""
    case = CASES[name]
    for check, compute in objective_checks(case, case.objective, SEED, thorough=False):
        result = compute()
        assert result.verdict is Verdict.PASS, f"{check}: {result.detail}"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.recovers])
def test_objective_recovers_parameters_by_minibatches(name):
    """False-alarm rate 1e-7 a fit."""
    case = CASES[name]
    *_, (check, compute) = objective_checks(case, case.objective, SEED, thorough=True)
    assert check == "recovery"
    result = compute()
    assert result.verdict is Verdict.PASS, result.detail


# The quick ones are caught by every kind of check; one that must pass is asked beside them.
STAND_FOR_THE_REST = {"noise contrast: written out"} | {
    name for name, control in CONTROLS.items() if control.quick
}


@pytest.mark.parametrize(
    "name",
    [
        name if name in STAND_FOR_THE_REST else pytest.param(name, marks=pytest.mark.slow)
        for name in CONTROLS
    ],
)
def test_control_is_judged_rightly(name):
    result = OBJECTIVES.judge(CONTROLS[name], SEED)
    assert result.verdict is Verdict.PASS, result.detail
    assert result.question is Question.CONTROL


def test_the_loop_visits_every_example():
    assert every_example().verdict is Verdict.PASS


def test_there_are_enough_planted_bugs():
    assert sum(not control.equivalent for control in CONTROLS.values()) >= 12


def test_every_public_objective_has_a_case():
    public = {
        name
        for name, value in vars(ebm_ppl.trainers).items()
        if isinstance(value, type)
        and issubclass(value, AbstractObjective)
        and not name.startswith("Abstract")
    }
    with_case = {type(case.objective).__name__ for case in CASES.values()}
    assert public - with_case - WITHOUT_CASE == set()
