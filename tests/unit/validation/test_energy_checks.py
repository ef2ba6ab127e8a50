"""Deterministic checks of energies and their ground truth: what they see, and what is no fault."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl import MALA
from ebm_ppl.energies import Gaussian, TiltedDoubleWell
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import _rules, normalize
from ebm_ppl.validation.checks.detailed_balance import detailed_balance
from ebm_ppl.validation.checks.gradients import resolution
from ebm_ppl.validation.checks.normalizer import normalizer
from ebm_ppl.validation.controls._base import AlteredPotential
from ebm_ppl.validation.results import Verdict


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
