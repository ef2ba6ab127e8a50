"""Boltzmann machines of a few units."""

import itertools

import numpy as np

from ebm_ppl.energies import BoltzmannMachine, Graph, RestrictedBoltzmannMachine
from ebm_ppl.validation.targets._base import Target, as_float64


def _boltzmann_machine() -> Target:
    weights = [1.4, -0.9, 0.6, -1.2, 0.8, 1.1, -0.5, 0.3, -1.6, 0.7]
    energy = BoltzmannMachine(weights, [0.2, -0.6, 0.5, -0.1, 0.3], Graph.complete(5))
    states = np.array(list(itertools.product((0.0, 1.0), repeat=4)))
    left, right = energy.graph.edges.T
    matrix = np.zeros((5, 5))
    matrix[left, right] = as_float64(energy.weights)
    biases = as_float64(energy.biases)
    of_four = states @ biases[:4] + np.einsum("si,ij,sj->s", states, matrix[:4, :4], states)
    of_last = np.logaddexp(0.0, biases[4] + states @ matrix[:4, 4])
    return Target(
        name="boltzmann_machine",
        energy=energy,
        log_z=float(np.logaddexp.reduce(of_four + of_last)),
        mean=None,
        variance=None,
        derivation="The last unit is summed out in closed form, the other four state by state.",
    )


def _restricted_boltzmann_machine() -> Target:
    energy = RestrictedBoltzmannMachine(
        [[1.5, -0.5, 0.8], [-1.0, 0.8, 0.4], [0.3, 1.2, -1.1], [-0.7, 0.2, 1.3]],
        [0.2, -0.4, 0.1, -0.6],
        [0.1, -0.3, 0.5],
    )
    hidden = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    total = as_float64(energy.visible_bias) + hidden @ as_float64(energy.weights).T
    log_mass = hidden @ as_float64(energy.hidden_bias) + np.logaddexp(0.0, total).sum(axis=1)
    return Target(
        name="restricted_boltzmann_machine",
        energy=energy,
        log_z=float(np.logaddexp.reduce(log_mass)),
        mean=None,
        variance=None,
        derivation="Given the hidden units, the visible ones are independent and summed out.",
    )


TARGETS = {
    "boltzmann_machine": _boltzmann_machine,
    "restricted_boltzmann_machine": _restricted_boltzmann_machine,
}
