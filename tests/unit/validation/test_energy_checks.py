"""Deterministic checks of energies and their ground truth: what they see, and what is no fault."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl import MALA
from ebm_ppl.energies import (
    AbstractEnergy,
    Beta,
    Gaussian,
    GaussianMixture,
    TiltedDoubleWell,
    from_callable,
)
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import QuadratureDensity, _rules, normalize
from ebm_ppl.quadrature._chart import Chart
from ebm_ppl.validation import cases
from ebm_ppl.validation.checks.detailed_balance import detailed_balance
from ebm_ppl.validation.checks.gradients import resolution
from ebm_ppl.validation.checks.normalizer import normalizer, overlooked
from ebm_ppl.validation.controls._base import AlteredPotential
from ebm_ppl.validation.results import Verdict
from ebm_ppl.validation.sampling import SamplingRun
from ebm_ppl.validation.subjects import built_in
from ebm_ppl.validation.suite import kernel_jobs


class Beside(AlteredPotential):
    """The potential beside a constant, which is kept."""

    constant: float

    def __call__(self, z):
        return self.correct(z) + self.constant


@pytest.mark.parametrize(
    ("constant", "verdict"), [(0.0, Verdict.PASS), (1e3, Verdict.PASS), (1e6, Verdict.FAIL)]
)
def test_a_constant_takes_digits_of_single_precision(constant, verdict):
    points = np.linspace(-2.0, 2.0, 50)[:, None]
    result = resolution(Beside(TiltedDoubleWell(dim=1), constant), points)
    assert result.verdict is verdict
    if constant == 1e6:
        assert 0.02 < result.statistic < 0.2  # floats near a million have steps of 1/16


def test_a_constant_takes_no_digits_of_double_precision():
    with jax.enable_x64(True):
        points = np.linspace(-2.0, 2.0, 50)[:, None]
        assert resolution(Beside(TiltedDoubleWell(dim=1), 1e6), points).verdict is Verdict.PASS


def test_detailed_balance_allows_for_rounding_beside_a_constant():
    energy = TiltedDoubleWell(dim=1)
    density = normalize(energy)
    result = detailed_balance(
        MALA(potential_fn=EnergyPotential(energy)), Beside(energy, 1e6), density, 0.3
    )
    assert result.verdict is Verdict.PASS
    assert 1e-11 < result.statistic < result.bound < 1e-7


@pytest.mark.parametrize("factor", [1.05, 0.9])
def test_wrong_weights_of_either_rule_are_seen(factor, monkeypatch):
    """The planted bug: weights of Simpson's rule, whichever of the two rules is then the better."""
    right, log_z = normalize(Gaussian(jnp.zeros(1), jnp.eye(1))), 0.5 * np.log(2 * np.pi)
    assert normalizer(right, log_z).verdict is Verdict.PASS
    weights = _rules.rule_weights

    def wrong(rule, num_intervals, width):
        found = weights(rule, num_intervals, width)
        return (
            found * np.where(np.arange(len(found)) % 2, factor, 1.0) if rule == "simpson" else found
        )

    monkeypatch.setattr(_rules, "rule_weights", wrong)
    broken = normalize(Gaussian(jnp.zeros(1), jnp.eye(1)))
    for truth in (log_z, None):
        result = normalizer(broken, truth)
        assert result.verdict is Verdict.FAIL
    assert "the other rule is off by" in result.detail


def test_the_other_rule_is_held_against_the_one_that_is_reported_without_a_closed_form():
    density = normalize(Gaussian(jnp.zeros(1), jnp.eye(1)))
    off = dataclasses.replace(density, other_log_z=density.log_z + 1e-4)
    assert normalizer(density, None).verdict is Verdict.PASS
    assert normalizer(off, None).verdict is Verdict.FAIL


# What chains find that quadrature has not


@pytest.fixture(scope="module", params=[1, 2])
def blind(request: pytest.FixtureRequest) -> QuadratureDensity:
    """A ground truth that has found one of two equal modes, as planted."""
    dim = request.param
    found, missed = jnp.zeros(dim), jnp.full(dim, 25.0)
    both = GaussianMixture([0.5, 0.5], jnp.stack([found, missed]), jnp.stack([jnp.eye(dim)] * 2))
    density = normalize(Gaussian(found, jnp.eye(dim)))
    return dataclasses.replace(density, energy=both, _chart=Chart(both))


def test_a_chain_in_a_mode_that_quadrature_lacks_fails_the_truth(blind: QuadratureDensity) -> None:
    inside = np.asarray(jax.random.normal(jax.random.key(0), (1000, blind.dim)))
    assert overlooked(blind, inside, "mala") is None
    one_stands_there = np.concatenate([inside, np.full((1, blind.dim), 25.5)])
    result = overlooked(blind, one_stands_there, "mala")
    assert result is not None
    assert result.verdict is Verdict.FAIL
    assert "mala stood at [25.5" in result.detail


def test_a_chain_that_comes_from_afar_fails_nothing(blind: QuadratureDensity) -> None:
    afar = np.linspace(-40, 17, 200)[:, None] * np.ones(blind.dim)
    assert overlooked(blind, afar, "mala") is None


CAUCHY = from_callable(lambda x: jnp.log1p(x**2), event_shape=())


@pytest.mark.parametrize("energy", [Beta(0.4, 0.6), CAUCHY], ids=["an edge", "tails without end"])
def test_edges_and_tails_are_not_overlooked(energy: AbstractEnergy) -> None:
    density = normalize(energy)
    draws = density.sample(jax.random.key(1), (100_000,)).reshape(-1, 1)
    assert overlooked(density, draws, "exact draws") is None


def test_the_kernel_that_finds_a_mode_fails_the_energy_in_the_report(
    monkeypatch: pytest.MonkeyPatch, blind: QuadratureDensity
) -> None:
    # A copy: the density of the one that all tests share may be known by now.
    subject = dataclasses.replace(built_in()["gaussian_mixture_1d"])
    draws = np.full((4, 500, blind.dim), 25.0) + np.random.default_rng(0).normal(
        size=(4, 500, blind.dim)
    )
    monkeypatch.setattr(type(subject), "density", blind)
    run = SamplingRun(draws, np.ones((4, 500)), None, 0.5, 1.0, 0.9, 1.0, MALA(potential_fn=abs))
    monkeypatch.setattr(kernel_jobs, "run_kernel", lambda *_: run)
    monkeypatch.setattr(kernel_jobs.tables, "trace", lambda *_, **__: None)
    rows = []
    case = dataclasses.replace(next(iter(cases.discover().values())), exact=False)
    kernel_jobs.kernel_job(subject, case, 0).run(rows.append)
    found = [row for row in rows if row.result.check == "normaliser"]
    assert [(row.energy, row.kernel, row.result.verdict) for row in found] == [
        (subject.name, kernel_jobs.NO_KERNEL, Verdict.FAIL)
    ]
