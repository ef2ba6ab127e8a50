"""Metropolis kernels: deterministic identities first, then moments of long runs."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from ebm_ppl._precision import float64
from ebm_ppl.samplers import MALA, Point, RandomWalkMetropolis, WhitenedTarget

pytestmark = pytest.mark.usefixtures("light_compilation")

COVARIANCE = np.array([[1.0, 0.6], [0.6, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE).astype(np.float32)
GUMBEL_MEAN, GUMBEL_VARIANCE = 0.5772156649015329, np.pi**2 / 6


def gaussian(z: jax.Array) -> jax.Array:
    return 0.5 * z @ PRECISION @ z


def gumbel(z: jax.Array) -> jax.Array:
    """The standard Gumbel law: asymmetric, with a steep side and a slow one."""
    return jnp.sum(z + jnp.exp(-z))


@functools.partial(jax.jit, static_argnums=0)
def ratios(cls: Any, first: jax.Array, second: jax.Array, step_size: jax.Array) -> Any:
    """Of the proposals' densities, as the kernel has it, and of acceptance both ways."""
    kernel, dim = cls(potential_fn=gumbel), first.size
    target = WhitenedTarget(gumbel, jnp.zeros(dim), jnp.ones(dim))
    start, end = target.evaluate(first), target.evaluate(second)

    def log_density(end: Point, start: Point) -> jax.Array:
        """Density of the proposal by the change of variables from its noise."""
        origin = kernel.propose(jnp.zeros(dim), start, step_size)
        unit = kernel.propose(jnp.ones(dim), start, step_size) - origin
        return jnp.sum(jax.scipy.stats.norm.logpdf(end.position, origin, unit))

    expected = log_density(start, end) - log_density(end, start)
    ratio = kernel.log_proposal_ratio(start, end, step_size)
    backwards = kernel.log_acceptance(end, start, step_size)
    return expected, ratio, backwards, kernel.log_acceptance(start, end, step_size)


@given(dim=st.sampled_from([1, 3]), step_size=st.floats(0.01, 2.0), seed=st.integers(0, 1000))
def test_proposal_ratio_is_that_of_the_proposal_densities(
    dim: int, step_size: float, seed: int
) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, dim))
    with float64():
        for cls in (MALA, RandomWalkMetropolis):
            expected, ratio, backwards, log_ratio = ratios(cls, first, second, step_size)
            np.testing.assert_allclose(ratio, expected, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(log_ratio, -backwards, rtol=1e-9, atol=1e-9)


class NoRatio(MALA):
    """Langevin proposals accepted as if they were symmetric."""

    def log_proposal_ratio(self, start: Point, end: Point, step_size: jax.Array) -> jax.Array:
        return jnp.zeros_like(start.potential_energy)


class Lenient(RandomWalkMetropolis):
    """Accepts with the square root of the ratio, so samples at twice the temperature."""

    def log_acceptance(self, start: Point, end: Point, step_size: jax.Array) -> jax.Array:
        return 0.5 * super().log_acceptance(start, end, step_size)


NUM_CHAINS, NUM_STEPS = 2000, 100


@functools.cache
def z_scores(cls: Any, target: str) -> np.ndarray:
    """Deviation of first and second moments from the truth, in standard errors.

    Chains start from the target, so every draw has its law exactly; the chains' averages are
    independent of each other, so their spread gives the standard error at any autocorrelation.
    """
    rng = np.random.default_rng(1)
    if target == "gaussian":
        root = np.linalg.cholesky(COVARIANCE)
        potential, step_size = gaussian, 0.5 if issubclass(cls, MALA) else 1.2
        start = rng.normal(size=(NUM_CHAINS, 2)) @ root.T
        mean = np.zeros(2, np.float32)
        truth = np.array([0.0, 0.0, *COVARIANCE[np.triu_indices(2)]])
    else:
        potential, step_size = gumbel, 0.7 if issubclass(cls, MALA) else 2.0
        start = rng.gumbel(size=(NUM_CHAINS, 1))
        mean = np.array([GUMBEL_MEAN], np.float32)
        truth = np.array([0.0, GUMBEL_VARIANCE])
    kernel = cls(potential_fn=potential, step_size=step_size)

    def features(z: jax.Array) -> jax.Array:
        centred = z - mean
        outer = jnp.outer(centred, centred)[jnp.triu_indices(z.size)]
        return jnp.concatenate([centred, outer])

    def advance(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = kernel.sample(state)
        return state, jax.vmap(features)(state.z)

    @jax.jit
    def values_from(start: jax.Array) -> jax.Array:
        keys = jax.random.split(jax.random.key(0), NUM_CHAINS)
        return lax.scan(advance, kernel.init(keys, 0, start), length=NUM_STEPS)[1]

    values = values_from(start.astype(np.float32))
    averages = np.asarray(values, dtype=float).mean(axis=0)
    error = averages.std(axis=0, ddof=1) / np.sqrt(NUM_CHAINS)
    return (averages.mean(axis=0) - truth) / error


# Two-sided normal tail beyond 5.5: 4e-8 for each of 7 moments and 2 kernels, 6e-7 in all. A moment
# that is off by 8 standard errors is seen with 99% power; that is at most 18% of the draws' own
# standard deviation, were all draws of a chain the same. The bugs planted below are off by more.
@pytest.mark.parametrize("target", ["gaussian", "gumbel"])
@pytest.mark.parametrize("cls", [MALA, RandomWalkMetropolis])
def test_moments_are_those_of_the_target(cls: Any, target: str) -> None:
    assert np.all(np.abs(z_scores(cls, target)) < 5.5)


@pytest.mark.parametrize(("cls", "target"), [(NoRatio, "gumbel"), (Lenient, "gaussian")])
def test_moments_see_planted_bugs(cls: Any, target: str) -> None:
    assert np.max(np.abs(z_scores(cls, target))) > 5.5


def test_accept_prob_is_the_frequency_of_acceptance() -> None:
    """Accepted minus reported has mean zero: bound of 5.5 standard errors, false alarm 4e-8."""
    kernel = MALA(potential_fn=gumbel, step_size=1.0)
    keys = jax.random.split(jax.random.key(0), 20_000)
    start = jnp.zeros((20_000, 1))
    state, new = jax.jit(lambda: (state := kernel.init(keys, 0, start), kernel.sample(state)))()
    surplus = np.asarray(jnp.any(new.z != state.z, axis=-1) - new.accept_prob, dtype=float)
    assert abs(surplus.mean()) < 5.5 * surplus.std(ddof=1) / np.sqrt(surplus.size)
    assert 0.1 < float(new.accept_prob.mean()) < 0.95


def test_overflow_of_the_ratio_is_refused() -> None:
    """A finite energy with a gradient too large to square is no proposal to accept."""
    kernel = MALA(potential_fn=lambda z: jnp.sum(1e25 * jnp.abs(z)), step_size=1.0)
    state = kernel.init(jax.random.key(0), 0, jnp.array([1e-20]))
    new = jax.jit(kernel.sample)(state)
    assert bool(new.diverging)
    assert float(new.accept_prob) == 0.0
    np.testing.assert_array_equal(new.z, state.z)
