"""Kernels with the right mathematics and the wrong use of random keys or of adaptation."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ebm_ppl.samplers import KernelState
from ebm_ppl.validation.controls._base import Control, claims
from ebm_ppl.validation.controls.langevin import PlainMALA


class _SameKeyEveryStep(PlainMALA):
    def sample(
        self, state: KernelState, model_args: Any = (), model_kwargs: Any = None
    ) -> KernelState:
        return super().sample(state, model_args, model_kwargs)._replace(iteration=state.iteration)


class _SameKeyEveryChain(PlainMALA):
    def sample(
        self, state: KernelState, model_args: Any = (), model_kwargs: Any = None
    ) -> KernelState:
        if state.potential_energy.ndim:
            keys = jnp.broadcast_to(state.rng_key[:1], state.rng_key.shape)
            state = state._replace(rng_key=keys)
        return super().sample(state, model_args, model_kwargs)


class _PairsShareKeys(PlainMALA):
    def sample(
        self, state: KernelState, model_args: Any = (), model_kwargs: Any = None
    ) -> KernelState:
        if state.potential_energy.ndim:
            first = jnp.arange(state.rng_key.shape[0]) // 2 * 2
            state = state._replace(rng_key=state.rng_key[first])
        return super().sample(state, model_args, model_kwargs)


class _AdaptsForEver(PlainMALA):
    def is_due(self, state: KernelState) -> Array:
        """Whether a step adapts."""
        return jnp.ones_like(state.iteration, dtype=bool)

    def sample(
        self, state: KernelState, model_args: Any = (), model_kwargs: Any = None
    ) -> KernelState:
        new = super().sample(state, model_args, model_kwargs)
        surplus = jnp.where(self.is_due(state), jnp.mean(new.accept_prob) - 0.574, 0.0)
        step_size = new.adaptation.step_size * jnp.exp(0.1 * surplus)
        return new._replace(adaptation=new.adaptation._replace(step_size=step_size))


class _AdaptsNowAndThen(_AdaptsForEver):
    def is_due(self, state: KernelState) -> Array:
        return state.iteration % 50 == 0


class _AdaptsTwiceAsLong(_AdaptsForEver):
    def is_due(self, state: KernelState) -> Array:
        return state.iteration < 2 * state.adaptation.num_warmup


CONTROLS = tuple(
    Control(name, wrong_because, claims(kernel, metropolis=True), step_size=0.5, quick=quick)
    for kernel, name, wrong_because, quick in (
        (
            _SameKeyEveryStep,
            "same key every step",
            "every step repeats the noise of the first",
            False,
        ),
        (_SameKeyEveryChain, "same key in every chain", "all chains share their noise", False),
        (_PairsShareKeys, "same key in pairs of chains", "neighbouring chains share noise", False),
        (
            _AdaptsForEver,
            "adaptation after warm-up",
            "the step size follows the chain for ever",
            True,
        ),
        (
            _AdaptsNowAndThen,
            "adaptation at every 50th step",
            "the step size follows the chain for ever, if seldom",
            False,
        ),
        (
            _AdaptsTwiceAsLong,
            "adaptation for twice the warm-up",
            "the step size follows the chain into the draws that count",
            False,
        ),
    )
)
