"""Proposals of Gibbs with gradients are the locally informed ones, whatever acceptance makes good."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints

import ebm_ppl as ebm
from ebm_ppl.energies import BoltzmannMachine, Graph, GraphIsing, Potts
from ebm_ppl.quadrature import enumerate_states

RNG = np.random.default_rng(0)
GRAPH = Graph.lattice((2, 2), periodic=False)
LINEAR = {
    "bits": BoltzmannMachine(RNG.normal(size=4), RNG.normal(size=4), GRAPH),
    "spins": GraphIsing(0.7, 0.4, GRAPH),
    "names": Potts(3, 0.9, GRAPH),
}


class Curved(ebm.AbstractEnergy):
    """Coordinates with different numbers of values, of an energy that no tangent follows."""

    event_shape = (2,)
    support = constraints.independent(
        constraints.integer_interval(jnp.array([0, -1]), jnp.array([2, 0])), 1
    )

    def _energy(self, x):
        return 0.3 * x[0] ** 3 - x[1] * x[0] + 0.5 * x[1]


def proposal_at(energy, state):
    kernel = ebm.GibbsWithGradients(potential_fn=ebm.potential_fn(energy))
    return np.exp(kernel.log_proposal(jnp.asarray(state, dtype=jnp.float32)))


@pytest.mark.parametrize("energy", LINEAR.values(), ids=LINEAR)
def test_a_change_is_proposed_by_the_square_root_of_its_odds(energy):
    """Energies linear in each coordinate change by what the gradient says: no other state needs be asked."""
    table = enumerate_states(energy)
    values = np.unique(table.states)
    for row in (1, len(table.states) // 2):
        state = np.asarray(table.states[row], dtype=float)
        share = proposal_at(energy, state)
        expected = np.zeros((state.size, len(values)))
        for site, number in np.ndindex(expected.shape):
            end = state.copy().ravel()
            end[site] = values[number]
            if end[site] != state.ravel()[site]:
                column = table.number_of(end.reshape(1, *state.shape))[0]
                odds = np.exp(table.log_probs[column] - table.log_probs[row])
                expected[site, number] = np.sqrt(odds)
        np.testing.assert_allclose(share, expected / expected.sum(), rtol=1e-4)


def test_the_tangent_decides_where_the_energy_is_curved():
    """At (2, -1) the slopes are 3.6 + 1 and -2 + 0.5, and the third value of the second does not exist."""
    share = proposal_at(Curved(), [2.0, -1.0])
    expected = np.array(
        [[np.exp(0.5 * 2 * 4.6), np.exp(0.5 * 4.6), 0.0], [0.0, np.exp(0.5 * 1.5), 0.0]]
    )
    np.testing.assert_allclose(share, expected / expected.sum(), rtol=1e-4)
