"""The lattice against a plain loop over bonds, exact transition matrices, and Onsager's energy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ebm_ppl import BlockGibbs, potential_fn
from ebm_ppl._random import random_words
from ebm_ppl.energies import Ising
from ebm_ppl.energies._draws import as_thresholds
from ebm_ppl.energies._lattice import colours, from_halves, to_halves
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.samplers import run_short_chain

KEY = jax.random.key(0)
LATTICES = {
    "checkerboard": Ising((2, 4), coupling=0.6, field=0.2, periodic=False),
    "torus": Ising((4, 4), coupling=-0.4, field=0.3),
    "odd torus": Ising((3, 3), coupling=0.5, field=-0.1),
    "odd sides": Ising((3, 2), coupling=0.7, field=0.1, periodic=False),
    "ring": Ising((7,), coupling=0.8, field=-0.2),
    "cube": Ising((2, 2, 2), coupling=0.3, field=0.1, periodic=False),
    "box": Ising((3, 4, 5), coupling=0.3, field=0.1),
}
SMALL = {name: LATTICES[name] for name in LATTICES if name not in ("torus", "box")}


def bonds(energy):
    """All pairs of neighbours, by a loop over sites and axes."""
    number = np.arange(energy.event_size).reshape(energy.shape)
    pairs = []
    for site in itertools.product(*map(range, energy.shape)):
        for axis, size in enumerate(energy.shape):
            other = list(site)
            other[axis] += 1
            if other[axis] < size or energy.periodic:
                other[axis] %= size
                pairs.append((number[site], number[tuple(other)]))
    return np.array(pairs)


def probabilities_up(energy, x):
    """P(up) of each site given the others, in double precision; x has shape (..., sites)."""
    total = np.zeros_like(x, dtype=float)
    for left, right in bonds(energy):
        total[..., left] += x[..., right]
        total[..., right] += x[..., left]
    return special.expit(2 * (float(energy.coupling) * total + float(energy.field)))


def transition_matrix(energy, colour):
    """Exact matrix over all states of redrawing the sites of one colour after the other."""
    states = enumerate_states(energy).states.reshape(-1, energy.event_size)
    matrix = np.eye(len(states))
    up = probabilities_up(energy, states)
    for one in range(colour.max() + 1):
        is_drawn = colour.ravel() == one
        shares = np.where(states[None] > 0, up[:, None], 1 - up[:, None])
        stays = np.all((states[:, None] == states[None])[..., ~is_drawn], axis=-1)
        matrix = matrix @ (stays * np.prod(shares[..., is_drawn], axis=-1))
    return matrix


@pytest.mark.parametrize("energy", LATTICES.values(), ids=LATTICES)
def test_energy_counts_every_bond_once(energy):
    x = np.where(np.random.default_rng(0).random((5, *energy.shape)) < 0.5, -1.0, 1.0)
    left, right = bonds(energy).T
    flat = x.reshape(5, -1)
    expected = -float(energy.coupling) * np.sum(flat[:, left] * flat[:, right], axis=1)
    expected -= float(energy.field) * flat.sum(axis=1)
    np.testing.assert_allclose(jax.jit(jax.vmap(energy))(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("energy", LATTICES.values(), ids=LATTICES)
def test_conditional_laws_are_those_of_the_energy(energy):
    x = np.where(np.random.default_rng(1).random((3, *energy.shape)) < 0.5, -1.0, 1.0)
    logits = np.asarray(jax.jit(jax.vmap(energy.conditional_logits))(x)).reshape(3, -1)
    np.testing.assert_allclose(
        special.expit(logits), probabilities_up(energy, x.reshape(3, -1)), rtol=1e-5
    )
    evaluate = jax.jit(jax.vmap(energy))
    for site in (0, energy.event_size - 1):
        index = (slice(None), *np.unravel_index(site, energy.shape))
        pair = []
        for value in (-1.0, 1.0):
            changed = x.copy()
            changed[index] = value
            pair.append(np.asarray(evaluate(changed)))
        np.testing.assert_allclose(logits[:, site], pair[0] - pair[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("energy", LATTICES.values(), ids=LATTICES)
def test_neighbours_never_share_a_colour(energy):
    colour = colours(energy.shape, energy.periodic).ravel()
    left, right = bonds(energy).T
    assert np.all(colour[left] != colour[right])
    has_odd_way = energy.periodic and any(size % 2 for size in energy.shape)
    assert set(colour) == set(range(3 if has_odd_way else 2))


@pytest.mark.parametrize("energy", LATTICES.values(), ids=LATTICES)
def test_the_sweep_is_that_of_a_plain_loop(energy):
    """Fed with the same random words, a sweep agrees with a loop over colours in double precision."""
    words = jax.random.bits(KEY, (20, *energy.shape), jnp.uint32)
    x = np.where(np.random.default_rng(2).random((20, *energy.shape)) < 0.5, -1.0, 1.0)
    sweep = jax.jit(jax.vmap(energy._sweep_masked))
    swept = np.asarray(sweep(words, jnp.asarray(x, jnp.float32)))
    colour = colours(energy.shape, energy.periodic).ravel()
    uniform = np.asarray(words, np.float64).reshape(20, -1) / 2**32
    state = x.reshape(20, -1)
    for one in range(colour.max() + 1):
        drawn = np.where(uniform < probabilities_up(energy, state), 1.0, -1.0)
        state = np.where(colour == one, drawn, state)
    np.testing.assert_array_equal(swept.reshape(20, -1), state)


@pytest.mark.parametrize("periodic", [True, False])
def test_the_two_halves_of_a_checkerboard_are_swept_alike(periodic):
    energy = Ising((6, 8), coupling=0.4, field=0.1, periodic=periodic)
    x = jnp.where(jax.random.bernoulli(KEY, 0.5, (6, 8)), 1.0, -1.0)
    np.testing.assert_array_equal(from_halves(*to_halves(x)), x)
    words = random_words(KEY, (6, 4))
    expected = jax.jit(lambda words: energy._sweep_masked(from_halves(*words), x))(words)
    np.testing.assert_array_equal(
        jax.jit(lambda words: energy._sweep_halves(words, x))(words), expected
    )
    drawn = jax.jit(lambda key: energy.gibbs_sweep(key, x))(KEY)
    np.testing.assert_array_equal(drawn, expected)
    assert not np.array_equal(words[0], words[1])


@pytest.mark.parametrize("energy", SMALL.values(), ids=SMALL)
def test_the_law_is_invariant_and_neighbours_redrawn_at_the_same_time_would_be_seen(energy):
    probs = enumerate_states(energy).probs
    matrix = transition_matrix(energy, colours(energy.shape, energy.periodic))
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(probs @ matrix, probs, atol=1e-6)
    at_once = transition_matrix(energy, np.zeros(energy.shape, dtype=int))
    assert np.abs(probs @ at_once - probs).sum() > 0.01


def test_thresholds_have_the_stated_resolution():
    logits = np.linspace(-25.0, 25.0, 2001).astype(np.float32)
    probs = special.expit(logits.astype(np.float64))
    error = np.abs(np.asarray(as_thresholds(jnp.asarray(logits)), np.float64) / 2**32 - probs)
    # The sigmoid itself is good to a few units in the last place.
    assert np.all(error < 2.0**-21 * probs + 2.0**-31)
    words = np.asarray(as_thresholds(jnp.array([-1e9, 0.0, 1e9])))
    np.testing.assert_array_equal(words, [0, 2**31, 2**32 - 1])


@pytest.mark.parametrize("name", ["checkerboard", "odd torus"])
def test_draws_have_the_joint_law(name):
    """Chains from exact draws, three sweeps each, G test of all states.

    False alarm 1e-8. Power: the law after neighbours are redrawn at the same time, at a Kullback-Leibler
    distance above 0.005, gives G above 500, where the threshold is below 680 for 511 degrees of freedom;
    the distance is above 0.01 in both cases.
    """
    energy = LATTICES[name]
    table, kernel = enumerate_states(energy), BlockGibbs(potential_fn=potential_fn(energy))
    count = 60_000
    key_start, key_chains = jax.random.split(KEY)
    ends = jax.jit(jax.vmap(lambda x, key: run_short_chain(kernel, x, 3, key)[0]))(
        table.sample(key_start, (count,)), jax.random.split(key_chains, count)
    )
    counts = np.bincount(table.number_of(ends), minlength=len(table.probs))
    assert stats.chi2.sf(g_statistic(counts, count * table.probs), len(counts) - 1) > 1e-8


def g_statistic(counts, expected):
    return 2 * np.sum(special.xlogy(counts, counts / expected))


def test_energy_per_site_is_onsagers():
    """False alarm 2e-11, at 7 standard errors of 256 chains; power: they see 1% of the energy."""
    coupling = 0.3
    energy = Ising((32, 32), coupling)
    kernel = BlockGibbs(potential_fn=potential_fn(energy))
    keys = jax.random.split(KEY, 256)

    @jax.jit
    def mean_energies():
        def advance(state, _):
            state = kernel.sample(state)
            return state, state.potential_energy

        state = kernel.init(keys, 0, jnp.ones((256, 32, 32)))
        _, energies = jax.lax.scan(advance, state, length=100)
        return jnp.mean(energies[40:], axis=0) / energy.event_size

    means = np.asarray(mean_energies(), np.float64)
    error = means.std(ddof=1) / np.sqrt(len(means))
    assert error < 0.0003
    assert abs(means.mean() - onsager_energy(coupling)) < 7 * error


def onsager_energy(coupling):
    """Energy per site of the infinite square lattice, Onsager (1944)."""
    tanh = np.tanh(2 * coupling)
    modulus = 2 * np.sinh(2 * coupling) / np.cosh(2 * coupling) ** 2
    return -coupling / tanh * (1 + 2 / np.pi * (2 * tanh**2 - 1) * special.ellipk(modulus**2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), 0.5), "`shape` must have at least one axis"),
        (((4, 0), 0.5), "`shape` must be an integer of at least 1; got 0"),
        (
            ((4, 2), 0.5),
            r"`shape \(of a periodic lattice\)` must be an integer of at least 3; got 2",
        ),
        (((4, 4), [0.5]), r"Expected `coupling` of shape \(\); got \(1,\)"),
        (((4, 4), np.inf), "`coupling` must be finite everywhere"),
        (((4, 4), 0.5, np.nan), "`field` must be finite everywhere"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ising(*arguments)


def test_support_is_minus_one_and_one():
    energy = LATTICES["odd torus"]
    states = enumerate_states(energy).states
    assert states.shape == (512, 3, 3)
    assert np.all(energy.support(states))
    assert not energy.support(np.zeros((3, 3)))
    assert energy.support.is_discrete
    assert energy.support.event_dim == 2
    assert energy.support == LATTICES["torus"].support
    feasible = energy.support.feasible_like(jnp.zeros((3, 3)))
    assert energy.support(feasible)
