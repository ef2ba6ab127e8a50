"""Microcanonical kernels with wrong directions, turns or acceptance."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Scalar
from ebm_ppl.samplers import MAMS, MCLMC, Point, WhitenedTarget
from ebm_ppl.validation.controls._base import Control, claims

Direction = Float[Array, " n"]
Gradient = Float[Array, " dim"]


class _NoKineticEnergy(MAMS):
    def turn(self, direction: Direction, gradient: Gradient, time: Scalar) -> Any:
        turned = super().turn(direction, gradient, time)
        return turned._replace(kinetic_change=jnp.zeros_like(turned.kinetic_change))


class _OneDimensionMore(MAMS):
    """Weighs the turns by n, which is the sphere's dimension plus one."""

    def turn(self, direction: Direction, gradient: Gradient, time: Scalar) -> Any:
        turned = super().turn(direction, gradient, time)
        excess = direction.size / (direction.size - 1)
        return turned._replace(kinetic_change=excess * turned.kinetic_change)


class _AcceptsAll(MAMS):
    def follow(
        self, noise: Direction, target: WhitenedTarget, start: Point, trajectory: Any
    ) -> Any:
        followed = super().follow(noise, target, start, trajectory)
        return followed._replace(
            log_ratio=jnp.where(jnp.isfinite(followed.log_ratio), 0.0, -jnp.inf)
        )


class _AnyLength(MAMS):
    """Draws directions that are not of unit length."""

    def draw(self, noise: Direction) -> Direction:
        return noise


class _Sign(MAMS):
    """A direction on the line that is a sign: no gradient turns it, but the turns are weighed."""

    def draw(self, noise: Direction) -> Direction:
        return jnp.stack([jnp.sign(noise[0]), jnp.zeros_like(noise[0])])


class _TurnsTooLittle(MCLMC):
    """Divides the gradient by n rather than by the sphere's dimension."""

    def turn(self, direction: Direction, gradient: Gradient, time: Scalar) -> Any:
        return super().turn(direction, gradient, time * (direction.size - 1) / direction.size)


class _NotNormalised(MCLMC):
    def forget(self, noise: Gradient, direction: Direction, elapsed: Scalar) -> Direction:
        across = jnp.stack([-direction[1], direction[0]])
        return direction + jnp.sqrt(2 * elapsed) * noise[0] * across


def _adjusted(kernel: type[MAMS], name: str, wrong_because: str, **options: Any) -> Control:
    case = claims(lambda potential: kernel(potential_fn=potential), num_transitions=3)
    return Control(name, wrong_because, case, step_size=0.6, **options)


def _unadjusted(kernel: type[MCLMC], name: str, wrong_because: str) -> Control:
    case = claims(
        lambda potential: kernel(potential_fn=potential),
        exact=False,
        bias_order=2,
        bias_step_size=0.25,
        reversible=False,
        reports_acceptance=False,
    )
    return Control(name, wrong_because, case, target="gaussian_mixture_1d")


CONTROLS = (
    _adjusted(
        _NoKineticEnergy,
        "MAMS without kinetic energy",
        "the ratio leaves out the Jacobian of turns",
    ),
    _adjusted(
        _OneDimensionMore,
        "MAMS with the kinetic energy of one dimension more",
        "turns are weighed by the dimension of the space and not of the sphere",
        target="conditional_gaussian",
    ),
    _adjusted(_AcceptsAll, "MAMS without correction", "the error of the steps is never corrected"),
    _adjusted(
        _AnyLength,
        "MAMS with directions of any length",
        "turns are those of unit vectors, which these are not",
    ),
    _adjusted(_Sign, "MAMS whose direction is a sign", "what is weighed as turned is never turned"),
    _unadjusted(
        _TurnsTooLittle,
        "MCLMC that turns too little",
        "gradients are divided by the dimension of the space and not of the sphere",
    ),
    _unadjusted(
        _NotNormalised,
        "MCLMC that does not normalise",
        "noise makes the direction longer and longer",
    ),
    Control(
        "MCLMC passed off as exact",
        "it has a bias of the order of the step size squared",
        claims(
            lambda potential: MCLMC(potential_fn=potential),
            reports_acceptance=False,
            reversible=False,
            num_transitions=10,
        ),
        step_size=0.8,
    ),
)
