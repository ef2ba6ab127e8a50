"""Spins and categories whose partition functions are products of transfer matrices."""

import itertools

import numpy as np

from ebm_ppl.energies import Graph, Ising, Potts
from ebm_ppl.validation.targets._base import Target, as_float64


def _ising(name: str, energy: Ising) -> Target:
    rows, columns = energy.shape
    coupling, field = float(as_float64(energy.coupling)), float(as_float64(energy.field))
    spins = np.array(list(itertools.product((-1, 1), repeat=columns)))
    if energy.periodic:
        bonds = np.sum(spins * np.roll(spins, 1, axis=1), axis=1)
    else:
        bonds = np.sum(spins[:, 1:] * spins[:, :-1], axis=1)
    of_row = coupling * bonds + field * spins.sum(axis=1)
    transfer = np.exp(coupling * spins @ spins.T + of_row)
    if energy.periodic:
        partition = np.trace(np.linalg.matrix_power(transfer, rows))
    else:
        partition = np.exp(of_row) @ np.linalg.matrix_power(transfer, rows - 1).sum(axis=1)
    return Target(
        name=name,
        energy=energy,
        log_z=float(np.log(partition)),
        mean=None,
        variance=None,
        derivation="Transfer matrix from row to row (Kramers and Wannier, 1941).",
    )


def _potts_chain() -> Target:
    energy = Potts(3, [1.2, -0.7, 0.5], Graph(4, [(0, 1), (1, 2), (2, 3)]), [0.4, -0.3])
    field = np.concatenate([[0.0], as_float64(energy.field)])
    log_mass = field
    for coupling in as_float64(energy.coupling):
        log_mass = field + np.logaddexp.reduce(log_mass[:, None] + coupling * np.eye(3), axis=0)
    return Target(
        name="potts_chain",
        energy=energy,
        log_z=float(np.logaddexp.reduce(log_mass)),
        mean=None,
        variance=None,
        derivation="The sites of a chain are summed out one after the other.",
    )


def _periodic() -> Target:
    return _ising("ising_3x3", Ising((3, 3), coupling=0.3, field=0.1))


def _free() -> Target:
    energy = Ising((2, 4), coupling=0.5, field=-0.15, periodic=False)
    return _ising("ising_2x4_free", energy)


TARGETS = {"ising_3x3": _periodic, "ising_2x4_free": _free, "potts_chain": _potts_chain}
