"""The count of answers that are silently wrong: what is counted as what, and a run of the command."""

import dataclasses
import warnings

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from numpyro.diagnostics import summary

from ebm_ppl.quadrature import _normalize, _plane
from validation.silent_failures import __main__ as command
from validation.silent_failures import kernels, quadrature, table
from validation.silent_failures.answers import Answer, answer_to
from validation.silent_failures.functions import Function


def test_what_is_said_counts():
    def refuses():
        raise ValueError("no")

    def warns():
        warnings.warn("be careful", UserWarning, stacklevel=1)
        return False

    def mutters():
        warnings.warn(
            "There are not enough devices to run parallel chains", UserWarning, stacklevel=1
        )
        np.log(np.zeros(2) - 1.0)
        return False

    def reports_on_itself():
        warnings.warn("1% of the steps diverged", RuntimeWarning, stacklevel=1)
        return False

    def crashes():
        raise TypeError("a bug")

    assert answer_to(lambda: True) is Answer.RIGHT
    assert answer_to(lambda: False) is Answer.WRONG
    assert answer_to(refuses) is answer_to(warns) is Answer.SAID_SO
    assert answer_to(reports_on_itself) is Answer.SAID_SO
    assert answer_to(mutters) is Answer.WRONG
    with pytest.raises(TypeError, match="a bug"):
        answer_to(crashes)


def test_problems_are_drawn_from_the_seed_in_turn():
    function = quadrature.FUNCTIONS[0]
    again = [list(function.problems(40, seed=3)) for _ in range(2)]
    other = list(function.problems(40, seed=4))
    assert [one[2].parameters for one in again[0]] == [one[2].parameters for one in again[1]]
    assert [one[2].parameters for one in again[0]] != [one[2].parameters for one in other]
    assert {(one[0], one[1]) for one in again[0]} >= {("funnel", 2), ("funnel", 3), ("steps", 1)}


def test_counts_and_their_interval():
    function = Function(
        "f", lambda problem, key: problem.parameters["scale"] < 2.0, {"funnel": (2,)}
    )
    (row,) = command.ask(function, 40, seed=0)
    wrong = row.answers[Answer.WRONG]
    assert 5 < wrong < 35
    assert row.answers.total() == 40
    assert all(where["scale"] >= 2.0 and where["dim"] == 2 for where in row.wrong)
    assert table.sentence([row]).startswith(f"{wrong} of 40 (")
    assert row.as_json()["wrong"] == wrong


@pytest.mark.slow
def test_the_command_finds_what_two_grids_agree_on(monkeypatch):
    """The planted bug: as it is, none of these is silently wrong."""
    only_stairs = dataclasses.replace(quadrature.FUNCTIONS[0], families={"staircase": (2,)})
    assert all(not row.wrong for row in command.ask(only_stairs, 2, seed=0))
    monkeypatch.setattr(_plane, "step_error", lambda *_: 0.0)
    monkeypatch.setattr(_normalize, "_second_opinion", lambda _, grid: grid.estimate.error)
    assert any(row.wrong for row in command.ask(only_stairs, 2, seed=0))


@pytest.mark.parametrize("light", [["--light"], []], ids=["light", "as usual"])
@pytest.mark.usefixtures("light_compilation")  # which brings the setting back
def test_a_run_of_the_command(tmp_path, monkeypatch, light):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    result = CliRunner().invoke(
        command.main, ["--of", "quadrature", "--problems", "3", "--seed", "5", "--write", *light]
    )
    assert jax.config.read("jax_disable_most_optimizations") == bool(light)
    assert result.exit_code == 0, result.output
    assert "Quadrature: silently wrong 0 of 3 (0.0% to 70.8%)" in result.output
    assert "| `normalize` | steps |" in result.output
    assert (tmp_path / "quadrature_seed_5.json").exists()


def test_draws_are_judged_by_their_own_error():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(8, 1000, 1))
    truth = np.zeros(1)
    assert kernels._agrees(draws, truth)
    assert not kernels._agrees(draws + 0.1, truth)
    with pytest.raises(ValueError, match="out of bounds"):
        kernels._agrees(draws + np.arange(8.0)[:, None, None], truth)


def test_tails_that_chains_disagree_about_are_out_of_bounds():
    """Chains of equal means and unequal widths: the R-hat of means alone, the planted bug, sees nothing."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(8, 1000, 1)) * np.linspace(0.5, 2.0, 8)[:, None, None]
    said = summary({"x": draws}, group_by_chain=True)["x"]
    assert said["r_hat"] < 1.01
    assert said["n_eff"] > 400
    with pytest.raises(ValueError, match="out of bounds"):
        kernels._agrees(draws, np.zeros(1))


@pytest.mark.parametrize(
    ("diverging", "change", "is_refused"),
    [(0.0, 1.0, False), (0.0, 0.05, True), (0.01, 1.0, True)],
    ids=["in order", "slow energies", "divergences"],
)
def test_what_numpyro_collects_is_read(diverging, change, is_refused):
    """Energies are an autoregression whose E-BFMI is about twice what is forgotten in a step."""
    rng = np.random.default_rng(0)
    noise, energies = rng.normal(size=(1000, 8)), np.zeros((1000, 8))
    for step in range(1, 1000):
        energies[step] = (1 - change) * energies[step - 1] + noise[step]
    fields = {"diverging": rng.uniform(size=(8, 1000)) < diverging, "energy": energies.T}
    if is_refused:
        with pytest.raises(ValueError, match="diverged or E-BFMI"):
            kernels._check_fields(fields)
    else:
        kernels._check_fields(fields)
