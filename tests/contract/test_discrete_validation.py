"""What a report asks of discrete energies and their kernels, and that planted bugs are caught."""

import jax.numpy as jnp
import pytest
from numpyro.distributions import constraints

from ebm_ppl import validation
from ebm_ppl.energies import BoltzmannMachine, Graph, Quartic, from_callable
from ebm_ppl.validation import cases, targets
from ebm_ppl.validation.checks.state_balance import state_balance
from ebm_ppl.validation.subjects import built_in

DISCRETE = [case for case in cases.discover().values() if case.discrete]
TARGETS = targets.discover_discrete()


@pytest.mark.slow
def test_a_discrete_energy_gets_the_questions_of_its_kind():
    """False alarm: 2e-7 for each of two kernels' invariance, 1e-7 for each run against the truth."""
    machine = TARGETS["restricted_boltzmann_machine"].energy
    names = [*(case.name for case in DISCRETE), "mala"]
    report = validation.run({"machine": machine}, names, mode="quick")
    assert report.passed, [row for row in report.rows if not row.result.passed]
    assert [(row.kernel, row.result.check) for row in report.rows] == [
        ("-", "normaliser"),
        ("-", "free energy"),
        ("block-gibbs", "mixing"),
        ("block-gibbs", "exact invariance"),
        ("gibbs-with-gradients", "mixing"),
        ("gibbs-with-gradients", "detailed balance"),
        ("gibbs-with-gradients", "exact invariance"),
    ]
    assert report.options["left out"] == ["mala on machine: it moves along real numbers"]
    assert report.traces[0].truth_energy_draws is not None


@pytest.mark.slow
def test_an_energy_of_yours_without_blocks_meets_the_kernel_that_needs_none():
    energy = from_callable(
        lambda x: 0.3 * x[0] ** 2 - 0.5 * x[0] * x[1] + jnp.cos(x[1]),
        (2,),
        constraints.integer_interval(-1, 2),
    )
    report = validation.run({"integers": energy}, mode="quick")
    assert {row.kernel for row in report.rows} == {"-", "gibbs-with-gradients"}
    assert report.passed, [row for row in report.rows if not row.result.passed]
    (left_out,) = report.options["left out"]
    assert left_out.startswith("block-gibbs on integers: it needs an AbstractBlockwiseEnergy")


@pytest.mark.slow
def test_many_states_are_compared_without_truth():
    energy = BoltzmannMachine(0.05, 0.0, Graph.lattice((5, 5)))
    report = validation.run({"lattice": energy}, ["block-gibbs"], mode="quick")
    assert [row.result.check for row in report.rows] == ["mixing"]
    assert "no ground truth" in report.rows[0].result.detectable


def test_kernels_say_what_they_cannot_sample():
    block, gradients = (cases.discover()[name] for name in ("block-gibbs", "gibbs-with-gradients"))
    machine = TARGETS["boltzmann_machine"].energy
    assert block.refusal(machine) == gradients.refusal(machine) == ""
    assert block.refusal(Quartic()) == "it moves on states"
    assert cases.discover()["mala"].refusal(machine) == "it moves along real numbers"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "potts_chain" else pytest.mark.slow)
        for name in TARGETS
    ],
)
def test_gibbs_with_gradients_is_in_detailed_balance(name):
    subject = built_in()[name]
    case = cases.discover()["gibbs-with-gradients"]
    assert state_balance(case, subject.potential, subject.table).passed
