"""Microcanonical dynamics: turns and their Jacobians, reversible steps, the line, and forgetting."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebm_ppl._precision import float64
from ebm_ppl.samplers import MAMS, MCLMC, Point, WhitenedTarget
from ebm_ppl.samplers._contract.shared_trajectory import Trajectory
from ebm_ppl.samplers._microcanonical import kick, normalised, refresh
from ebm_ppl.samplers._warmup import FlowSettings
from ebm_ppl.samplers.mclmc import Moving

pytestmark = pytest.mark.usefixtures("light_compilation")

SIZES = st.sampled_from([2, 5])
TIMES = st.floats(0.01, 1.0)
SEEDS = st.integers(0, 2**31 - 1)


TURN = jax.jit(kick)
FORGET = jax.jit(refresh)
FORGET_ALL = jax.jit(jax.vmap(refresh, in_axes=(0, None, None)))


@functools.partial(jax.jit, static_argnums=1)
def drawn(seed: int, size: int) -> tuple[jax.Array, jax.Array]:
    """A direction and a gradient."""
    first, second = jax.random.split(jax.random.key(seed))
    return normalised(jax.random.normal(first, (size,))), jax.random.normal(second, (size,))


def tangents(direction: Any) -> np.ndarray:
    """An orthonormal basis of the tangent space of the sphere, one vector a column."""
    return np.linalg.svd(np.asarray(direction)[None])[2][1:].T


def potential(z: jax.Array) -> jax.Array:
    return 0.25 * jnp.sum(z**4) + 0.5 * jnp.sum(z) ** 2 + jnp.sum(jnp.sin(z))


SLOPE = jax.jit(jax.jacobian(lambda u, g, time: kick(normalised(u), g, time).direction))


@given(SEEDS, SIZES, TIMES)
def test_the_kinetic_change_is_minus_log_jacobian(seed: int, size: int, time: float) -> None:
    """By automatic differentiation on the sphere; the planted bug, n for n - 1, is 20% off or more."""
    with float64():
        direction, gradient = drawn(seed, size)
        after = TURN(direction, gradient, time)
        slope = SLOPE(direction, gradient, time)
        volume = abs(np.linalg.det(tangents(after.direction).T @ slope @ tangents(direction)))
        np.testing.assert_allclose(np.linalg.norm(after.direction), 1.0, atol=1e-10)
        np.testing.assert_allclose(after.kinetic_change, -np.log(volume), atol=1e-7)


@given(SEEDS, SIZES, TIMES, TIMES)
def test_turns_are_a_flow_that_runs_back(seed: int, size: int, first: float, second: float) -> None:
    with float64():
        direction, gradient = drawn(seed, size)
        turn = lambda u, time: TURN(u, gradient, time)  # noqa: E731
        one = turn(direction, first)
        two = turn(one.direction, second)
        whole = turn(direction, first + second)
        np.testing.assert_allclose(two.direction, whole.direction, atol=1e-8)
        total = one.kinetic_change + two.kinetic_change
        np.testing.assert_allclose(total, whole.kinetic_change, atol=1e-8)
        back = turn(-whole.direction, first + second)
        np.testing.assert_allclose(back.direction, -direction, atol=1e-6)
        np.testing.assert_allclose(back.kinetic_change, -whole.kinetic_change, atol=1e-6)


@pytest.mark.parametrize("size", [2, 4])
def test_a_turn_solves_its_equation(size: int) -> None:
    r"""$\dot u = -\sqrt n / (n - 1) (I - u u^\top) g$, and $\dot K = -\sqrt n\, g \cdot u$."""
    with float64():
        direction, gradient = drawn(0, size)
        slope = jax.jit(jax.jacobian(kick, argnums=2))(direction, gradient, 0.0)
        across = gradient - direction * (direction @ gradient)
        np.testing.assert_allclose(slope.direction, -across * size**0.5 / (size - 1), atol=1e-9)
        expected = -(size**0.5) * (gradient @ direction)
        np.testing.assert_allclose(slope.kinetic_change, expected, atol=1e-9)


@given(SEEDS, TIMES)
def test_the_line_is_a_plane_without_slope_along_its_second_coordinate(
    seed: int, time: float
) -> None:
    direction, gradient = drawn(seed, 2)
    line = TURN(direction, gradient[:1], time)
    level = gradient.at[1].set(0.0)
    plane = TURN(direction, level, time)
    np.testing.assert_allclose(line.direction, plane.direction, atol=1e-6)
    np.testing.assert_allclose(line.kinetic_change, plane.kinetic_change, atol=1e-5)


@pytest.mark.parametrize("size", [2, 100])
def test_steep_and_level_ground_in_single_precision(size: int) -> None:
    """cosh of 89 overflows; from the angle on by which e has been reached, K grows like the angle."""
    direction, gradient = drawn(3, size)
    level = TURN(direction, 0 * gradient, 1.0)
    np.testing.assert_allclose(level.direction, direction, rtol=1e-6)
    assert abs(float(level.kinetic_change)) < 1e-5
    unit = normalised(gradient)
    steep = TURN(direction, 1e6 * unit, 1.0)
    np.testing.assert_allclose(steep.direction, -unit, atol=1e-6)
    np.testing.assert_allclose(steep.kinetic_change, size**0.5 * 1e6, rtol=1e-4)
    lost = TURN(direction, 1e30 * unit, 1.0)
    assert not bool(jnp.isfinite(lost.kinetic_change))


@pytest.mark.parametrize("angle", [1e-1, 1e-2, 1e-3, 1e-4])
def test_turns_keep_their_digits_where_a_direction_points_uphill(angle: float) -> None:
    """Against double precision: 1 + cos as it stands, the planted bug, is off by 1e-7 over its square."""
    across, gradient, time = jnp.array([1.0, -2.0, 2.0]) / 3, jnp.array([2.0, 2.0, 1.0]) * 2, 1.0
    with float64():
        wide = jnp.asarray(np.cos(angle) * gradient / 6 + np.sin(angle) * across, "float32")
        exact = TURN(normalised(wide.astype(float)), gradient.astype(float), time)
    single = TURN(wide, gradient, jnp.asarray(time, "float32"))
    np.testing.assert_allclose(single.direction, exact.direction, atol=3e-6 / angle)
    np.testing.assert_allclose(jnp.linalg.norm(single.direction), 1.0, atol=1e-6)
    np.testing.assert_allclose(single.kinetic_change, exact.kinetic_change, atol=3e-6 / angle)


@given(SEEDS, st.floats(0.01, 3.0))
def test_forgetting_on_a_circle_is_exact(seed: int, elapsed: float) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    direction, _ = drawn(seed, 2)
    turned = FORGET_ALL(jnp.asarray(nodes[:, None]), direction, elapsed)
    np.testing.assert_allclose(jnp.linalg.norm(turned, axis=1), 1.0, atol=1e-6)
    mean = weights @ np.asarray(turned) / weights.sum()
    np.testing.assert_allclose(mean, np.exp(-elapsed) * direction, atol=1e-5)


@given(SEEDS, SIZES, st.floats(0.001, 200.0))
def test_forgetting_favours_no_direction(seed: int, size: int, elapsed: float) -> None:
    """Turning noise and direction alike turns the result, so the uniform law is invariant."""
    with float64():
        direction, noise = drawn(seed, size)
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
        after = FORGET(noise, direction, elapsed)
        np.testing.assert_allclose(jnp.linalg.norm(after), 1.0, atol=1e-12)
        turned = FORGET(turn @ noise, turn @ direction, elapsed)
        np.testing.assert_allclose(turned, turn @ after, atol=1e-10)


def test_forgetting_takes_the_time_that_it_should() -> None:
    """40,000 draws in 50 dimensions: a mean off by 0.004 would be ten standard errors."""
    direction = normalised(jnp.ones(50))
    noise = jax.random.normal(jax.random.key(0), (40_000, 50))
    for elapsed in (0.1, 1.0):
        after = FORGET_ALL(noise, direction, elapsed)
        mean = float(jnp.mean(after @ direction))
        assert abs(mean - np.exp(-elapsed)) < 0.004 + 0.3 / 50  # right to order 1 / n


@jax.jit
def follow(z: Any, direction: Any, num_steps: Any, scale: Any) -> tuple[Any, ...]:
    """Where a trajectory leads: position, direction and log acceptance ratio."""
    kernel = MAMS(potential_fn=potential)
    target = WhitenedTarget(potential, z, scale)
    start: Point = target.evaluate(jnp.zeros_like(z))
    shared = Trajectory(jnp.asarray(0.2), num_steps, scale @ scale.T)
    end, momentum, log_ratio = kernel.follow(direction, target, start, shared)
    return end.z, momentum / direction.size**0.5, log_ratio


@given(SEEDS, st.sampled_from([2, 4]), st.integers(1, 6))
def test_trajectories_run_back(seed: int, dim: int, num_steps: int) -> None:
    with float64():
        direction, z = drawn(seed, dim)
        scale = jnp.tril(jnp.full((dim, dim), 0.2)) + 0.5 * jnp.eye(dim)
        end, last, log_ratio = follow(z, direction, num_steps, scale)
        again, first, opposite = follow(end, -last, num_steps, scale)
        np.testing.assert_allclose(again, z, atol=1e-8)
        np.testing.assert_allclose(first, -direction, atol=1e-8)
        np.testing.assert_allclose(opposite, -log_ratio, atol=1e-8)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_ratio_is_that_of_densities_and_volumes(dim: int) -> None:
    """The Jacobian of a whole trajectory in position and angle, by automatic differentiation."""
    with float64():

        def flow(state: jax.Array) -> jax.Array:
            direction = jnp.stack([jnp.cos(state[-1]), jnp.sin(state[-1])])
            end, last, _ = follow(state[:-1], direction, 5, jnp.eye(dim))
            # On the line only the cosine of the angle at the end is known, which is all that matters.
            angle = jnp.arccos(last[0]) if dim == 1 else jnp.arctan2(last[1], last[0])
            return jnp.append(end, angle)

        @jax.jit
        @jax.vmap
        def compared(state: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            drop = potential(state[:-1]) - potential(flow(state)[:-1])
            direction = jnp.stack([jnp.cos(state[-1]), jnp.sin(state[-1])])
            log_ratio = follow(state[:-1], direction, 5, jnp.eye(dim))[2]
            return jax.jacfwd(flow)(state), drop, log_ratio

        states = np.random.default_rng(0).normal(size=(5, dim + 1))
        slope, drop, log_ratio = map(np.asarray, compared(states))
        volume = np.abs(np.linalg.det(slope))
        np.testing.assert_allclose(log_ratio, drop + np.log(volume), atol=1e-8)


@jax.jit
def unadjusted(z: Any, direction: Any, step_size: Any) -> tuple[Any, Moving]:
    """One step without forgetting."""
    target = WhitenedTarget(potential, z, jnp.full(z.size, 0.7))
    start = target.evaluate(jnp.zeros_like(z))
    moving = Moving(direction, jnp.asarray(0.0))
    flow = FlowSettings(step_size, jnp.asarray(jnp.inf))
    end, moved = MCLMC(potential_fn=potential).move(jnp.ones(z.size), target, start, moving, flow)
    return end.z, moved


@given(SEEDS, st.sampled_from([1, 4]))
def test_unadjusted_steps_run_back_but_for_noise(seed: int, dim: int) -> None:
    with float64():
        direction, z = drawn(seed, max(dim, 2))
        end, there = unadjusted(z[:dim], direction, jnp.asarray(0.2))
        again, back = unadjusted(end, -there.direction, jnp.asarray(0.2))
        np.testing.assert_allclose(again, z[:dim], atol=1e-10)
        np.testing.assert_allclose(back.direction, -direction, atol=1e-10)
        np.testing.assert_allclose(back.energy_error, -there.energy_error, atol=1e-10)


def test_energy_errors_of_a_step_are_of_third_order() -> None:
    """Half the step leaves an eighth, in the median; a missing kick, the planted bug, leaves a quarter."""
    with float64():
        ratios = []
        for seed in range(15):
            direction, z = drawn(seed, 4)
            coarse, fine = (unadjusted(z, direction, jnp.asarray(e))[1] for e in (0.01, 0.005))
            ratios.append(coarse.energy_error / fine.energy_error)
    assert 7.5 < np.median(ratios) < 8.5
