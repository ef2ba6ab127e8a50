"""Langevin kernels with a wrong proposal ratio, drift or noise."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Scalar
from ebm_ppl.samplers import MALA, Langevin, Point, Settings, UnderdampedLangevin, WhitenedTarget
from ebm_ppl.validation.controls._base import Control, claims


class PlainMALA(MALA):
    """The correct kernel; a control overrides the one thing that it gets wrong."""

    def __init__(self, potential_fn: Any, **options: Any) -> None:
        super().__init__(potential_fn=potential_fn, **options)


class _MissingRatio(PlainMALA):
    def log_proposal_ratio(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return jnp.zeros_like(start.potential_energy)


class _InvertedRatio(PlainMALA):
    def log_proposal_ratio(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return -super().log_proposal_ratio(start, end, step_size)


class _InvertedAcceptance(PlainMALA):
    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return -super().log_acceptance(start, end, step_size)


class _WrongVarianceInRatio(PlainMALA):
    def log_proposal_ratio(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return 2 * super().log_proposal_ratio(start, end, step_size)


class _NoiseTooSmall(PlainMALA):
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        return super().propose(noise / jnp.sqrt(2.0), start, step_size)


class _WrongDriftSign(PlainMALA):
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        return super().propose(noise, start._replace(gradient=-start.gradient), step_size)


class _HalfDrift(PlainMALA):
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        return super().propose(noise, start._replace(gradient=0.5 * start.gradient), step_size)


class _StartGradientTwice(PlainMALA):
    def log_proposal_ratio(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return super().log_proposal_ratio(start, end._replace(gradient=start.gradient), step_size)


class _ClippedProposalOnly(PlainMALA):
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        clipped = start._replace(gradient=jnp.clip(start.gradient, -1.0, 1.0))
        return super().propose(noise, clipped, step_size)


class _ScaledGradient(PlainMALA):
    """Uses a gradient that is 20% too small, alike in the proposal and in the ratio."""

    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        return super().propose(noise, _scaled(start), step_size)

    def log_proposal_ratio(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return super().log_proposal_ratio(_scaled(start), _scaled(end), step_size)


def _scaled(point: Point) -> Point:
    return point._replace(gradient=0.8 * point.gradient)


class _SmallNoiseLangevin(Langevin):
    """Langevin with noise of standard deviation sqrt(step_size)."""

    def move(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Settings,
    ) -> tuple[Point, Any]:
        return super().move(noise / jnp.sqrt(2.0), target, start, auxiliary, settings)


class _WeakNoiseUnderdamped(UnderdampedLangevin):
    def move(
        self,
        noise: Float[Array, " dim"],
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Settings,
    ) -> tuple[Point, Any]:
        return super().move(0.9 * noise, target, start, auxiliary, settings)


def _mala(kernel: type[PlainMALA], name: str, wrong_because: str, **options: Any) -> Control:
    return Control(name, wrong_because, claims(kernel, metropolis=True), step_size=0.5, **options)


CONTROLS = (
    _mala(
        _MissingRatio,
        "MALA without proposal ratio",
        "the proposal is not symmetric, and its ratio is left out",
        quick=True,
    ),
    _mala(_InvertedRatio, "MALA with the proposal ratio inverted", "the ratio has the wrong sign"),
    _mala(
        _InvertedAcceptance,
        "MALA with the whole acceptance ratio inverted",
        "as BlackJAX 1.0 to 1.1.1 shipped it",
    ),
    _mala(
        _WrongVarianceInRatio,
        "MALA ratio with half the variance",
        "1/(2ε) for 1/(4ε) in the proposal density",
    ),
    _mala(_NoiseTooSmall, "MALA with noise sqrt(ε)", "sqrt(ε) for sqrt(2ε) in the proposal alone"),
    _mala(_WrongDriftSign, "MALA that climbs", "the proposal's drift has the wrong sign"),
    _mala(_HalfDrift, "MALA with half the drift", "ε/2 for ε in the proposal alone"),
    _mala(
        _StartGradientTwice,
        "MALA with the start's gradient on the way back",
        "the reverse density uses the gradient of the wrong point",
    ),
    _mala(
        _ClippedProposalOnly,
        "MALA that clips the proposal alone",
        "the gradient is clipped in the proposal and not in the ratio",
    ),
    _mala(
        _ScaledGradient,
        "gradient scaled alike in proposal and ratio",
        "the law is untouched; only efficiency changes",
        equivalent=True,
        target="quartic",
        expected_efficiency_of="mala",
    ),
    Control(
        "another mass matrix",
        "any fixed mass matrix leaves the target invariant",
        claims(lambda potential: PlainMALA(potential, inverse_mass_matrix=jnp.array([0.3]))),
        step_size=1.5,
        equivalent=True,
    ),
    Control(
        "unadjusted Langevin passed off as exact",
        "it has a bias of the order of the step size",
        claims(lambda potential: Langevin(potential_fn=potential), reports_acceptance=False),
        step_size=0.1,
    ),
    Control(
        "underdamped Langevin passed off as exact",
        "it has a bias of the order of the step size squared",
        claims(
            lambda potential: UnderdampedLangevin(potential_fn=potential),
            reports_acceptance=False,
            reversible=False,
            num_transitions=20,
        ),
        step_size=0.6,
    ),
    Control(
        "Langevin with noise sqrt(ε)",
        "samples at half the temperature, however small the step",
        claims(
            lambda potential: _SmallNoiseLangevin(potential_fn=potential),
            exact=False,
            bias_order=1,
            bias_step_size=0.1,
            reports_acceptance=False,
        ),
        target="gaussian_mixture_1d",
        quick=True,
    ),
    Control(
        "underdamped Langevin with weak noise",
        "noise and friction do not balance, however small the step",
        claims(
            lambda potential: _WeakNoiseUnderdamped(potential_fn=potential),
            exact=False,
            bias_order=2,
            bias_step_size=0.4,
            reports_acceptance=False,
            reversible=False,
        ),
        target="gaussian_mixture_1d",
    ),
)
