"""Energies on graphs: colourings, exact transition matrices over all states, and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ebm_ppl import BlockGibbs, potential_fn
from ebm_ppl.energies import BoltzmannMachine, Graph, GraphIsing, Ising, Potts
from ebm_ppl.energies._draws import choose_category
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.samplers import run_short_chain

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
PETERSEN = Graph(
    10,
    [(i, (i + 1) % 5) for i in range(5)]
    + [(5 + i, 5 + (i + 2) % 5) for i in range(5)]
    + [(i, 5 + i) for i in range(5)],
)
STAR = Graph(5, [(0, i) for i in range(1, 5)])
ENERGIES = {
    "complete": BoltzmannMachine(RNG.normal(size=15), RNG.normal(size=6), Graph.complete(6)),
    "star": GraphIsing(RNG.normal(size=4), 0.2, STAR),
    "petersen": GraphIsing(RNG.normal(size=15), RNG.normal(size=10), PETERSEN),
    "no edges": BoltzmannMachine(np.zeros(0), [0.5, -1.0], Graph(2, [])),
    "potts": Potts(3, RNG.normal(size=4), STAR, [0.4, -0.3]),
}
SMALL = {name: energy for name, energy in ENERGIES.items() if name != "petersen"}
every_energy = pytest.mark.parametrize("energy", ENERGIES.values(), ids=ENERGIES)
every_small = pytest.mark.parametrize("energy", SMALL.values(), ids=SMALL)


def conditional_probs(energy):
    """Of each state the law of each site given the others, from the energies of all states alone.

    Returns an array over (state, site, value), and the number of the state in which that site has that
    value.
    """
    table = enumerate_states(energy)
    values = np.unique(table.states)
    changed = np.repeat(table.states[:, None, None], table.states.shape[1], axis=1)
    changed = np.repeat(changed, len(values), axis=2)
    for site in range(table.states.shape[1]):
        changed[:, site, :, site] = values
    number = table.number_of(changed)
    mass = table.probs[number]
    return mass / mass.sum(axis=-1, keepdims=True), number


def transition_matrix(energy, colours):
    """Exact matrix over all states of redrawing the sites of one colour after the other."""
    table = enumerate_states(energy)
    values = np.unique(table.states)
    probs, _ = conditional_probs(energy)
    which = np.searchsorted(values, table.states)
    count = len(table.states)
    matrix = np.eye(count)
    for one in range(colours.max() + 1):
        step = np.ones((count, count))
        for site in range(energy.event_size):
            if colours[site] == one:
                step *= probs[:, site][:, which[:, site]]
            else:
                step *= which[:, site][:, None] == which[:, site][None]
        matrix = matrix @ step
    return matrix


@every_energy
def test_conditional_laws_are_those_of_the_energy(energy):
    states = enumerate_states(energy).states
    logits = np.asarray(jax.jit(jax.vmap(energy.conditional_logits))(states), np.float64)
    if logits.ndim == 2:
        logits = np.stack([np.zeros_like(logits), logits], axis=-1)
    expected, _ = conditional_probs(energy)
    np.testing.assert_allclose(special.softmax(logits, axis=-1), expected, rtol=1e-4, atol=1e-6)


@every_energy
def test_the_sweep_is_that_of_a_plain_loop(energy):
    """Fed with the same random words, a sweep agrees with a loop in double precision."""
    blocks, table = energy.graph.blocks, enumerate_states(energy)
    values, (probs, number) = np.unique(table.states), conditional_probs(energy)
    ends = np.cumsum(probs, axis=-1)
    for seed in range(8):
        key = jax.random.key(seed)
        words = np.asarray(jax.random.bits(key, blocks.sites.shape), np.float64) / 2**32
        row = start = seed * 7 % len(table.states)
        for sites, uniforms in zip(blocks.sites, words, strict=True):
            before = row  # neighbours have other colours, so the order within one does not matter
            for site, uniform in zip(sites, uniforms, strict=True):
                if site < energy.event_size:
                    # For two values a low word stands for the upper one.
                    uniform = uniform if len(values) > 2 else 1 - uniform
                    choice = np.searchsorted(ends[before, site], uniform, side="right")
                    row = number[row, site, choice]
        swept = energy.gibbs_sweep(key, jnp.asarray(table.states[start], dtype=jnp.float32))
        np.testing.assert_array_equal(swept, table.states[row])


@every_small
def test_the_law_is_invariant(energy):
    probs = enumerate_states(energy).probs
    matrix = transition_matrix(energy, energy.graph.colours)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(probs @ matrix, probs, atol=1e-6)


@pytest.mark.parametrize("name", ["complete", "star", "potts"])
def test_neighbours_redrawn_at_the_same_time_would_be_seen(name):
    energy = ENERGIES[name]
    probs = enumerate_states(energy).probs
    matrix = transition_matrix(energy, np.zeros(energy.event_size, dtype=int))
    assert np.abs(probs @ matrix - probs).sum() > 0.01


@pytest.mark.parametrize("name", ["complete", "potts"])
def test_draws_have_the_joint_law(name):
    """Chains from exact draws, three sweeps each, G test of all states; false alarm 1e-8.

    Power: 40,000 chains at a Kullback-Leibler distance of 0.01 give G = 800, where the threshold is below
    400 for 242 degrees of freedom.
    """
    energy, count = ENERGIES[name], 40_000
    table, kernel = enumerate_states(energy), BlockGibbs(potential_fn=potential_fn(energy))
    key_start, key_chains = jax.random.split(KEY)
    ends = jax.jit(jax.vmap(lambda x, key: run_short_chain(kernel, x, 3, key)[0]))(
        table.sample(key_start, (count,)), jax.random.split(key_chains, count)
    )
    counts = np.bincount(table.number_of(ends), minlength=len(table.probs))
    g = 2 * np.sum(special.xlogy(counts, counts / (count * table.probs)))
    assert stats.chi2.sf(g, len(counts) - 1) > 1e-8


def test_a_lattice_as_a_graph_is_the_lattice():
    x = np.where(RNG.random((4, 6)) < 0.5, -1.0, 1.0)
    for periodic in (True, False):
        graph = Graph.lattice((4, 6), periodic)
        energy = GraphIsing(0.7, 0.3, graph)
        lattice = Ising((4, 6), 0.7, 0.3, periodic)
        np.testing.assert_allclose(energy(x.ravel()), lattice(x), rtol=1e-5)
        np.testing.assert_array_equal(graph.colours.reshape(4, 6), np.indices((4, 6)).sum(0) % 2)


def test_potts_with_two_values_is_ising():
    x = RNG.integers(2, size=5).astype(float)
    potts, ising = Potts(2, 0.8, STAR), GraphIsing(0.4, 0.0, STAR)
    np.testing.assert_allclose(potts(x), ising(2 * x - 1) - 0.4 * STAR.num_edges, rtol=1e-5)


@pytest.mark.parametrize("graph", [PETERSEN, STAR, Graph.complete(7), Graph(3, [])], ids=repr)
def test_colourings_are_proper_and_small(graph):
    colours = graph.colours
    left, right = graph.edges.T
    assert np.all(colours[left] != colours[right])
    degree = np.bincount(graph.edges.ravel(), minlength=graph.num_sites).max()
    assert colours.max() <= degree
    assert set(colours) == set(range(colours.max() + 1))
    sites = graph.blocks.sites
    np.testing.assert_array_equal(np.sort(sites[sites < graph.num_sites]), range(graph.num_sites))


def test_graphs_compare_by_what_they_hold():
    assert Graph(3, [(0, 1)]) == Graph(3, [(0, 1)])
    assert hash(Graph(3, [(0, 1)])) == hash(Graph(3, np.array([[0, 1]])))
    assert Graph(3, [(0, 1)]) != Graph(4, [(0, 1)])
    assert Graph(3, [(0, 1)]) != Graph(3, [(1, 2)])


def test_categories_follow_their_words():
    words = jnp.asarray([0, 2**30, 2**31, 3 * 2**30, 2**32 - 1], dtype=jnp.uint32)
    logits = jnp.broadcast_to(jnp.log(jnp.array([0.25, 0.25, 0.5])), (5, 3))
    np.testing.assert_array_equal(choose_category(words, logits), [0, 1, 2, 2, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph(3, [(0, 3)]), r"two different sites below 3; got \[0, 3\]"),
        (lambda: Graph(3, [(1, 1)]), r"two different sites below 3; got \[1, 1\]"),
        (lambda: Graph(3, [(0, 1), (1, 0)]), r"join two sites once; got \[0, 1\] twice"),
        (lambda: Graph(3, [(0, 1, 2)]), r"Expected `edges` of shape \(num_edges, 2\)"),
        (lambda: Graph(0, []), "`num_sites` must be an integer of at least 1; got 0"),
        (
            lambda: Graph.lattice((2, 3)),
            r"`shape \(of a periodic lattice\)` must be an integer of at",
        ),
        (lambda: GraphIsing([1.0], 0.0, STAR), r"`coupling` of shape \(\) or \(4,\); got \(1,\)"),
        (lambda: BoltzmannMachine(1.0, np.nan, STAR), "`biases` must be finite everywhere"),
        (lambda: Potts(1, 1.0, STAR), "`num_states` must be an integer of at least 2; got 1"),
        (lambda: Potts(3, 1.0, STAR, [0.0]), r"Expected `field` of shape \(2,\); got \(1,\)"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
