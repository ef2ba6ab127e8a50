"""Warm-up: what it learns, from all chains at once, and that it ends."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from ebm_ppl.samplers import MALA, Observed, RandomWalkMetropolis
from ebm_ppl.samplers._warmup import adaptation
from ebm_ppl.samplers._warmup.adaptation import (
    Adaptation,
    AdaptationState,
    mean_of_most,
    pooled_acceptance,
)
from ebm_ppl.samplers._warmup.mass_matrix import merge, no_moments, regularised_covariance

pytestmark = pytest.mark.usefixtures("light_compilation")

SCALES = jnp.array([0.1, 3.0])
SLOW = pytest.mark.slow


def potential(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum((z / SCALES) ** 2)


def warm_up(
    kernel: Any, num_warmup: int, num_chains: int, num_samples: int = 200, key: int = 0
) -> tuple[Any, jax.Array, jax.Array]:
    """State after warm-up, state after sampling, and every acceptance probability."""
    start = 0.5 * jax.random.normal(jax.random.key(1), (num_chains, 2))
    state = kernel.init(jax.random.split(jax.random.key(key), num_chains), num_warmup, start)

    def advance(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = kernel.sample(state)
        return state, state.accept_prob

    length = math.gcd(num_warmup, num_samples)  # one program for both
    steps = jax.jit(lambda state: lax.scan(advance, state, None, length=length))
    for _ in range(num_warmup // length):
        state, _ = steps(state)
    learned, accept_probs = state, []
    for _ in range(num_samples // length):
        state, accept_prob = steps(state)
        accept_probs.append(accept_prob)
    return learned, state, jnp.concatenate(accept_probs)


MERGE = jax.jit(merge)


@given(batches=st.lists(st.sampled_from([1, 4]), min_size=2, max_size=6), dense=st.booleans())
def test_moments_of_batches_are_the_moments_of_all(batches: list[int], dense: bool) -> None:
    rng = np.random.default_rng(sum(batches))
    mixing = np.array([[1.0, 0.5], [0.0, 2.0]])
    positions = (rng.normal(size=(sum(batches), 2)) @ mixing + 100.0).astype(np.float32)
    state = no_moments(jnp.eye(2) if dense else jnp.ones(2))
    for batch in np.split(positions, np.cumsum(batches)[:-1]):
        state = MERGE(state, jnp.asarray(batch))
    count = len(positions)
    covariance = np.cov(positions.astype(float), rowvar=False)
    expected = count / (count + 5) * covariance + 5e-3 / (count + 5) * np.eye(2)
    expected = expected if dense else np.diag(expected)
    np.testing.assert_allclose(regularised_covariance(state), expected, rtol=1e-3, atol=1e-3)


def observed(iteration: Any, accept_prob: jax.Array, positions: jax.Array) -> Observed:
    """A step of chains that stay where they are."""
    zeros = jnp.zeros(len(positions))
    return Observed(iteration, accept_prob, accept_prob, positions, positions, zeros > 0, zeros)


def learn(
    accept_prob: Any, num_warmup: int, step_size: float = 1.0, **options: Any
) -> AdaptationState:
    """Adapt to acceptance probabilities that are a function of the step size."""
    rules = Adaptation(True, options.pop("adapt_mass_matrix", False), 0.574)
    positions = options.pop("positions", jnp.zeros((3, 2)))
    state = rules.init(num_warmup, jnp.asarray(step_size), jnp.ones(2), positions)

    def advance(state: AdaptationState, iteration: jax.Array) -> tuple[AdaptationState, None]:
        probability = jnp.broadcast_to(accept_prob(state.step_size), (3,))
        return rules.update(state, observed(iteration, probability, positions)), None

    return lax.scan(advance, state, jnp.arange(num_warmup + 5))[0]


@pytest.mark.parametrize("step_size", [1e-3, 1.0, 1e3])
def test_step_size_meets_the_target_acceptance(step_size: float) -> None:
    found = learn(lambda step_size: jnp.exp(-step_size), 300, step_size).step_size
    np.testing.assert_allclose(jnp.exp(-found), 0.574, atol=0.03)


def test_undefined_acceptance_counts_as_rejection() -> None:
    shrunk = learn(lambda step_size: jnp.nan * step_size, 20)
    refused = learn(lambda step_size: 0.0 * step_size, 20)
    assert float(shrunk.step_size) < 0.1
    assert float(shrunk.step_size) == float(refused.step_size)


def test_useless_covariance_is_not_taken_over() -> None:
    positions = jnp.array([[1e30, 0.0], [-1e30, 1.0], [0.0, 2.0]])
    state = learn(lambda _: 0.5, 100, adapt_mass_matrix=True, positions=positions)
    np.testing.assert_array_equal(state.inverse_mass_matrix, jnp.ones(2))


@pytest.mark.parametrize("num_warmup", [0, 1, 2, 19, 20, 21])
def test_short_warmups_end_where_they_should(num_warmup: int) -> None:
    state = learn(lambda step_size: jnp.exp(-step_size), num_warmup)
    assert bool(jnp.isfinite(state.step_size))
    assert float(state.dual_averaging.num_steps) <= num_warmup
    assert int(state.num_warmup) == num_warmup


# Over seeds the mean acceptance has a standard deviation of less than 0.01 around its target (64
# chains, 200 draws each), so the band of 0.08 is left by chance less than once in 1e8 runs; the
# log variances have one of 0.05 against a band of 0.4. A search with the error's sign reversed
# ends at an acceptance of 0 or 1.
@pytest.mark.parametrize(
    ("kernel", "target"),
    [
        (MALA(potential_fn=potential), 0.574),
        pytest.param(
            MALA(potential_fn=potential, dense_mass=True, step_size=50.0), 0.574, marks=SLOW
        ),
        pytest.param(RandomWalkMetropolis(potential_fn=potential), 0.234, marks=SLOW),
        pytest.param(MALA(potential_fn=potential, target_accept_prob=0.8), 0.8, marks=SLOW),
    ],
)
def test_pooled_warmup_reaches_its_target_and_freezes(kernel: Any, target: float) -> None:
    learned, last, accept_prob = warm_up(kernel, 300, 64)
    assert abs(float(accept_prob.mean()) - target) < 0.08
    matrix = learned.adaptation.inverse_mass_matrix
    variances = jnp.diag(matrix) if matrix.ndim == 2 else matrix
    np.testing.assert_allclose(variances, SCALES**2, rtol=0.5)
    for before, after in zip(
        jax.tree.leaves(learned.adaptation), jax.tree.leaves(last.adaptation), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(last.mean_accept_prob, accept_prob.mean(0), rtol=1e-3)


def _chains_that_never_move() -> int:
    """One of 16 chains starts where a gradient step that suits the others overshoots."""
    kernel = MALA(potential_fn=lambda z: jnp.sum(z**4), adapt_mass_matrix=False)
    start = jnp.linspace(-1.0, 1.0, 16).at[0].set(30.0)[:, None]
    state = kernel.init(jax.random.split(jax.random.key(0), 16), 1500, start)
    state = jax.jit(lambda s: lax.fori_loop(0, 1500, lambda _, s: kernel.sample(s), s))(state)
    return int(jnp.sum(jnp.abs(state.z) > 5.0))


@pytest.mark.slow
def test_no_chain_stays_stuck_while_the_others_look_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is all or nothing: the plain mean, planted here, leaves the chain where it was."""
    assert _chains_that_never_move() == 0
    monkeypatch.setattr(adaptation, "pooled_acceptance", lambda now, _: jnp.mean(now))
    assert _chains_that_never_move() == 1


def test_pooled_acceptance_is_the_mean_unless_a_chain_is_stuck() -> None:
    now, even = jnp.array([0.2, 0.9, 1.0, 0.1]), jnp.full(4, 0.5)
    np.testing.assert_allclose(pooled_acceptance(now, even), 0.55, rtol=1e-6)
    np.testing.assert_allclose(pooled_acceptance(now, even.at[0].set(0.3)), 0.55, rtol=1e-6)
    assert float(pooled_acceptance(now, even.at[0].set(0.0))) < 0.05
    assert float(pooled_acceptance(now.at[1].set(jnp.nan), even)) < 0.55


@pytest.mark.slow
@pytest.mark.parametrize("step_size", [1e-4, 100.0])
def test_many_chains_learn_from_few_steps(step_size: float) -> None:
    """Ten steps bring acceptance within reach from far too long and far too short steps."""
    kernel = MALA(potential_fn=potential, step_size=step_size)
    _, _, accept_prob = warm_up(kernel, 10, 256, num_samples=20)
    assert 0.05 < float(accept_prob.mean()) < 0.99


def test_one_dimension_has_its_own_optimum() -> None:
    kernel = RandomWalkMetropolis(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
    assert kernel.tuning(1).target_accept_prob == 0.44
    assert kernel.tuning(2).target_accept_prob == 0.234


def branches(jaxpr: Any) -> int:
    """Number of conditions, not counting those that compilation for a platform decides."""
    conditions = [equation for equation in jaxpr.eqns if equation.primitive.name == "cond"]
    return sum(equation.params.get("branches_platforms") is None for equation in conditions)


def test_warmup_costs_nothing_once_it_has_ended() -> None:
    """A vectorised step branches on one scalar; without warm-up there is nothing to branch on."""
    kernel = MALA(potential_fn=potential)
    keys, start = jax.random.split(jax.random.key(0), 4), jnp.zeros((4, 2))

    def step(num_warmup: int) -> int:
        state = kernel.init(keys, num_warmup, start)
        return branches(jax.make_jaxpr(lambda state: kernel.sample(state))(state).jaxpr)

    assert step(100) == 1
    assert step(0) == 0


def test_stuck_chains_are_left_out_as_long_as_they_are_few() -> None:
    recent = jnp.full(8, 0.9).at[0].set(0.0)
    values = jnp.ones(8).at[0].set(jnp.nan)
    assert float(mean_of_most(values, recent)) == 1.0
    many = recent.at[1:4].set(0.0)
    assert float(mean_of_most(values, many)) == 7 / 8


def test_divergences_raise_the_target_in_the_second_half_alone() -> None:
    rules = Adaptation(True, False, 0.8, avoids_divergences=True)
    half, positions = jnp.full(4, 0.8), jnp.ones((4, 2))
    state = rules.init(100, jnp.asarray(0.5), jnp.ones(2), positions)
    update = jax.jit(rules.update)

    def missed(iteration: int, num_diverging: int) -> float:
        step = observed(jnp.asarray(iteration), half, positions)
        step = step._replace(diverging=jnp.arange(4) < num_diverging)
        return float(update(state, step).missed)

    assert missed(10, 2) == pytest.approx(0.2)
    assert 0.15 < missed(60, 2) < 0.19
    assert missed(60, 0) == pytest.approx(0.2)
    assert missed(60, 4) >= 0.01


def test_steps_stay_above_the_rounding_of_positions() -> None:
    found = learn(lambda step_size: 0.0 * step_size, 300, positions=jnp.full((3, 2), 100.0))
    resolved = 100 * np.finfo(np.float32).eps
    assert resolved <= float(found.step_size) < 10 * resolved
    assert float(found.step_size) == pytest.approx(float(found.least_step_size), rel=1e-3)
