"""Mass matrices that are dense within blocks of sites."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.infer import MCMC, NUTS

from ebm_ppl.samplers import MALA, MCLMC, ChEESHMC, ReplicaExchange, UnderdampedLangevin
from ebm_ppl.samplers._warmup import Adaptation, mask_of_blocks, merge

BLOCKS = [("y", "a")]
START = {"y": jnp.zeros(2), "a": jnp.zeros(1), "m": jnp.zeros(1)}


def potential(z: Any) -> jax.Array:
    return 0.5 * sum(jnp.sum(site**2) for site in z.values()) + 0.4 * z["a"][0] * z["y"][1]


def init(start: Any = START, **options: Any) -> Any:
    kernel = MALA(potential_fn=lambda z: jnp.sum(ravel_pytree(z)[0] ** 2), **options)
    return kernel.init(jax.random.key(0), 0, start).adaptation


def test_blocks_are_in_the_order_of_their_keys() -> None:
    block = jnp.array([[2.0, 0.1, 0.2], [0.1, 3.0, 0.3], [0.2, 0.3, 4.0]])
    matrix = init(dense_mass=BLOCKS, inverse_mass_matrix={("y", "a"): block}).inverse_mass_matrix
    # The position has a, m, y[0], y[1].
    expected = [[4, 0, 0.2, 0.3], [0, 1, 0, 0], [0.2, 0, 2, 0.1], [0.3, 0, 0.1, 3]]
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)


@pytest.mark.parametrize("cls", [MALA, ChEESHMC, MCLMC, UnderdampedLangevin])
def test_warmup_learns_the_covariance_within_blocks_alone(cls: Any) -> None:
    kernel = cls(potential_fn=potential, dense_mass=BLOCKS, adapt_mass_matrix=True)
    mcmc = MCMC(
        kernel,
        num_warmup=100,
        num_samples=1,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    start = jax.tree.map(lambda leaf: jnp.zeros((4, *leaf.shape)), START)
    mcmc.run(jax.random.key(0), init_params=start)
    state: Any = mcmc.last_state
    matrix = np.asarray(state.adaptation.inverse_mass_matrix)
    is_zero = np.zeros((4, 4), dtype=bool)
    is_zero[1, [0, 2, 3]] = is_zero[[0, 2, 3], 1] = True
    np.testing.assert_array_equal(matrix == 0, is_zero)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dense_mass": [()]}, "`dense_mass` must have blocks that are tuples"),
        ({"dense_mass": [("a", "a")]}, "`dense_mass` must name each site at most once"),
        ({"dense_mass": [("b",)]}, r"`dense_mass` must name sites of .*; got \['b'\]"),
        ({"inverse_mass_matrix": {("b",): jnp.ones(1)}}, r"sites of .*; got \['b'\]"),
        ({"inverse_mass_matrix": {("y",): jnp.ones(3)}}, r"of shape \(2,\); got \(3,\)"),
        (
            {"dense_mass": BLOCKS, "inverse_mass_matrix": {("y",): jnp.ones(2)}},
            "must have the blocks of `dense_mass=",
        ),
        (
            {"dense_mass": BLOCKS, "inverse_mass_matrix": jnp.eye(4)},
            r"must be a dictionary or a diagonal .*; got shape \(4, 4\)",
        ),
        (
            {"dense_mass": BLOCKS, "inverse_mass_matrix": {("y", "a"): -jnp.ones(3)}},
            "must be positive definite",
        ),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        init(**options)


def test_a_position_without_sites_has_no_blocks() -> None:
    with pytest.raises(ValueError, match="must not name sites where the position has none"):
        init(jnp.zeros(2), dense_mass=BLOCKS)


def test_a_window_ends_with_the_covariance_within_blocks() -> None:
    mask = mask_of_blocks(BLOCKS, START)
    positions = jax.random.normal(jax.random.key(1), (50, 4)) @ jnp.tril(jnp.ones((4, 4)))
    tuning = Adaptation(
        adapt_step_size=False, adapt_mass_matrix=True, target_accept_prob=0.5, mask=mask
    )
    state = tuning.init(100, jnp.asarray(1.0), jnp.eye(4), positions)
    state = tuning._end_window(state._replace(moments=merge(state.moments, positions)))
    covariance = np.cov(positions, rowvar=False) * 50 / 55 + 1e-3 * 5 / 55 * np.eye(4)
    within = [[1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]]
    np.testing.assert_allclose(state.inverse_mass_matrix, covariance * within, rtol=1e-4)
    root = state.inverse_mass_matrix_sqrt
    np.testing.assert_allclose(root @ root.T, state.inverse_mass_matrix, rtol=1e-4, atol=1e-5)


def test_blocks_are_those_of_nuts() -> None:
    block = jnp.array([[2.0, 0.1, 0.2], [0.1, 3.0, 0.3], [0.2, 0.3, 4.0]])
    options: dict[str, Any] = {"dense_mass": BLOCKS, "inverse_mass_matrix": {BLOCKS[0]: block}}
    nuts = NUTS(potential_fn=potential, **options)
    theirs = nuts.init(jax.random.key(0), 0, START, (), {}).adapt_state.inverse_mass_matrix
    ours = init(**options).inverse_mass_matrix
    order = np.array([2, 3, 0])
    np.testing.assert_allclose(ours[np.ix_(order, order)], theirs[BLOCKS[0]], rtol=1e-6)


def test_blocks_within_replica_exchange() -> None:
    kernel = ReplicaExchange(MALA(potential_fn=potential, dense_mass=BLOCKS), num_replicas=2)
    mcmc = MCMC(kernel, num_warmup=20, num_samples=2, progress_bar=False)
    mcmc.run(jax.random.key(0), init_params=START)
    assert mcmc.get_samples()["y"].shape == (2, 2)
