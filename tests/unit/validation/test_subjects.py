"""Energies under question: what is refused, and how often it is looked for."""

import pytest

from ebm_ppl.energies import AbstractEnergy, Quartic
from ebm_ppl.validation import cases, subjects
from ebm_ppl.validation.subjects import Subject
from ebm_ppl.validation.suite.energies import energy_job
from ebm_ppl.validation.suite.kernel_jobs import kernel_job


def test_an_energy_is_refused_once_for_all_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, rows = [], []

    def refuse(energy: AbstractEnergy) -> None:
        attempts.append(energy)
        raise ValueError("it does not normalise")

    monkeypatch.setattr(subjects, "normalize", refuse)
    subject = Subject("bad", Quartic())
    energy_job(subject).run(rows.append)
    for case in cases.discover().values():
        assert kernel_job(subject, case, seed=0).run(rows.append) == ()
    assert len(attempts) == 1
    assert [row.result.detail for row in rows] == ["ValueError: it does not normalise"]
