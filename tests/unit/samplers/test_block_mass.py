"""Mass matrices that are dense within blocks of sites."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import MCMC, NUTS

from ebm_ppl.samplers import MALA, MCLMC, ChEESHMC, ReplicaExchange, UnderdampedLangevin

BLOCKS = [("y", "a")]
START = {"y": jnp.zeros(2), "a": jnp.zeros(1), "m": jnp.zeros(1)}


def potential(z: Any) -> jax.Array:
    return 0.5 * sum(jnp.sum(site**2) for site in z.values()) + 0.4 * z["a"][0] * z["y"][1]


def init(start: Any = START, **options: Any) -> Any:
    kernel = MALA(
        potential_fn=lambda z: jnp.sum(jax.flatten_util.ravel_pytree(z)[0] ** 2), **options
    )
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
    matrix = np.asarray(mcmc.last_state.adaptation.inverse_mass_matrix)
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


def test_blocks_are_those_of_nuts() -> None:
    block = jnp.array([[2.0, 0.1, 0.2], [0.1, 3.0, 0.3], [0.2, 0.3, 4.0]])
    nuts = NUTS(
        potential_fn=potential, dense_mass=list(BLOCKS), inverse_mass_matrix={BLOCKS[0]: block}
    )
    theirs = nuts.init(jax.random.key(0), 0, START, (), {}).adapt_state.inverse_mass_matrix
    ours = init(dense_mass=BLOCKS, inverse_mass_matrix={BLOCKS[0]: block}).inverse_mass_matrix
    order = np.array([2, 3, 0])
    np.testing.assert_allclose(ours[np.ix_(order, order)], theirs[BLOCKS[0]], rtol=1e-6)


def test_blocks_within_replica_exchange() -> None:
    kernel = ReplicaExchange(MALA(potential_fn=potential, dense_mass=BLOCKS), num_replicas=2)
    mcmc = MCMC(kernel, num_warmup=20, num_samples=2, progress_bar=False)
    mcmc.run(jax.random.key(0), init_params=START)
    assert mcmc.get_samples()["y"].shape == (2, 2)
