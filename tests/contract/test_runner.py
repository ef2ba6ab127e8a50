"""The validation run: what it asks, what it refuses, and what it makes of hostile energies."""

import dataclasses

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from numpyro.distributions import constraints

import ebm_ppl as ebm
from ebm_ppl import validation
from ebm_ppl.energies import Gaussian, Quartic, from_callable
from ebm_ppl.quadrature import normalize
from ebm_ppl.validation import cases
from ebm_ppl.validation.chains import ShortChains
from ebm_ppl.validation.checks import invariance
from ebm_ppl.validation.checks.adaptation import frozen_adaptation
from ebm_ppl.validation.checks.evaluations import evaluations
from ebm_ppl.validation.controls.acceptance import _NeverMoves
from ebm_ppl.validation.results import Question, Verdict
from ebm_ppl.validation.subjects import built_in
from ebm_ppl.validation.suite.questions import Questions


def _raises(x):
    raise RuntimeError("the energy's own message")


HOSTILE = {
    "raises": (from_callable(_raises, ()), "RuntimeError: the energy's own message"),
    "not a number": (from_callable(lambda x: x * jnp.nan, ()), "NonFiniteEnergyError"),
    "a vector": (from_callable(lambda x: jnp.stack([x, x]), ()), "ValueError"),
    "constant": (from_callable(lambda x: 0.0 * x, ()), "NotNormalizableError"),
    "linear": (from_callable(lambda x: x, ()), "NotNormalizableError"),
    "infinitely deep": (from_callable(lambda x: jnp.log(x**2) + x**2, ()), "Error"),
    "<script>alert(1)</script>": (from_callable(lambda x: -(x**2), ()), "NotNormalizableError"),
    "constant in 3-D": (from_callable(lambda x: 0.0 * x.sum(), (3,)), "constant"),
    "not a number in 3-D": (from_callable(lambda x: jnp.log(-(x**2).sum()), (3,)), "not finite"),
}


@pytest.fixture(scope="module")
def hostile_report():
    energies = {name: energy for name, (energy, _) in HOSTILE.items()}
    return validation.run(energies, kernels=["mala"], mode="quick")


@pytest.fixture(scope="module")
def mixed_run():
    """A report of good and bad, and its rows and progress as they came."""
    energies = {name: HOSTILE[name][0] for name in ("raises", "linear")}
    seen, progress = [], []
    report = validation.run(
        energies | {"good": Quartic()},
        kernels=["mala", "langevin"],
        mode="quick",
        on_row=seen.append,
        on_progress=lambda *args: progress.append(args),
    )
    return report, seen, progress


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_energy_gets_one_clear_verdict(name, hostile_report):
    rows = [row for row in hostile_report.rows if row.energy == name]
    assert len(rows) == 1
    assert rows[0].result.verdict is Verdict.ERROR
    assert HOSTILE[name][1] in rows[0].result.detail
    assert "\n" not in rows[0].result.detail


def test_the_other_rows_still_run(mixed_run):
    report, *_ = mixed_run
    rows = [row for row in report.rows if row.energy == "good"]
    assert [(row.kernel, row.result.check) for row in rows] == [
        ("-", "gradient"),
        ("-", "change of variables"),
        ("-", "resolution"),
        ("-", "normaliser"),
        ("mala", "mixing"),
        ("mala", "detailed balance"),
        ("mala", "exact invariance"),
        ("langevin", "mixing"),
    ]
    assert all(row.result.passed for row in rows)
    for name in ("raises", "linear"):
        (row,) = (row for row in report.rows if row.energy == name)
        assert row.result.verdict is Verdict.ERROR
    assert not report.passed


def test_a_report_spends_less_than_its_budget(mixed_run):
    report, *_ = mixed_run
    spent = sum(row.result.false_alarm_rate for row in report.rows)
    assert report.false_alarm_spent == pytest.approx(spent)
    assert spent <= report.false_alarm_budget == 1e-4


@pytest.mark.slow
def test_more_than_two_coordinates_are_compared_without_truth():
    report = validation.run(Gaussian(jnp.zeros(3), jnp.eye(3)), kernels=["mala"], mode="quick")
    rows = [row.result for row in report.rows if row.energy == "Gaussian"]
    expected = ["gradient", "change of variables", "resolution", "mixing"]
    assert [row.check for row in rows] == expected
    assert report.passed
    assert report.traces[0].truth_density is None
    assert "no ground truth" in rows[-1].detectable


class _Cheap(ebm.MALA):
    """MALA that claims twice what it computes."""

    potential_evaluations_per_step = 2


class _TwoGradients(ebm.MALA):
    """MALA that computes one more gradient than it says."""

    def transition(self, rng_key, target, start, auxiliary, settings):
        new = super().transition(rng_key, target, start, auxiliary, settings)
        again = target.evaluate(0.5 * jnp.ones_like(start.position))
        point = new.point._replace(
            potential_energy=new.point.potential_energy + 0 * again.potential_energy
        )
        return new._replace(point=point)


@pytest.mark.usefixtures("light_compilation")
@pytest.mark.parametrize(
    ("kernel", "detail"),
    [
        (ebm.MALA, ""),
        (ebm.RandomWalkMetropolis, ""),
        (_Cheap, "a step makes 1 of the potential where 2 is claimed"),
        (
            _TwoGradients,
            "2 of the gradient where 1 is claimed, 2 of the potential where 1 is claimed",
        ),
    ],
)
def test_a_step_costs_what_its_class_claims(kernel, detail):
    case = cases.KernelCase("user's", lambda potential: kernel(potential_fn=potential), exact=True)
    result = evaluations(case, ebm.potential_fn(Quartic()), jax.random.key(0))
    assert result is not None
    assert result.verdict is (Verdict.FAIL if detail else Verdict.PASS)
    assert detail in result.detail


def test_a_kernel_that_does_not_move_is_named():
    case = dataclasses.replace(
        cases.discover()["random-walk-metropolis"],
        name="frozen",
        make=lambda potential: _Frozen(potential),
        metropolis=False,
    )
    report = validation.run(Quartic(), kernels=[case], mode="quick")
    verdicts = {row.result.check: row.result for row in report.rows if row.kernel == "frozen"}
    assert verdicts["mixing"].verdict is Verdict.FAIL
    assert "repeats one draw" in verdicts["mixing"].detail
    assert verdicts["exact invariance"].verdict is Verdict.FAIL


def test_a_kernel_made_for_one_energy_is_asked_about_no_other():
    def make(potential):
        assert isinstance(potential.energy, Quartic)
        return ebm.MALA(potential_fn=potential)

    case = cases.KernelCase("made for quartics", make, exact=True)
    known = cases.discover()["mala"]

    def where(energy, kernel):
        plan = Questions.chosen(
            energy,
            kernels=[kernel],
            energies=None,
            objectives=None,
            estimators=None,
            mode="quick",
            seed=0,
        ).plan()
        (claims,) = [job for job in plan if job.label.endswith(": claims")]
        rows = []
        claims.run(rows.append)
        return claims.energy, {row.result.verdict for row in rows}

    assert where(Quartic(), case) == ("Quartic", {Verdict.PASS})
    assert where(Quartic(), known) == ("gaussian_mixture_1d", {Verdict.PASS})


@pytest.mark.usefixtures("light_compilation")
def test_steps_that_are_numbered_use_no_key_again():
    """Replica exchange keeps its key, and hashes the number of each step with it."""
    case = cases.discover()["replica-exchange"]
    arguments = (ebm.potential_fn(Quartic()), jax.random.key(0))
    assert (
        frozen_adaptation(case, *arguments, question=Question.CORRECTNESS).verdict is Verdict.PASS
    )

    def stuck(potential):
        kernel = case.make(potential)
        sample = kernel.sample
        kernel.sample = lambda state, *rest: sample(state, *rest)._replace(
            iteration=state.iteration
        )
        return kernel

    stuck_case = dataclasses.replace(case, make=stuck)
    result = frozen_adaptation(stuck_case, *arguments, question=Question.CORRECTNESS)
    assert result.verdict is Verdict.FAIL
    assert "random keys were used again" in result.detail


def test_moves_that_rounding_undoes_are_no_refusals():
    """Far out a small step is less than a unit in the last place."""
    start = np.array([[0.1], [0.2], [0.3], [1e6], [2e6]], dtype=np.float32)
    one = start + np.float32(1e-3)
    moved = (one != start).T
    np.testing.assert_array_equal(moved, [[True, True, True, False, False]])
    accepted = np.ones((1, 5), dtype=np.float32)
    chains = ShortChains(start, one, one, np.zeros(5), moved, accepted)
    density = normalize(Quartic())
    options = {"reversible": False, "reports_acceptance": True}
    tests = invariance.invariance_p_values(chains, density, **options)
    assert tests["acceptance martingale"] == 1.0
    stuck = dataclasses.replace(chains, moved=np.array([[True, True, False, False, False]]))
    tests = invariance.invariance_p_values(stuck, density, **options)
    assert tests["acceptance martingale"] == 0.0


def test_an_acceptance_that_no_step_size_exercises_is_an_error_and_no_failure():
    """Of a flat law, whose proposals nothing refuses."""
    case = dataclasses.replace(cases.discover()["mala"], name="bold")
    verdict, detail = invariance._exercise(case, {0.1: 1.0, 0.2: 0.9})
    assert verdict is Verdict.ERROR
    assert "at most 10.0%" in detail
    assert invariance._exercise(case, {0.1: 1.0, 0.2: 0.8}) == (Verdict.PASS, "")
    assert invariance._exercise(case, {0.1: 0.1})[0] is Verdict.FAIL


class _Frozen(_NeverMoves):
    """A kernel of a user that stays where it is."""


def test_a_user_kernel_that_raises_is_an_error_and_not_a_crash():
    def broken(potential):
        raise ValueError("no kernel today")

    case = dataclasses.replace(cases.discover()["mala"], name="broken", make=broken)
    report = validation.run(Quartic(), kernels=[case], mode="quick")
    rows = [row.result for row in report.rows if row.kernel == "broken"]
    assert {row.verdict for row in rows} == {Verdict.ERROR}
    assert all("no kernel today" in row.detail for row in rows)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures_and_another_seed_others():
    def figures(seed):
        report = validation.run(Quartic(), kernels=["mala"], mode="quick", seed=seed)
        return [row.result.statistic for row in report.rows], report.traces[0].draws

    first, second, other = figures(0), figures(0), figures(1)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "slow"}, r"`mode` must be one of 'quick', 'thorough', 'full'; got 'slow'"),
        ({"seed": -1}, r"`seed` must be an integer of at least 0; got -1"),
        ({"seed": 1.5}, r"`seed` must be an integer of at least 0; got 1.5"),
        ({"kernels": ["gibbs"]}, r"`kernels` must be one of 'barker'.*got 'gibbs'"),
        ({"kernels": "mala"}, r"`kernels` must be a list of names; got 'mala'"),
        ({"objectives": "exact"}, r"`objectives` must be a list of names; got 'exact'"),
        ({"energies": ["atlantis"]}, r"`energies` must be one of .*got 'atlantis'"),
    ],
)
def test_bad_arguments_are_named_with_bound_and_value(arguments, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        validation.run(**arguments)


def test_what_is_no_energy_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match="must be an AbstractEnergy; got function for 'mine'"):
        validation.run({"mine": lambda x: x})
    with pytest.raises(
        TypeError, match=r"got function for 'function'\. Make one with .*from_calla"
    ):
        validation.run(lambda x: x)


def test_progress_and_rows_are_reported_as_they_come(mixed_run):
    report, seen, progress = mixed_run
    assert {id(row) for row in seen} == {id(row) for row in report.rows}  # in the order of falling
    assert len(seen) == len(report.rows)
    assert progress[0][0] == 0
    assert progress[-1][0] == progress[-1][1]
    questions = {row.result.check: row.result.question for row in seen}
    assert questions["mixing"] is Question.MIXING
    assert questions["order of bias"] is Question.CORRECTNESS


def test_every_exported_kernel_has_a_case():
    from ebm_ppl import samplers

    made = {
        type(case.make(built_in()["ising_3x3" if case.discrete else "quartic"].potential)).__name__
        for case in cases.discover().values()
    }
    exported = {
        name
        for name in dir(samplers)
        if isinstance(getattr(samplers, name), type)
        and issubclass(getattr(samplers, name), samplers.AbstractKernel)
        and not name.startswith("Abstract")
    }
    assert exported <= made
    assert {"HMC", "NUTS", "BarkerMH"} <= made


@pytest.mark.slow
def test_positive_and_bounded_supports_run():
    energy = from_callable(lambda x: 2.0 * x, (), constraints.positive)
    report = validation.run({"exponential": energy}, kernels=["mala"], mode="quick")
    assert report.passed
    assert (report.traces[0].draws > 0).all()
