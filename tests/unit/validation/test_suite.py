"""The loop over kinds: what is asked by default, in which order, and that a further kind is only a record."""

import dataclasses

import pytest

from ebm_ppl.energies import Quartic
from ebm_ppl.validation import names
from ebm_ppl.validation.results import CheckResult, Question, Row, Verdict
from ebm_ppl.validation.suite import KINDS, Kind, questions
from ebm_ppl.validation.suite.job import Job
from ebm_ppl.validation.suite.kind import Scope
from ebm_ppl.validation.suite.questions import QUICK_ENERGIES, Questions

ALL_KERNELS = names.KERNELS.known


def chosen(energy=None, mode="quick", **given):
    given = {"energies": None} | {kind.plural: None for kind in questions.KINDS} | given
    return Questions.chosen(energy, mode=mode, seed=0, **given)


@pytest.mark.parametrize(
    ("given", "energies", "kernels", "objectives", "estimators"),
    [
        ({}, QUICK_ENERGIES, ALL_KERNELS, 2, 1),
        ({"kernels": ["mala"]}, QUICK_ENERGIES, ("mala",), 0, 0),
        ({"energies": ["quartic"]}, ("quartic",), ALL_KERNELS, 0, 0),
        ({"energy": Quartic()}, ("Quartic",), ALL_KERNELS, 0, 0),
        ({"objectives": ["score_matching"]}, (), (), 1, 0),
        ({"estimators": ["sequential_monte_carlo"]}, (), (), 0, 1),
        ({"kernels": ["mala"], "objectives": ["score_matching"]}, QUICK_ENERGIES, ("mala",), 1, 0),
        ({"energies": ["quartic"], "objectives": []}, ("quartic",), ALL_KERNELS, 0, 0),
        ({"mode": "thorough", "objectives": []}, (), (), 0, 0),
    ],
)
def test_what_is_not_chosen_is_asked_only_beside_nothing_else(
    given, energies, kernels, objectives, estimators
):
    asked = chosen(**given).names
    assert list(asked) == ["energies", "kernels", "objectives", "estimators"]
    assert tuple(asked["energies"]) == energies
    assert tuple(asked["kernels"]) == kernels
    assert (len(asked["objectives"]), len(asked["estimators"])) == (objectives, estimators)


def test_more_than_a_quick_report_asks_all_of_every_kind():
    asked = chosen(mode="thorough").names
    assert all(asked[kind.plural] == list(kind.cases()) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_controls_come_after_what_they_belong_to_and_not_beside_a_callers_own_energy(kind):
    name = (kind.quick or ("mala",))[0]
    labels = [job.label for job in chosen(**{kind.plural: [name]}).plan()]
    are_controls = [label.startswith("control: ") for label in labels]
    assert any(are_controls)
    assert are_controls == sorted(are_controls)
    own = chosen(energy=Quartic(), **{kind.plural: [name]}).plan()
    assert not any(job.label.startswith("control: ") for job in own)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_only_kernels_may_be_a_callers_own(kind):
    case = dataclasses.replace(next(iter(kind.cases().values())), name="mine")
    assert not kind.knows(case)
    if kind.takes_own:
        assert kind.resolve([case], is_quick=True) == [case]
    else:
        with pytest.raises(ValueError, match=f"`{kind.plural}` must be one of"):
            kind.resolve([case], is_quick=True)


@dataclasses.dataclass(frozen=True)
class Coin:
    """A case, and a control, of a kind that the suite does not have."""

    name: str
    verdict: Verdict
    wrong_because: str = "it falls on its edge"
    equivalent: bool = False
    quick: bool = True

    def toss(self) -> CheckResult:
        return CheckResult("toss", Question.ESTIMATION, self.verdict, 0.0, "heads", 1, "", 0.0)


def coin_jobs(coins, scope: Scope):
    def job(coin):
        return Job(coin.name, "table", coin.name, lambda emit: emit(row(coin)) or ())

    def row(coin):
        return Row("table", coin.name, coin.toss())

    return [job(coin) for coin in coins]


FAIR = Coin("fair", Verdict.PASS)
COINS = Kind(
    names=names.Names("coins", "--coin", "Coins", "A coin.", lambda: ("fair",)),
    cases=lambda: {FAIR.name: FAIR},
    controls=lambda: {
        "bent": Coin("bent", Verdict.FAIL),
        "unseen": Coin("unseen", Verdict.PASS),
        "worn": Coin("worn", Verdict.PASS, equivalent=True),
        "rare": Coin("rare", Verdict.FAIL, quick=False),
    },
    jobs=coin_jobs,
    control_checks=lambda control, _seed: iter([("toss", control.toss)]),
    place_of=lambda _control: "table",
)


def test_a_further_kind_is_planned_named_and_judged_by_its_record_alone(monkeypatch):
    monkeypatch.setattr(questions, "KINDS", (*KINDS, COINS))
    asked = chosen(coins=["fair"])
    rows = []
    for job in asked.plan():
        job.run(rows.append)
    assert asked.are_known
    assert asked.names["coins"] == ["fair"]
    assert [(row.kernel, row.result.verdict, row.result.detail) for row in rows] == [
        ("fair", Verdict.PASS, ""),
        ("control: bent", Verdict.PASS, "caught by toss; it falls on its edge"),
        ("control: unseen", Verdict.FAIL, "not caught; it falls on its edge"),
        ("control: worn", Verdict.PASS, "passed, as it should; it falls on its edge"),
    ]


@pytest.mark.parametrize(("is_equivalent", "outcome"), [(False, "not caught"), (True, "rejected")])
def test_a_control_whose_check_breaks_is_neither_caught_nor_passed(is_equivalent, outcome):
    def breaks():
        raise ValueError("no table")

    coin = Coin("worn", Verdict.PASS, equivalent=is_equivalent)
    kind = dataclasses.replace(
        COINS, control_checks=lambda *_: iter([("toss", breaks), ("again", coin.toss)])
    )
    result = kind.judge(coin, seed=0)
    assert result.verdict is Verdict.FAIL
    assert result.detail.startswith(outcome)
