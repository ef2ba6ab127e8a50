"""Adaptation must end with warm-up: what goes on adapting no longer targets the energy."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._types import PRNGKey
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers import KernelState, ReplicaExchangeState
from ebm_ppl.validation.cases._base import KernelCase
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.results import CheckResult, Question, Verdict

NUM_WARMUP = 60
NUM_STEPS = 4 * NUM_WARMUP
"""Transitions after warm-up: what adapts up to twice the warm-up, or now and then, shows within them."""


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed random key."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def frozen_adaptation(
    case: KernelCase,
    potential: EnergyPotential,
    rng_key: jax.Array,
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult:
    """Check that all that a kernel adapts is bit for bit the same from the end of warm-up on.

    One chain warms up and then runs four times as many transitions. No two may draw the same random numbers:
    the key must advance at every one, or, with the kernels of this package, which hash the number of the
    step, that number.

    Args:
        case: The kernel.
        potential: Potential of the target.
        rng_key: Random key.
        question: Recorded in the result.
    """
    began = time.perf_counter()
    kernel = case.make(potential)

    def adapted(state: Any) -> list[Any]:
        leaves = jax.tree.leaves(case.adaptation(state))
        return [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves]

    def randomness(state: Any) -> Any:
        words = jax.random.key_data(state.rng_key)
        if not isinstance(state, (KernelState, ReplicaExchangeState)):
            return words
        return jnp.append(words, state.iteration.astype(words.dtype))

    def advance(state: Any, _: None) -> tuple[Any, Any]:
        new = kernel.sample(state, (), {})
        return new, (adapted(new), randomness(new))

    @jit_lightly
    def run(key: PRNGKey) -> tuple[Any, Any, Any]:
        state = kernel.init(key, NUM_WARMUP, jnp.zeros(potential.position_shape), (), {})
        state = jax.lax.fori_loop(
            0, NUM_WARMUP, lambda _, state: kernel.sample(state, (), {}), state
        )
        _, (later, keys) = jax.lax.scan(advance, state, None, length=NUM_STEPS)
        return adapted(state), later, keys

    before, later, keys = run(rng_key)
    changed = sum(
        bool(np.any(np.asarray(after) != np.asarray(first, dtype=after.dtype)[None]))
        for first, after in zip(jax.tree.leaves(before), jax.tree.leaves(later), strict=True)
    )
    repeated = NUM_STEPS - len(np.unique(np.asarray(keys), axis=0))
    detail = ", ".join(
        text
        for text, count in (
            (f"{changed} adapted quantities changed after warm-up", changed),
            (f"{repeated} random keys were used again", repeated),
        )
        if count
    )
    return CheckResult(
        check="frozen adaptation",
        question=question,
        verdict=Verdict.FAIL if detail else Verdict.PASS,
        statistic=float(changed + repeated),
        statistic_name="adapted quantities that changed, and keys used again",
        bound=0.0,
        sample_size=NUM_STEPS,
        detectable="any change of a bit",
        false_alarm_rate=0.0,
        detail=detail,
        seconds=time.perf_counter() - began,
    )
