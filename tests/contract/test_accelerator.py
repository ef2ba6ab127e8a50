"""The same questions on an accelerator; skipped where JAX sees none."""

import jax
import pytest

from ebm_ppl import validation
from ebm_ppl.energies import Gamma, TiltedDoubleWell


@pytest.mark.gpu
def test_the_quick_report_passes_on_an_accelerator():
    assert jax.default_backend() != "cpu"
    energies = {"gamma": Gamma(3.0, 2.0), "wells": TiltedDoubleWell(dim=2)}
    report = validation.run(energies, mode="quick")
    fell_short = [row for row in report.rows if not row.result.passed]
    assert not fell_short
