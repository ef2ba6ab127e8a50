"""Random-walk Metropolis with a wrong acceptance step, and variants of it that are right."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._trees import tree_where
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.samplers import Point, RandomWalkMetropolis, Settings, Transition, WhitenedTarget
from ebm_ppl.validation.controls._base import AlteredPotential, Control, claims


class _RandomWalk(RandomWalkMetropolis):
    """The correct kernel; a control overrides the one thing that it gets wrong."""

    def __init__(self, potential_fn: Any) -> None:
        super().__init__(potential_fn=potential_fn)

    def alter(self, start: Point, new: Transition) -> Transition:
        """What becomes of a correct transition: nothing."""
        return new

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> Transition:
        return self.alter(start, super().transition(rng_key, target, start, auxiliary, settings))


class _InvertedRatio(_RandomWalk):
    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return -super().log_acceptance(start, end, step_size)


class _AlwaysAccepts(_RandomWalk):
    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return jnp.zeros_like(start.potential_energy)


class _HalfTheEnergy(_RandomWalk):
    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return 0.5 * super().log_acceptance(start, end, step_size)


class _SlightlyHot(_RandomWalk):
    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return 0.95 * super().log_acceptance(start, end, step_size)


class _Greedy(_RandomWalk):
    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        log_ratio = super().log_acceptance(start, end, step_size)
        return jnp.where(log_ratio >= 0, 0.0, -1e30)


class _Barker(_RandomWalk):
    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        return -jnp.logaddexp(0.0, -super().log_acceptance(start, end, step_size))


class _Drift(_RandomWalk):
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        return start.position + step_size * (noise + 0.1)


class _StateDependentScale(_RandomWalk):
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        return start.position + step_size * jnp.exp(0.2 * jnp.tanh(start.z)) * noise


class _Multiplicative(_RandomWalk):
    def propose(
        self, noise: Float[Array, " dim"], start: Point, step_size: Scalar
    ) -> Float[Array, " dim"]:
        # in local coordinates: z moves to z exp(0.5 step_size noise), and the ratio leaves out the Jacobian
        return start.position + start.z * jnp.expm1(0.5 * step_size * noise)


class _Autoregressive(_RandomWalk):
    """A proposal that contracts towards 0, with the ratio of a law that it leaves invariant."""

    def place(self, point: Point) -> Array:
        """What the formulas take for the place: the position, whose origin is the current state."""
        return point.position

    def propose(self, noise: Array, start: Point, step_size: Scalar) -> Array:
        kept = jnp.exp(-step_size)
        step = (kept - 1) * self.place(start) + jnp.sqrt(1 - kept**2) * noise
        return start.position + step

    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        prior = jnp.sum(self.place(end) ** 2) - jnp.sum(self.place(start) ** 2)
        return start.potential_energy - end.potential_energy + 0.5 * prior


class _PreconditionedCrankNicolson(_Autoregressive):
    def place(self, point: Point) -> Array:
        return point.z


class _StaleEnergy(_RandomWalk):
    def alter(self, start: Point, new: Transition) -> Transition:
        return new._replace(point=new.point._replace(potential_energy=start.potential_energy))


class _ForgetsRejection(_RandomWalk):
    """Keeps the proposal's energy after a rejection."""

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> Transition:
        new = super().transition(rng_key, target, start, auxiliary, settings)
        key_noise, _ = jax.random.split(rng_key)
        noise = jax.random.normal(key_noise, start.position.shape, start.position.dtype)
        end = target.evaluate(self.propose(noise, start, settings.step_size))
        return new._replace(point=new.point._replace(potential_energy=end.potential_energy))


class _SharedNoise(_RandomWalk):
    """Accepts with the same key that made the proposal, so the two are dependent."""

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> Transition:
        noise = jax.random.normal(rng_key, start.position.shape, start.position.dtype)
        end = target.evaluate(self.propose(noise, start, settings.step_size))
        accept_prob = jnp.exp(jnp.minimum(self.log_acceptance(start, end, settings.step_size), 0.0))
        accept = jax.random.uniform(rng_key, dtype=accept_prob.dtype) < accept_prob
        point = tree_where(accept, end, start)
        return Transition(point, auxiliary, accept_prob, ~jnp.isfinite(accept_prob))


class _Sticks(_RandomWalk):
    """Rejects everything in a part of the space, and reports what it should have accepted."""

    def alter(self, start: Point, new: Transition) -> Transition:
        stuck = jnp.any(start.z > 1.5)
        point = tree_where(stuck, start, new.point)
        return new._replace(point=point)


class _NeverMoves(_RandomWalk):
    def alter(self, start: Point, new: Transition) -> Transition:
        return new._replace(point=start, accept_prob=jnp.zeros_like(new.accept_prob))


class _SomeNeverMove(_RandomWalk):
    """One chain in a hundred stays where it is, and says so."""

    def init_auxiliary(self, rng_key: PRNGKey, position: Array) -> Array:
        return jax.random.bernoulli(rng_key, 0.01)

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: Any,
        settings: Settings,
    ) -> Transition:
        new = super().transition(rng_key, target, start, (), settings)
        point = tree_where(auxiliary, start, new.point)
        accept_prob = jnp.where(auxiliary, 0.0, new.accept_prob)
        return new._replace(point=point, auxiliary=auxiliary, accept_prob=accept_prob)


class _OneSidedLaziness(_RandomWalk):
    """Refuses a tenth of the moves to the right, and none to the left."""

    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        right = end.position[0] > start.position[0]
        log_ratio = jnp.minimum(super().log_acceptance(start, end, step_size), 0.0)
        return log_ratio + jnp.where(right, jnp.log(0.9), 0.0)


class _Lazy(_RandomWalk):
    """Stays with probability a half, and says so."""

    def log_acceptance(self, start: Point, end: Point, step_size: Scalar) -> Scalar:
        log_ratio = jnp.minimum(super().log_acceptance(start, end, step_size), 0.0)
        return log_ratio - jnp.log(2.0)


class _AcceptsNaN(_RandomWalk):
    """Accepts unless the uniform draw is above the ratio, and no draw is above NaN."""

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> Transition:
        key_noise, key_accept = jax.random.split(rng_key)
        noise = jax.random.normal(key_noise, start.position.shape, start.position.dtype)
        end = target.evaluate(self.propose(noise, start, settings.step_size))
        end = end._replace(
            potential_energy=jnp.where(jnp.any(end.z > 2.5), jnp.nan, end.potential_energy)
        )
        accept_prob = jnp.exp(jnp.minimum(self.log_acceptance(start, end, settings.step_size), 0.0))
        accept = ~(jax.random.uniform(key_accept, dtype=accept_prob.dtype) > accept_prob)
        point = tree_where(accept, end, start)
        return Transition(point, auxiliary, accept_prob, jnp.zeros((), dtype=bool))


class _ShiftedPotential(AlteredPotential):
    """Potential of an energy plus a constant."""

    def __call__(self, z: Event) -> Scalar:
        return self.correct(z) + 3.0


def _control(kernel: type[_RandomWalk], name: str, wrong_because: str, **changes: Any) -> Control:
    options = {
        key: changes.pop(key) for key in ("equivalent", "quick", "potential") if key in changes
    }
    case = claims(kernel, metropolis=True, num_transitions=5, **changes)
    return Control(name, wrong_because, case, **options)


CONTROLS = (
    _control(
        _InvertedRatio,
        "acceptance ratio inverted",
        "prefers the proposals of higher energy",
        quick=True,
    ),
    _control(_AlwaysAccepts, "always accepts", "a random walk without an acceptance step"),
    _control(_HalfTheEnergy, "half the energy difference", "samples at twice the temperature"),
    _control(_SlightlyHot, "energy difference 5% too small", "samples at a temperature of 1.05"),
    _control(_Greedy, "greedy", "accepts only proposals of lower energy"),
    _control(
        _Drift, "proposal with a drift", "the proposal is not symmetric, and no ratio corrects it"
    ),
    _control(
        _StateDependentScale,
        "scale depends on the state",
        "the proposal's scale depends on the state, and no ratio corrects it",
    ),
    _control(
        _Multiplicative,
        "multiplicative proposal without Jacobian",
        "a proposal on the log scale is accepted as if it were additive",
    ),
    _control(
        _Autoregressive,
        "autoregressive proposal about the current state",
        "a proposal that contracts towards 0 is written in coordinates whose origin moves with the chain",
    ),
    _control(
        _PreconditionedCrankNicolson,
        "preconditioned Crank–Nicolson",
        "contracts towards 0 in the coordinates of the target, at any mass matrix of 1",
        equivalent=True,
    ),
    _control(_StaleEnergy, "stale energy", "compares with the energy of the very first state"),
    _control(
        _ForgetsRejection,
        "energy of a rejected proposal kept",
        "after a rejection the chain carries the energy of a point that it is not at",
    ),
    _control(
        _SharedNoise,
        "one key for proposal and acceptance",
        "the uniform draw depends on the proposal's noise",
    ),
    _control(
        _Sticks,
        "sticks in a part of the space",
        "rejects everything in the right-hand tail while it reports acceptances",
    ),
    _control(_NeverMoves, "never moves", "leaves every law invariant and samples none"),
    _control(
        _SomeNeverMove,
        "one chain in a hundred never moves",
        "every law is left invariant and every report is true, but for one chain in a hundred",
    ),
    _control(_OneSidedLaziness, "refuses one direction more often", "the ratio is not balanced"),
    _control(_AcceptsNaN, "accepts NaN", "`not (u > nan)` is true, so it walks into NaN"),
    _control(_Barker, "Barker's acceptance", "its ratio is balanced as well", equivalent=True),
    _control(_Lazy, "honest laziness", "stays half of the time and says so", equivalent=True),
    _control(
        _RandomWalk,
        "energy plus a constant",
        "the constant cancels in every ratio",
        equivalent=True,
        potential=_ShiftedPotential,
    ),
)
