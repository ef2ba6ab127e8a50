"""Hamiltonian kernels with wrong trajectories or acceptance, and correct ones beside them."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._trees import tree_where
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.samplers import AbstractKernel, ChEESHMC, Point, Settings, Transition, WhitenedTarget
from ebm_ppl.samplers._contract import Followed
from ebm_ppl.samplers._warmup import Trajectory
from ebm_ppl.validation.controls._base import Control, claims

NUM_STEPS = 4
MAXIMUM_DEPTH = 3

Momentum = Float[Array, " dim"]


def leapfrog(
    target: WhitenedTarget, point: Point, momentum: Momentum, step_size: Scalar
) -> tuple[Point, Momentum]:
    """One leapfrog step."""
    momentum = momentum - 0.5 * step_size * point.gradient
    point = target.evaluate(point.position + step_size * momentum)
    return point, momentum - 0.5 * step_size * point.gradient


def total_energy(point: Point, momentum: Momentum) -> Scalar:
    """Potential plus kinetic energy."""
    return point.potential_energy + 0.5 * jnp.sum(momentum**2)


class _HMC(AbstractKernel):
    """Static Hamiltonian Monte Carlo, correct; a control overrides one part of it."""

    exact, bias_order, reversible = True, None, True
    gradient_evaluations_per_step = NUM_STEPS
    potential_evaluations_per_step = NUM_STEPS
    momentum_scale = 1.0

    def __init__(self, potential_fn: Any) -> None:
        super().__init__(None, potential_fn)

    def step(
        self, target: WhitenedTarget, point: Point, momentum: Momentum, step_size: Scalar
    ) -> tuple[Point, Momentum]:
        return leapfrog(target, point, momentum, step_size)

    def log_ratio(self, start: tuple[Point, Momentum], end: tuple[Point, Momentum]) -> Scalar:
        return total_energy(*start) - total_energy(*end)

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Settings,
    ) -> Transition:
        key_momentum, key_accept = jax.random.split(rng_key)
        shape, dtype = start.position.shape, start.position.dtype
        momentum = self.momentum_scale * jax.random.normal(key_momentum, shape, dtype)
        end = jax.lax.fori_loop(
            0,
            NUM_STEPS,
            lambda _, end: self.step(target, end[0], end[1], settings.step_size),
            (start, momentum),
        )
        log_ratio = self.log_ratio((start, momentum), end)
        accept_prob = jnp.where(jnp.isfinite(log_ratio), jnp.exp(jnp.minimum(log_ratio, 0.0)), 0.0)
        accept = jax.random.uniform(key_accept, dtype=accept_prob.dtype) < accept_prob
        point = tree_where(accept, end[0], start)
        return Transition(point, auxiliary, accept_prob, ~jnp.isfinite(log_ratio))


class _NoCorrection(_HMC):
    def log_ratio(self, start: tuple[Point, Momentum], end: tuple[Point, Momentum]) -> Scalar:
        return jnp.zeros_like(start[0].potential_energy)


class _NoKineticEnergy(_HMC):
    def log_ratio(self, start: tuple[Point, Momentum], end: tuple[Point, Momentum]) -> Scalar:
        return start[0].potential_energy - end[0].potential_energy


class _EulerSteps(_HMC):
    """Explicit Euler: neither volume-preserving nor reversible."""

    def step(
        self, target: WhitenedTarget, point: Point, momentum: Momentum, step_size: Scalar
    ) -> tuple[Point, Momentum]:
        gradient = point.gradient
        point = target.evaluate(point.position + step_size * momentum)
        return point, momentum - step_size * gradient


class _MissingHalfKick(_HMC):
    """Symplectic Euler: volume-preserving, but its way back is another map."""

    def step(
        self, target: WhitenedTarget, point: Point, momentum: Momentum, step_size: Scalar
    ) -> tuple[Point, Momentum]:
        momentum = momentum - step_size * point.gradient
        return target.evaluate(point.position + step_size * momentum), momentum


class _SmallMomentum(_HMC):
    """Draws momenta of variance 0.81 and weighs them as if it were 1."""

    momentum_scale = 0.9


class _Trajectory(AbstractKernel):
    """A trajectory that doubles to the left or right at random, from which a state is drawn by weight.

    Its length is fixed, which makes it correct; a control overrides where it stops or how it weighs.
    """

    exact, bias_order, reversible = True, None, True
    gradient_evaluations_per_step = 2 * (2**MAXIMUM_DEPTH - 1)
    potential_evaluations_per_step = gradient_evaluations_per_step

    def __init__(self, potential_fn: Any) -> None:
        super().__init__(None, potential_fn)

    def stops(self, points: Point, momenta: Array, left: Array, right: Array) -> Array:
        return jnp.zeros((), dtype=bool)

    def log_weights(self, points: Point, momenta: Array) -> Array:
        return -jax.vmap(total_energy)(points, momenta)

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Settings,
    ) -> Transition:
        key_momentum, key_direction, key_choice = jax.random.split(rng_key, 3)
        momentum = jax.random.normal(key_momentum, start.position.shape, start.position.dtype)
        reach = 2**MAXIMUM_DEPTH - 1

        def follow(step_size: Scalar) -> tuple[Point, Array]:
            def advance(end: tuple[Point, Momentum], _: None) -> tuple[Any, Any]:
                end = leapfrog(target, *end, step_size)
                return end, end

            return jax.lax.scan(advance, (start, momentum), length=reach)[1]

        points, momenta = jax.tree.map(
            lambda left, here, right: jnp.concatenate([left[::-1], here[None], right]),
            follow(-settings.step_size),
            (start, momentum),
            follow(settings.step_size),
        )
        left = right = jnp.asarray(reach)
        done = jnp.zeros((), dtype=bool)
        for depth, go_left in enumerate(
            jax.random.bernoulli(key_direction, shape=(MAXIMUM_DEPTH,))
        ):
            width = 2**depth
            left = jnp.where(done | ~go_left, left, left - width)
            right = jnp.where(done | go_left, right, right + width)
            done = done | self.stops(points, momenta, left, right)
        index = jnp.arange(2 * reach + 1)
        inside = (index >= left) & (index <= right)
        weights = self.log_weights(points, momenta)
        weights = jnp.where(inside & jnp.isfinite(weights), weights, -jnp.inf)
        drawn = jax.random.categorical(key_choice, weights)
        point = jax.tree.map(lambda leaf: leaf[drawn], points)
        moved = (drawn != reach).astype(start.position.dtype)
        return Transition(point, auxiliary, moved, ~jnp.isfinite(point.potential_energy))


class _SubtreesUnchecked(_Trajectory):
    """Stops once the ends of the whole trajectory turn back, and never asks its halves."""

    def stops(self, points: Point, momenta: Array, left: Array, right: Array) -> Array:
        span = points.position[right] - points.position[left]
        return (jnp.dot(span, momenta[left]) < 0) | (jnp.dot(span, momenta[right]) < 0)


class _WeighsPotentialOnly(_Trajectory):
    def log_weights(self, points: Point, momenta: Array) -> Array:
        return -points.potential_energy


class _LengthOfItsOwn(ChEESHMC):
    """Near the origin a chain takes three times the steps that the others take."""

    def follow(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        trajectory: Trajectory,
    ) -> Followed:
        is_near = jnp.sum(start.z**2) < 1.0
        num_steps = jnp.where(is_near, 3 * trajectory.num_steps, trajectory.num_steps)
        return super().follow(noise, target, start, trajectory._replace(num_steps=num_steps))


def _hamiltonian(
    kernel: type[_HMC] | type[_Trajectory], name: str, wrong_because: str, **options: Any
) -> Control:
    case = claims(kernel, num_transitions=3, reports_acceptance=issubclass(kernel, _HMC))
    return Control(name, wrong_because, case, step_size=0.5, **options)


CONTROLS = (
    Control(
        "trajectory length of each chain's own",
        "how far a chain goes depends on where it stands",
        claims(lambda potential: _LengthOfItsOwn(potential_fn=potential), num_transitions=3),
        step_size=0.5,
    ),
    _hamiltonian(
        _NoCorrection, "HMC without correction", "the leapfrog error is never corrected", quick=True
    ),
    _hamiltonian(
        _NoKineticEnergy, "HMC without kinetic energy", "the ratio leaves out the momenta"
    ),
    _hamiltonian(_EulerSteps, "HMC with Euler steps", "the integrator does not preserve volume"),
    _hamiltonian(
        _MissingHalfKick, "HMC with full kicks", "the integrator does not run back on its own path"
    ),
    _hamiltonian(
        _SmallMomentum, "HMC with small momenta", "momenta are not drawn from their own energy"
    ),
    _hamiltonian(
        _SubtreesUnchecked,
        "NUTS whose subtrees are not checked",
        "a trajectory that another of its states would have ended earlier, as in Stan 2.10 to 2.13",
    ),
    _hamiltonian(
        _WeighsPotentialOnly,
        "trajectory weighed without kinetic energy",
        "states are drawn by their potential energy alone",
    ),
    _hamiltonian(_HMC, "static HMC", "the correct kernel behind these controls", equivalent=True),
    _hamiltonian(
        _Trajectory, "static trajectory", "the correct trajectory behind these", equivalent=True
    ),
)
