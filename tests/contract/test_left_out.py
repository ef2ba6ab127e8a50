"""What a kernel cannot sample by its nature is left out by name, never in silence."""

import pytest

from ebm_ppl import validation
from ebm_ppl.validation import cases, targets


@pytest.mark.slow
def test_what_is_left_out_is_named_with_its_reason():
    report = validation.run(kernels=["langevin"], energies=["banana"], mode="quick", seed=1)
    assert not [row for row in report.rows if row.energy == "banana" and row.kernel == "langevin"]
    (left_out,) = report.options["left out"]
    assert left_out.startswith("langevin on banana: an explicit step")


def test_reasons_are_given_for_energies_that_exist_and_not_by_kernels_that_learn_from_them():
    """An exact kernel that sees the energy has no excuse; one whose proposals do not may miss it."""
    proposes_blindly = {"independence-metropolis"}
    for case in cases.discover().values():
        assert set(case.unsuited_for) <= set(targets.discover())
        assert not (case.unsuited_for and case.exact) or case.name in proposes_blindly
