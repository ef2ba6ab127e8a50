"""Early warm-up: short trajectories, and a step size for each chain."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebm_ppl.samplers import MAMS, ChEESHMC
from ebm_ppl.samplers._warmup import early
from ebm_ppl.samplers._warmup.adaptation import POOLED

pytestmark = pytest.mark.usefixtures("light_compilation")

SCALES = jnp.geomspace(0.01, 1.0, 20)
NUM_WARMUP = 200
NUM_EARLY = 25
"""Steps of such a warm-up in which chains have step sizes of their own."""


def narrow(z: jax.Array) -> jax.Array:
    """Coordinates of which one is a hundredth as wide as another, both narrower than where chains start."""
    return 0.5 * jnp.sum((z / SCALES) ** 2)


def quartic(z: jax.Array) -> jax.Array:
    return jnp.sum(z**4)


def run(kernel: Any, start: jax.Array, num_steps: int) -> tuple[Any, np.ndarray]:
    """The state after some steps, of which the first are warm-up, and the number of gradients of each."""
    state = kernel.init(jax.random.split(jax.random.key(0), len(start)), NUM_WARMUP, start)

    def advance(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = kernel.sample(state)
        return state, state.auxiliary.num_steps[0]

    state, counts = jax.jit(lambda state: jax.lax.scan(advance, state, length=num_steps))(state)
    return state, np.asarray(counts)


@pytest.mark.parametrize("kernel", [ChEESHMC, MAMS], ids=lambda kernel: kernel.__name__)
def test_trajectories_are_short_while_steps_are(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the mass matrix is known, a trajectory of length 1.5 is hundreds of steps here."""

    def share_of_warmup() -> float:
        start = jax.random.uniform(jax.random.key(1), (16, 20), minval=-2.0, maxval=2.0)
        _, counts = run(kernel(potential_fn=narrow), start, 2 * NUM_WARMUP)
        assert np.all(counts[:6] == counts[0])
        return counts[:NUM_WARMUP].sum() / counts[NUM_WARMUP:].sum()

    assert share_of_warmup() < 5.5
    # The planted bug: trajectories are as long from the beginning on as they are to be.
    monkeypatch.setattr(early, "_WINDOWS", 0)
    monkeypatch.setattr(early, "_FIRST_STEPS", 1000)
    with pytest.raises(AssertionError):
        share_of_warmup()


@pytest.mark.parametrize("kernel", [ChEESHMC, MAMS], ids=lambda kernel: kernel.__name__)
def test_a_chain_far_out_has_short_steps_of_its_own(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 300 on a quartic energy a step that suits the others overshoots by far."""
    near = jax.random.normal(jax.random.key(2), (15, 1))
    start = jnp.concatenate([near, jnp.full((1, 1), 300.0)])

    def shortening() -> float:
        both = kernel(potential_fn=quartic, adapt_mass_matrix=False)
        together, alone = (run(both, z, NUM_EARLY)[0] for z in (start, near))
        assert float(jnp.abs(together.z[-1, 0])) < 300
        assert float(jnp.exp(together.auxiliary.log_step_size[-1])) < 0.01
        return float(together.adaptation.step_size / alone.adaptation.step_size)

    assert 0.9 < shortening() < 1.1
    # The planted bug: one step size for all from the beginning on.
    monkeypatch.setattr(early, "_WINDOWS", 0)
    with pytest.raises(AssertionError):
        assert 0.9 < shortening() < 1.1


def test_the_common_search_begins_where_the_chains_own_steps_end() -> None:
    """From there its first step changes the step size by a third at most, whatever was given at first."""
    kernel = ChEESHMC(potential_fn=quartic, step_size=10.0, adapt_mass_matrix=False)
    start = jax.random.normal(jax.random.key(4), (16, 1))
    sizes = [
        run(kernel, start, num_steps)[0].adaptation.step_size
        for num_steps in (NUM_EARLY, NUM_EARLY + 1)
    ]
    assert 0.7 < float(sizes[1] / sizes[0]) < 1.4


@given(num_warmup=st.integers(1, 3000), most=st.integers(1, 2000), iteration=st.integers(0, 3100))
def test_bounds_double_from_window_to_window(num_warmup: int, most: int, iteration: int) -> None:
    ends = jnp.asarray(POOLED.windows(num_warmup))
    number = int(np.sum(iteration > np.asarray(ends)))
    expected = min(4 * 2**number, most) if iteration < num_warmup else most
    assert int(early.most_steps(jnp.asarray(iteration), ends, most)) == expected
    is_early = bool(early.is_early(jnp.asarray(iteration), ends))
    assert is_early == (number < 3 and iteration < num_warmup)


def test_a_chain_follows_its_acceptance() -> None:
    """Acceptance of exp(-step size) is 0.8 at a step size of 0.223."""
    log_step = jnp.log(jnp.array([1e-4, 1.0, 1e4]))
    follow = jax.vmap(early.follow_acceptance, (0, 0, None))
    for _ in range(400):
        log_step = follow(log_step, jnp.exp(-jnp.exp(log_step)), jnp.asarray(0.8))
    np.testing.assert_allclose(jnp.exp(log_step), -np.log(0.8), rtol=1e-3)
    refused = follow(log_step, jnp.full(3, jnp.nan), jnp.asarray(0.8))
    np.testing.assert_allclose(refused, log_step - 0.4, rtol=1e-5)
    common = early.common_step_size(jnp.log(jnp.array([1e-9, 0.2, 0.3])))
    np.testing.assert_allclose(common, 0.2, rtol=1e-5)


@pytest.mark.parametrize("num_warmup", [0, 1, 2, 5, 31])
def test_short_warmups_end_with_a_step_size(num_warmup: int) -> None:
    kernel = ChEESHMC(potential_fn=narrow, max_num_steps=3)
    state = kernel.init(jax.random.split(jax.random.key(0), 3), num_warmup, jnp.zeros((3, 20)))
    step = jax.jit(kernel.sample)
    for _ in range(num_warmup + 1):
        state = step(state)
        assert np.all(np.asarray(state.auxiliary.num_steps) <= 3)
    assert float(state.adaptation.step_size) > 0


def test_a_step_size_that_is_given_is_kept_by_all_chains() -> None:
    kernel = ChEESHMC(potential_fn=narrow, step_size=0.05, adapt_step_size=False)
    start = jax.random.normal(jax.random.key(3), (4, 20))
    state, counts = run(kernel, start, NUM_EARLY)
    np.testing.assert_allclose(np.exp(state.auxiliary.log_step_size), 0.05, rtol=1e-6)
    assert counts[0] == 30  # of a length of 1.5
