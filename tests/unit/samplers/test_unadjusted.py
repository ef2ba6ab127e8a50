"""Unadjusted kernels: their exact stationary laws on Gaussian targets, and what they refuse."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax import lax

from ebm_ppl._precision import float64
from ebm_ppl.samplers import Langevin, Settings, UnderdampedLangevin, WhitenedTarget


def standard(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2)


def stationary_covariance(kernel: Any, step_size: float, dim: int) -> np.ndarray:
    """Read the affine recursion of position and momentum off the kernel, and solve for its law."""
    target = WhitenedTarget(standard, jnp.zeros(1), jnp.ones(1))

    def move(state: np.ndarray, noise: float) -> np.ndarray:
        auxiliary = jnp.asarray(state[1:]) if dim == 2 else ()
        start = target.evaluate(jnp.asarray(state[:1]))
        end, moved = kernel.move(
            jnp.array([noise]), target, start, auxiliary, Settings(jnp.asarray(step_size))
        )
        return np.concatenate([end.position, *([moved] if dim == 2 else [])])

    np.testing.assert_array_equal(move(np.zeros(dim), 0.0), np.zeros(dim))
    drift = np.stack([move(unit, 0.0) for unit in np.eye(dim)], axis=1)
    noise = move(np.zeros(dim), 1.0)
    return scipy.linalg.solve_discrete_lyapunov(drift, np.outer(noise, noise))


@pytest.mark.parametrize("step_size", [0.01, 0.1, 0.5, 1.5])
def test_langevin_has_its_known_variance(step_size: float) -> None:
    with float64():
        variance = stationary_covariance(Langevin(potential_fn=standard), step_size, 1)
    np.testing.assert_allclose(variance, 1 / (1 - step_size / 2), rtol=1e-12)


@pytest.mark.parametrize("step_size", [0.1, 1.0, 1.9])
@pytest.mark.parametrize("friction", [0.3, 5.0])
def test_underdamped_langevin_is_exact_in_position(step_size: float, friction: float) -> None:
    kernel = UnderdampedLangevin(potential_fn=standard, friction=friction)
    with float64():
        covariance = stationary_covariance(kernel, step_size, 2)
    np.testing.assert_allclose(covariance[0, 0], 1.0, rtol=1e-10)
    # The momentum's variance is off in the second order, a known price of BAOAB.
    np.testing.assert_allclose(covariance[1, 1], 1 - step_size**2 / 4, rtol=1e-10)


@pytest.mark.parametrize("step_size", [0.1, 0.5])
def test_langevin_draws_have_that_variance(step_size: float) -> None:
    """5.5 standard errors, false alarm 4e-8; the target's own variance 1 is more than 20 away."""
    num_chains, truth = 20_000, 1 / (1 - step_size / 2)
    kernel = Langevin(potential_fn=standard, step_size=step_size)
    keys = jax.random.split(jax.random.key(0), num_chains)
    start = np.sqrt(truth) * jax.random.normal(jax.random.key(1), (num_chains, 1))

    def advance(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = kernel.sample(state)
        return state, state.z[:, 0] ** 2

    run = jax.jit(lambda state: lax.scan(advance, state, None, length=50)[1])
    averages = np.asarray(run(kernel.init(keys, 0, start)), dtype=float).mean(axis=0)
    error = averages.std(ddof=1) / np.sqrt(num_chains)
    assert abs(averages.mean() - truth) < 5.5 * error
    assert abs(averages.mean() - 1.0) > (20 if step_size == 0.5 else 5.5) * error


class TestTemperature:
    def test_is_one_by_default(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kernel = Langevin(potential_fn=standard, step_size=0.1)
            same = Langevin(potential_fn=standard, step_size=0.125, noise_scale=0.5)
        assert kernel.effective_temperature == same.effective_temperature == 1.0

    def test_is_reported_where_it_is_not(self) -> None:
        with pytest.warns(UserWarning, match="at the temperature T = 0.02, not exp"):
            kernel = Langevin(potential_fn=standard, step_size=0.25, noise_scale=0.1)
        assert kernel.effective_temperature == pytest.approx(0.02)
        state = kernel.init(jax.random.key(0), 0, jnp.zeros(1))
        assert kernel.get_diagnostics_str(state).endswith("temperature=0.02")
        with float64():
            variance = stationary_covariance(kernel, 0.25, 1)
        np.testing.assert_allclose(variance, 0.02 / (1 - 0.25 / 2), rtol=1e-12)

    def test_may_be_traced(self) -> None:
        def build(noise_scale: jax.Array) -> jax.Array:
            return Langevin(potential_fn=standard, noise_scale=noise_scale).effective_temperature

        np.testing.assert_allclose(jax.jit(build)(0.2), 2.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Langevin(potential_fn=standard, noise_scale=0.0), "`noise_scale` must be"),
        (lambda: UnderdampedLangevin(potential_fn=standard, friction=-1.0), "`friction` must be"),
    ],
)
def test_arguments_out_of_bounds_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_refused_step_reverses_the_momentum() -> None:
    kernel = UnderdampedLangevin(potential_fn=lambda z: jnp.where(z < 1, z, jnp.nan), step_size=9.0)
    state = kernel.init(jax.random.key(0), 0, jnp.asarray(0.0))
    state = state._replace(auxiliary=jnp.array([50.0]))
    new = kernel.sample(state)
    assert bool(new.diverging)
    assert float(new.z) == 0.0
    assert float(new.accept_prob) == 0.0
    np.testing.assert_array_equal(new.auxiliary, -state.auxiliary)
