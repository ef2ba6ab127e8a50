"""Replica exchange leaves the joint law of all replicas as it is, and crosses between modes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.energies import BoltzmannMachine, Graph, RestrictedBoltzmannMachine
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.trainers import Model, ReplicaExchangeCD, as_batch, replica_exchange_cd

KEY = jax.random.key(0)
MACHINE = RestrictedBoltzmannMachine(
    [[2.5, -1.5], [-2.0, 1.8], [1.3, 2.0]], [0.2, -0.4, 0.1], [0.1, -0.3]
)
SCALES = (0.0, 0.4, 1.0)
DATA = as_batch(MACHINE, np.eye(3))


def exact_replicas(count):
    """Independent exact draws at each scale."""
    tables = [
        enumerate_states(jax.tree.map(lambda leaf, s=scale: s * leaf, MACHINE)) for scale in SCALES
    ]
    keys = jax.random.split(KEY, len(SCALES))
    draws = [table.sample(key, (count,)) for table, key in zip(tables, keys, strict=True)]
    return tables, jnp.stack(draws)


def smallest_p_value(count=40_000):
    """G tests of the law at each scale, after four steps from exact draws."""
    tables, x = exact_replicas(count)
    objective = ReplicaExchangeCD(SCALES, num_steps=4, num_chains=count)
    moved = objective.prepare(Model(MACHINE), DATA, x, jnp.asarray(3), jax.random.key(1)).carried
    p_values = []
    for table, points in zip(tables, moved, strict=True):
        counts = np.bincount(table.number_of(points), minlength=8)
        g = 2 * np.sum(counts * np.log(np.maximum(counts, 1) / (count * table.probs)))
        p_values.append(stats.chi2.sf(g, df=7))
    return min(p_values)


def test_the_law_at_every_scale_is_invariant():
    """False alarm 3e-8. Power: a divergence of 0.001 nats is seen with certainty."""
    assert smallest_p_value() > 1e-8


def test_an_exchange_that_is_always_accepted_would_be_seen(monkeypatch):
    def always(replicas, x, parity, rng_key):
        swapped = x.at[jnp.array([1, 2])].set(x[jnp.array([2, 1])])
        return swapped, jnp.ones(())

    monkeypatch.setattr(replica_exchange_cd, "_exchange", always)
    assert smallest_p_value() < 1e-100


def test_neighbours_exchange_whole_states_with_the_metropolis_probability():
    """Shares of 40,000 exchanges of one pair of states: 5.5 standard errors, false alarm 4e-8."""
    objective = ReplicaExchangeCD((0.3, 1.0), num_chains=1)
    replicas = objective._replicas(MACHINE)
    low, high = (jnp.asarray(x) for x in ([0.0, 1.0, 0.0], [1.0, 0.0, 1.0]))
    cold, hot = MACHINE, jax.tree.map(lambda leaf: 0.3 * leaf, MACHINE)
    for first, second in ((low, high), (high, low)):
        log_ratio = hot(first) + cold(second) - hot(second) - cold(first)
        prob = float(np.exp(min(0.0, float(log_ratio))))
        x = jnp.broadcast_to(jnp.stack([first, second])[:, None], (2, 40_000, 3))
        for parity, expected in ((0, prob), (1, 0.0)):
            new, accept_prob = replica_exchange_cd._exchange(replicas, x, jnp.asarray(parity), KEY)
            exchanged = np.all(np.asarray(new[0]) == np.asarray(second), axis=-1)
            assert np.all(np.asarray(new[1])[exchanged] == np.asarray(first))
            error = np.sqrt(expected * (1 - expected) / 40_000)
            assert abs(exchanged.mean() - expected) < 5.5 * error + 1e-6
            np.testing.assert_allclose(accept_prob, prob, rtol=1e-4)


def test_the_loss_is_the_gap_to_the_chains_at_the_end_of_the_ladder():
    _, x = exact_replicas(5)
    objective = ReplicaExchangeCD(SCALES, num_chains=5)
    prepared = objective.prepare(Model(MACHINE), DATA, x, jnp.asarray(0), KEY)
    chains = prepared.carried[-1]
    expected = jax.vmap(MACHINE)(DATA.x) - np.mean(jax.vmap(MACHINE)(chains))
    losses = objective.losses(Model(MACHINE), DATA, prepared.sample)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(prepared.metrics["energy_gap"], -np.mean(expected), rtol=1e-5)


@pytest.mark.slow
def test_chains_cross_between_modes_that_sweeps_alone_do_not_leave():
    """Two modes of 8 units, all 0 or all 1, of equal weight; chains begin in the first.

    Share of 400 chains: 8 standard errors. Plain sweeps leave a mode with a probability below 1e-7 a step.
    """
    graph = Graph.complete(8)
    machine = BoltzmannMachine(6.0, -21.0, graph)
    x = jnp.zeros((10, 400, 8))
    objective = ReplicaExchangeCD(10, num_steps=300, num_chains=400)
    batch = as_batch(machine, np.zeros((2, 8)))
    carried = objective.prepare(Model(machine), batch, x, jnp.asarray(0), KEY).carried
    share = np.mean(np.asarray(carried[-1]).mean(axis=1) > 0.5)
    assert abs(share - 0.5) < 8 * 0.5 / np.sqrt(400)
    plain = ebm.BlockGibbs(potential_fn=ebm.potential_fn(machine)).sweep_all(KEY, x[0], 300)
    assert np.mean(np.asarray(plain)) < 0.01


@pytest.mark.slow
def test_fits_and_reports():
    fit = ebm.fit(
        RestrictedBoltzmannMachine.random(KEY, 3, 2),
        np.repeat(np.eye(3), 10, axis=0),
        ReplicaExchangeCD(3, num_chains=20),
        optax.adam(0.1),
        num_steps=30,
        rng_key=KEY,
        progress_bar=False,
    )
    assert np.all(np.isfinite(fit.energy.weights))
    assert np.all((fit.history["accept_prob"] > 0) & (fit.history["accept_prob"] <= 1))
    assert fit.state.carried.shape == (3, 20, 3)
    assert np.all(np.isfinite(fit.standard_errors().covariance))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReplicaExchangeCD(1), "`scales` must be an integer of at least 2; got 1"),
        (lambda: ReplicaExchangeCD((0.0, 0.5)), "`scales` must rise from at least 0 to 1"),
        (lambda: ReplicaExchangeCD((0.5, 0.2, 1.0)), "`scales` must rise"),
        (lambda: ReplicaExchangeCD((-0.5, 1.0)), "`scales` must rise"),
        (lambda: ReplicaExchangeCD((np.nan, 1.0)), "`scales` must be finite everywhere"),
        (lambda: ReplicaExchangeCD(num_steps=0), "`num_steps` must be an integer of at least 1"),
        (lambda: ReplicaExchangeCD(num_chains=0), "`num_chains` must be an integer of at least 1"),
        (
            lambda: ReplicaExchangeCD().init(ebm.energies.Quartic(), DATA, KEY),
            "must be a discrete AbstractBlockwiseEnergy for ReplicaExchangeCD; got Quartic",
        ),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
