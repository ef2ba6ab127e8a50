r"""Warm-up: one step size and one mass matrix, learned from all chains at once.

The step size follows dual averaging (Hoffman & Gelman 2014, Section 3.2; Nesterov 2009) on the mean
acceptance probability of the chains; the mass matrix follows the pooled covariance of their
positions over Stan's expanding windows, merged batch by batch (Chan, Golub & LeVeque 1983).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._numpyro import build_adaptation_schedule
from ebm_ppl._types import Scalar
from ebm_ppl.samplers._warmup.dual_averaging import search, start_search
from ebm_ppl.samplers._warmup.mass_matrix import (
    Matrix,
    matrix_sqrt,
    merge,
    no_moments,
    regularised_covariance,
)
from ebm_ppl.samplers._warmup.warmup import AbstractWarmup, AdaptationState, Observed, Settings

WARMUP_MEMORY = 20
"""Steps over which warm-up remembers the acceptance of each chain."""

_LEAST_ACCEPTANCE = 1e-3
"""Floor of a chain's acceptance in the harmonic mean, so that one stuck chain does not make it 0."""

_STUCK, _FEW = 0.01, 0.25
"""Recent acceptance below which a chain is stuck, and the share of chains up to which these are few."""

_DIVERGENCES_ALLOWED, _PRESSURE, _MOST_PRESSURE, _LEAST_MISSED = 3e-4, 3.0, 0.1, 0.01
"""Share of divergences that raises no target, how fast more do, the most that one step does, so that a single
divergence of a single chain decides nothing, and one minus the highest target.

At a share of 0.003 the standard deviations of a banana were still 2% too small, at 0.0005 right to 1%.
"""

_STEPS_OF_ROUNDING = 4.0
"""Rounding errors of a position that the shortest step spans, so that most of its proposals are others."""


class Pace(NamedTuple):
    """How fast warm-up learns.

    Attributes:
        windows: Last iteration of each window of a warm-up of so many iterations, of which the first
            and the last learn no covariance.
        shrinkage: How strongly the search for the step size is drawn back to where it began.
    """

    windows: Callable[[int], list[int]]
    shrinkage: float


def _stan_windows(num_warmup: int) -> list[int]:
    return [window.end for window in build_adaptation_schedule(num_warmup)]


def _doubling_windows(num_warmup: int) -> list[int]:
    """Each window lasts as long as all before it; the last eighth follows the last covariance."""
    ends = [num_warmup * numerator // 32 - 1 for numerator in (1, 2, 4, 8, 16, 28, 32)]
    return sorted({end for end in ends if end >= 0} | {num_warmup - 1})


# Hoffman & Gelman (2014), Section 3.2.1. One chain needs time to learn a covariance, and its acceptance
# is noise for the most part.
STAN = Pace(_stan_windows, 0.05)
# Many chains learn a covariance at once. Their mean acceptance has little noise, and falls off a cliff where
# leapfrog steps become unstable: a search that strides is thrown back at every second step.
POOLED = Pace(_doubling_windows, 0.3)


def distance_itself(distance: Scalar) -> Scalar:
    """The step size of a kernel whose steps are as long as it says.

    Args:
        distance: How far to move.

    Returns:
        The distance.
    """
    return distance


@dataclasses.dataclass(frozen=True)
class Adaptation(AbstractWarmup):
    """A step size and a mass matrix; nothing of it runs once warm-up has ended.

    Attributes:
        adapt_step_size: Whether to tune the step size.
        adapt_mass_matrix: Whether to tune the mass matrix.
        target_accept_prob: Mean acceptance probability that the step size is tuned to.
        pace: How fast warm-up learns.
        step_for: The step size with which a chain moves so far in whitened coordinates.
        avoids_divergences: Whether divergences raise the acceptance probability that is aimed at.
        mask: Where the mass matrix may differ from 0; `None` for everywhere.
    """

    adapt_step_size: bool
    adapt_mass_matrix: bool
    target_accept_prob: float
    pace: Pace = STAN
    step_for: Callable[[Scalar], Scalar] = distance_itself
    avoids_divergences: bool = False
    mask: Bool[np.ndarray, "dim dim"] | None = None

    def init(
        self,
        num_warmup: int,
        step_size: Scalar,
        inverse_mass_matrix: Matrix,
        positions: Float[Array, "chains dim"],  # noqa: ARG002
    ) -> AdaptationState:
        """The state before the first iteration."""
        return AdaptationState(
            step_size,
            inverse_mass_matrix,
            matrix_sqrt(inverse_mass_matrix),
            start_search(step_size),
            no_moments(inverse_mass_matrix),
            jnp.asarray(self.pace.windows(num_warmup) if num_warmup else [], dtype=int),
            jnp.zeros_like(step_size),
            jnp.asarray(1 - self.target_accept_prob, dtype=step_size.dtype),
        )

    def settings(self, state: AdaptationState, iteration: Int[Array, ""]) -> Settings:  # noqa: ARG002
        """The step size."""
        return Settings(state.step_size)

    def update(self, state: AdaptationState, observed: Observed) -> AdaptationState:
        """Learn from one iteration of all chains; after warm-up return `state` as it is."""
        num_windows = state.window_ends.size
        if num_windows == 0 or not (self.adapt_step_size or self.adapt_mass_matrix):
            return state

        def learn() -> AdaptationState:
            resolved = resolution(observed.ends, state.inverse_mass_matrix_sqrt)
            new = state._replace(least_step_size=self.step_for(_STEPS_OF_ROUNDING * resolved))
            if self.adapt_step_size:
                new = self._follow_acceptance(new, observed)
            if self.adapt_mass_matrix and num_windows > 2:
                new = self._follow_positions(new, observed)
            return new

        return lax.cond(observed.iteration < state.num_warmup, learn, lambda: state)

    def _follow_acceptance(self, state: AdaptationState, observed: Observed) -> AdaptationState:
        iteration, recent = observed.iteration, observed.recent_accept_prob
        half = state.num_warmup // 2
        is_first_half = iteration < half
        of_all = pooled_acceptance(observed.accept_prob, recent)
        of_most = mean_of_most(observed.accept_prob, recent)
        is_released = (iteration == half) & (of_all < of_most)
        again = start_search(state.step_size)
        anew = jax.tree.map(functools.partial(jnp.where, is_released), again, state.dual_averaging)
        state = state._replace(dual_averaging=anew)
        if self.avoids_divergences:
            share = mean_of_most(observed.diverging.astype(recent.dtype), recent)
            state = state._replace(missed=self._missed(is_first_half, share, state.missed))
        accepted = jnp.where(is_first_half, of_all, of_most)
        return self._tune_step_size(accepted, iteration == state.window_ends[-1], state)

    def _follow_positions(self, state: AdaptationState, observed: Observed) -> AdaptationState:
        iteration, ends = observed.iteration, state.window_ends
        state = lax.cond(
            (iteration > ends[0]) & (iteration <= ends[-2]),
            lambda: state._replace(moments=merge(state.moments, observed.ends)),
            lambda: state,
        )
        return lax.cond(
            jnp.any(iteration == ends[1:-1]), lambda: self._end_window(state), lambda: state
        )

    def _tune_step_size(
        self, accepted: Scalar, is_last: Array, state: AdaptationState
    ) -> AdaptationState:
        error = 1 - state.missed - accepted
        found = search(error, state.dual_averaging, self.pace.shrinkage)
        limits = jnp.finfo(state.step_size.dtype)
        least = jnp.maximum(state.least_step_size, limits.tiny)
        # What is below the floor is not remembered, or the search would not find back.
        found = found._replace(
            log_step_size=jnp.maximum(found.log_step_size, jnp.log(least)),
            average_log_step_size=jnp.maximum(found.average_log_step_size, jnp.log(least)),
        )
        log_step_size = jnp.where(is_last, found.average_log_step_size, found.log_step_size)
        step_size = jnp.clip(jnp.exp(log_step_size), least, limits.max)
        return state._replace(step_size=step_size, dual_averaging=found)

    def _missed(self, is_first_half: Array, diverging: Scalar, missed: Scalar) -> Scalar:
        """Aim at more acceptance while more trajectories diverge than may, once the coordinates are white."""
        excess = _PRESSURE * (diverging - _DIVERGENCES_ALLOWED)
        pressed = missed * jnp.exp(-jnp.minimum(excess, _MOST_PRESSURE))
        first = 1 - self.target_accept_prob
        pressed = jnp.clip(pressed, min(_LEAST_MISSED, first), first)
        return jnp.where(is_first_half, missed, pressed).astype(missed.dtype)

    def _end_window(self, state: AdaptationState) -> AdaptationState:
        """Take over the window's covariance, and search anew for the step size that fits it."""
        matrix = regularised_covariance(state.moments)
        if self.mask is not None:
            matrix = jnp.where(self.mask, matrix, 0.0)
        root = matrix_sqrt(matrix)
        # An overflowed estimate, or one that is not positive definite in finite precision, is no
        # better than the one in use.
        usable = jnp.all(jnp.isfinite(root)) & jnp.all(jnp.isfinite(matrix))
        state = state._replace(
            inverse_mass_matrix=jnp.where(usable, matrix, state.inverse_mass_matrix),
            inverse_mass_matrix_sqrt=jnp.where(usable, root, state.inverse_mass_matrix_sqrt),
            moments=no_moments(matrix),
        )
        if self.adapt_step_size:
            state = state._replace(dual_averaging=start_search(state.step_size))
        return state


def mean_of_most(
    values: Float[Array, " chains"] | float, recent_accept_prob: Float[Array, " chains"]
) -> Scalar:
    """Mean over chains without those that are stuck, as long as these are few.

    In the first half of warm-up short steps bring stuck chains along (`pooled_acceptance`). Those that are
    stuck after it would make all the others pay for ever; the run names them when it ends.

    Args:
        values: A number for each chain, or one for all; NaN counts as 0.
        recent_accept_prob: Recent mean acceptance probability of each chain.

    Returns:
        The mean.
    """
    moves = recent_accept_prob > _STUCK  # False for NaN
    are_few = jnp.mean(moves) >= 1 - _FEW
    weight = jnp.where(are_few, moves, True).astype(recent_accept_prob.dtype)
    return jnp.sum(weight * jnp.nan_to_num(values)) / jnp.sum(weight)


def resolution(positions: Float[Array, "chains dim"], root: Matrix) -> Scalar:
    """Distance in whitened coordinates below which no coordinate of a position changes.

    Args:
        positions: Flat unconstrained position of each chain.
        root: Root of the inverse mass matrix.

    Returns:
        The smallest rounding error of all coordinates, each in units of its scale; 0 where one is 0.
    """
    scales = root if root.ndim == 1 else jnp.linalg.norm(root, axis=1)
    spacing = jnp.finfo(positions.dtype).eps * jnp.min(jnp.abs(positions), axis=0)
    return jnp.min(jnp.nan_to_num(spacing / scales, nan=0.0))


def pooled_acceptance(
    accept_prob: Float[Array, " chains"], recent_accept_prob: Float[Array, " chains"]
) -> Scalar:
    """Acceptance of all chains together, which a chain that is stuck pulls down.

    A gradient step that suits the chains in the bulk can overshoot from far out, so that a chain there
    is refused for ever while the arithmetic mean looks well. The harmonic mean, which Hoffman, Radul &
    Sountsov (2021) use for the same purpose, is too sensitive for single proposals, whose acceptance is
    often near 0; it is taken over each chain's recent mean, and counts once it has fallen below half of
    the arithmetic one.

    Args:
        accept_prob: Acceptance probability of each chain's last proposal; NaN counts as 0.
        recent_accept_prob: Recent mean acceptance probability of each chain.

    Returns:
        The acceptance to tune the step size by.
    """
    accept_prob = jnp.where(jnp.isnan(accept_prob), 0.0, accept_prob)
    recent = jnp.maximum(
        jnp.where(jnp.isnan(recent_accept_prob), 0.0, recent_accept_prob), _LEAST_ACCEPTANCE
    )
    evenness = 1 / (jnp.mean(1 / recent) * jnp.mean(recent))
    return jnp.mean(accept_prob) * jnp.minimum(1.0, 2 * evenness)
