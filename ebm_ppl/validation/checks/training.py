"""Checks of training objectives: expected gradients, recovery of parameters, conservation of modes."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from scipy import stats

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import DoubleWell, Quartic
from ebm_ppl.trainers import (
    AbstractObjective,
    Batch,
    Model,
    Prepared,
    Trainer,
    energies_of,
    fit,
)
from ebm_ppl.validation.checks.error_rates import (
    POWER,
    SINGLE_LEVEL,
    bonferroni,
    rank,
    two_sided_p_value,
)
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.problems import Problem
from ebm_ppl.validation.results import CheckResult, Question, Verdict

NUM_BATCHES = 96
"""Independent batches of a gradient check; their scatter is its only measure of error."""

NUM_BLOCKS = 16
"""Parts of a batch whose gradients are held against each other."""
FAR_OUT = 10.0
"""Robust standard deviations from the median at which a batch is unlike the others. Means of so many examples
are close to normal, of which one in 1e21 is so far out; one in ten that is reversed is at 15 and more."""

RECOVERY_EXAMPLES = 20_000
RECOVERY_BATCH = 500
RECOVERY_STEPS = 3000
OPTIMISATION_SHARE = 1.5
"""Bound of a fit's variance over that of its minimiser: what noise of the optimisation may add."""

MASS_EXAMPLES = 100
MASS_UPDATES = 3000
_BARRIER = 500.0  # nats
_SEPARATION = 200.0  # no proposal reaches across
_MASS_BATCH = 20
_MOST = 0.5
"""Share of chains that go on; a replay buffer restarts a few."""


def every_example(
    *, step: Callable[..., Any] = Trainer.step, question: Question = Question.TRAINING
) -> CheckResult:
    """Whether an epoch of mini-batches visits every example once, and the next one in another order.

    Deterministic but for the chance of 1 in 60! that two epochs have the same order.

    Args:
        step: The training step: maps a trainer, a state and data to a new state and metrics.
        question: Under which heading the result is reported.
    """
    began = time.perf_counter()
    batch_size, num_examples = 5, 60
    data = as_problem_batch(jnp.linspace(-1.0, 1.0, num_examples))
    trainer = Trainer(_Recording(), optax.sgd(0.0), batch_size)
    state = trainer.init(Quartic(), data, jax.random.key(0))
    run = jit_lightly(functools.partial(step, trainer))
    seen = []
    for _ in range(2 * num_examples // batch_size):
        state, _ = run(state, data)
        seen.append(np.asarray(state.carried))
    epochs = np.reshape(seen, (2, num_examples))
    missing = [num_examples - len(np.unique(epoch)) for epoch in epochs]
    reordered = not np.array_equal(epochs[0], epochs[1])
    return CheckResult(
        check="every example",
        question=question,
        verdict=Verdict.PASS if not any(missing) and reordered else Verdict.FAIL,
        statistic=float(max(missing)),
        statistic_name="examples left out of an epoch",
        sample_size=2 * num_examples,
        detectable="one example",
        false_alarm_rate=0.0,
        bound=0.0,
        detail=f"two epochs left out {missing}" + ("" if reordered else ", in the same order"),
        seconds=time.perf_counter() - began,
    )


class _Recording(AbstractObjective):
    """Carries which examples the last step saw."""

    consistent, is_criterion = False, False

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, Array]:
        return None, jnp.zeros(5, dtype=int)

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        return Prepared(None, batch.index, {})

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        return energies_of(model.energy, batch)


def as_problem_batch(x: Array) -> Batch:
    """Points as a batch."""
    return Batch(x, None, jnp.arange(len(x)))


def expected_gradient(
    objective: AbstractObjective,
    problem: Problem,
    expected: Float[np.ndarray, " p"],
    rng_key: PRNGKey,
    *,
    learned: float | None = None,
    burn_in: int = 0,
    num_examples: int = 2048,
    shares_draws: bool = False,
    question: Question = Question.TRAINING,
) -> CheckResult:
    r"""Whether the gradients that a fit would follow are those that theory gives.

    Independent batches of exact data are drawn, each at another step of a fit; the objective begins anew on
    each, draws what it draws and is differentiated as the loop differentiates it. The batches' gradients are
    independent, so each component of their mean less the expected gradient is a $t$ statistic. No batch may
    be unlike the others. And where every example has draws of its own, gradients of whole batches scatter as
    those of their parts say, by an $F$ test: one draw for all examples would make them scatter more.

    Args:
        objective: The objective.
        problem: The problem.
        expected: Expected gradient, in the order of the model's flattened parameters.
        rng_key: Random key.
        learned: Value of what is learned beside the energy; `None` if nothing is.
        burn_in: Number of draws before the one that counts.
        num_examples: Examples of each batch.
        shares_draws: Whether the examples of a batch share draws, as those of chains that persist.
        question: Under which heading the result is reported.

    Returns:
        The verdict, with the $t$ statistics among its components.
    """
    began = time.perf_counter()

    def part_gradients(rng_key: PRNGKey, step: Array) -> Array:
        key_data, key_init, *keys = jax.random.split(rng_key, 3 + burn_in)
        batch = as_problem_batch(problem.draw(key_data, num_examples))
        beside, carried = objective.init(problem.energy, batch, key_init)
        if learned is not None:
            value = learned
            beside = jax.tree.map(lambda leaf: jnp.full_like(leaf, value), beside)
        model = Model(problem.energy, beside)
        for key in keys[:-1]:
            carried = objective.prepare(model, batch, carried, step, key).carried
        sample = objective.prepare(model, batch, carried, step, keys[-1]).sample

        def means(model: Model) -> Array:
            return objective.losses(model, batch, sample).reshape(NUM_BLOCKS, -1).mean(axis=1)

        gradients = jax.jacrev(means)(model)
        return jax.vmap(lambda gradient: ravel_pytree(gradient)[0])(gradients)

    keys, steps = jax.random.split(rng_key, NUM_BATCHES), jnp.arange(NUM_BATCHES)
    program = jit_lightly(
        lambda *batches: jax.lax.map(lambda batch: part_gradients(*batch), batches, batch_size=8)
    )
    parts = np.asarray(program(keys, steps), np.float64)
    gradients = parts.mean(axis=1)
    # single precision rounds each gradient; where nothing is random that is the only error
    rounding = 1e-6 * (np.abs(gradients).max(axis=0) + np.abs(expected))
    errors = np.hypot(gradients.std(axis=0, ddof=1) / math.sqrt(NUM_BATCHES), rounding)
    t = (gradients.mean(axis=0) - expected) / errors
    tests = {"the mean": float(len(t) * 2 * stats.t.sf(np.abs(t).max(), NUM_BATCHES - 1))}
    tests["a batch unlike the others"] = float(_farthest(gradients, rounding) < FAR_OUT)
    if not shares_draws:
        tests["draws shared by a batch"] = _shared_draws(parts, rounding)
    worst_test = min(tests, key=lambda name: rank(tests[name]))
    p_value = bonferroni(tests)
    critical = stats.t.isf(SINGLE_LEVEL / (2 * len(tests) * len(t)), NUM_BATCHES - 1)
    visible = (critical + stats.norm.isf(1 - POWER)) * errors / np.abs(expected)
    worst = int(np.argmax(np.abs(t)))
    return CheckResult(
        check="expected gradient",
        question=question,
        verdict=Verdict.PASS if p_value >= SINGLE_LEVEL else Verdict.FAIL,
        statistic=float(np.abs(t[worst])),
        statistic_name="largest |t|",
        sample_size=NUM_BATCHES * num_examples,
        detectable=f"relative error {visible.min():.2g} of a component",
        false_alarm_rate=SINGLE_LEVEL,
        bound=float(critical),
        p_value=p_value,
        detail=(
            f"component {worst}: {gradients[:, worst].mean():.5g}, expected {expected[worst]:.5g} on the "
            f"{problem.name}; least likely: {worst_test}"
        ),
        seconds=time.perf_counter() - began,
        components={f"t of component {i}": float(value) for i, value in enumerate(t)},
    )


def _farthest(
    gradients: Float[np.ndarray, "batches p"], rounding: Float[np.ndarray, " p"]
) -> float:
    """Largest distance of a batch's gradient from the median, in robust standard deviations."""
    distance = np.abs(gradients - np.median(gradients, axis=0))
    scale = np.median(distance, axis=0) / stats.norm.ppf(0.75)
    return float(np.max(distance / np.hypot(scale, rounding)))


def _shared_draws(
    parts: Float[np.ndarray, "batches blocks p"], rounding: Float[np.ndarray, " p"]
) -> float:
    """p-value of the test that a batch's gradient scatters no more than its parts' gradients say."""
    num_batches, num_blocks, num_components = parts.shape
    between = num_blocks * parts.mean(axis=1).var(axis=0, ddof=1)
    within = parts.var(axis=1, ddof=1).mean(axis=0) + num_blocks * rounding**2
    p_values = stats.f.sf(between / within, num_batches - 1, num_batches * (num_blocks - 1))
    return float(num_components * np.min(p_values))


def recovery(
    objective: AbstractObjective,
    problem: Problem,
    truth: Float[np.ndarray, " p"],
    rng_key: PRNGKey,
    *,
    question: Question = Question.TRAINING,
) -> CheckResult:
    r"""Whether a fit by mini-batches recovers the parameters of the data, within its standard errors.

    The fit uses Adam with a rate that decays to 0. Its errors are held against the sandwich standard
    errors that it reports itself, widened by `OPTIMISATION_SHARE` for what is left of the noise of the
    optimisation.

    Args:
        objective: The objective.
        problem: A problem whose data follow its energy at the truth.
        truth: True parameters, in the order of the model's flattened parameters.
        rng_key: Random key.
        question: Under which heading the result is reported.

    Returns:
        The verdict, with the standardised errors among its components.
    """
    began = time.perf_counter()
    key_data, key_fit = jax.random.split(rng_key)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, RECOVERY_STEPS))
    result = fit(
        problem.energy,
        problem.draw(key_data, RECOVERY_EXAMPLES),
        objective,
        optimizer,
        num_steps=RECOVERY_STEPS,
        batch_size=RECOVERY_BATCH,
        ema_decay=0.99,
        rng_key=key_fit,
        progress_bar=False,
    )
    estimate, error = (
        np.asarray(ravel_pytree(model)[0], np.float64)
        for model in (Model(result.energy, result.learned), result.standard_errors().model)
    )
    z = (estimate - truth) / error / math.sqrt(OPTIMISATION_SHARE)
    p_value = float(min(1.0, len(z) * 2 * stats.norm.sf(np.abs(z).max())))
    p_value = p_value if np.all(np.isfinite(z)) else 0.0
    critical = float(stats.norm.isf(SINGLE_LEVEL / (2 * len(z))))
    worst = int(np.argmax(np.abs(z)))
    visible = (critical * math.sqrt(OPTIMISATION_SHARE) + stats.norm.isf(1 - POWER)) * error
    return CheckResult(
        check="recovery",
        question=question,
        verdict=Verdict.PASS if p_value >= SINGLE_LEVEL else Verdict.FAIL,
        statistic=float(np.abs(z[worst])),
        statistic_name="largest |z|",
        sample_size=RECOVERY_EXAMPLES,
        detectable="errors of " + ", ".join(f"{value:.2g}" for value in visible),
        false_alarm_rate=SINGLE_LEVEL,
        bound=critical,
        p_value=p_value,
        detail=f"{estimate.round(4).tolist()} for {truth.round(4).tolist()}",
        seconds=time.perf_counter() - began,
        components={f"z of component {i}": float(value) for i, value in enumerate(z)},
    )


def mode_mass(
    objective: AbstractObjective,
    rng_key: PRNGKey,
    *,
    question: Question = Question.TRAINING,
) -> CheckResult:
    r"""Whether chains that cannot cross between two modes go on, and stay divided as they began.

    The energy has two wells that no chain leaves, its parameters stand still, and half of the data are in
    either well. Chains start at examples, so after any number of updates their share in a well scatters
    no more than that of independent draws. A buffer that resamples its states drifts until one well is
    empty, in about $N \log 4$ turnovers of its $N$ slots; the updates are four times that.

    By then most chains must have moved. And chains that are put into the left well, while all data are in the
    right one, must be found in the left one by the next call.

    Args:
        objective: An objective that carries chains.
        rng_key: Random key.
        question: Under which heading the result is reported.

    Returns:
        The verdict, with the share of the right-hand well as its statistic.
    """
    began = time.perf_counter()
    key_init, key_run, key_next = jax.random.split(rng_key, 3)
    energy = DoubleWell(dim=1, barrier_height=_BARRIER, separation=_SEPARATION)
    data = as_problem_batch(jnp.resize(jnp.array([-0.5, 0.5]) * _SEPARATION, (MASS_EXAMPLES, 1)))
    _, at_first = objective.init(energy, data, key_init)
    model = Model(energy)

    def update(carried: Any, inputs: tuple[Array, Array]) -> tuple[Any, None]:
        step, rng_key = inputs
        start = step * _MASS_BATCH % MASS_EXAMPLES
        batch = as_problem_batch(jax.lax.dynamic_slice_in_dim(data.x, start, _MASS_BATCH))
        return objective.prepare(model, batch, carried, step, rng_key).carried, None

    keys = jax.random.split(key_run, MASS_UPDATES)
    steps = jnp.arange(MASS_UPDATES)
    at_last, _ = jit_lightly(functools.partial(jax.lax.scan, update))(at_first, (steps, keys))

    def next_call(carried: Any, rng_key: PRNGKey) -> Array:
        batch = as_problem_batch(jnp.full((_MASS_BATCH, 1), 0.5 * _SEPARATION))
        return objective.prepare(model, batch, carried, jnp.asarray(MASS_UPDATES), rng_key).sample

    leaves, structure = jax.tree.flatten(at_last)
    in_left = jax.tree.unflatten(structure, [-jnp.abs(leaves[0]), *leaves[1:]])
    following = jax.tree.leaves(jit_lightly(next_call)(in_left, key_next))[0]
    start, chains = (np.asarray(jax.tree.leaves(one)[0]).ravel() for one in (at_first, at_last))
    lost = [
        text
        for text, held in (
            ("most chains never moved", np.mean(chains != start) > _MOST),
            ("the next call began elsewhere", np.mean(np.asarray(following) < 0) > _MOST),
        )
        if not held
    ]
    share = float(np.mean(chains > 0))
    # an example may have started several chains, so no more of them count than there are examples
    count = min(chains.size, MASS_EXAMPLES)
    z = 2 * (share - 0.5) * math.sqrt(count)
    bound = 0.5 + 0.5 * float(stats.norm.isf(SINGLE_LEVEL / 2)) / math.sqrt(count)
    p_value = two_sided_p_value(z)
    return CheckResult(
        check="mass of modes",
        question=question,
        verdict=Verdict.PASS if p_value >= SINGLE_LEVEL and not lost else Verdict.FAIL,
        statistic=share,
        statistic_name="share of one of two equal modes",
        sample_size=count,
        detectable=f"a share of {bound + 1.2 / math.sqrt(count):.2g}",
        false_alarm_rate=SINGLE_LEVEL,
        bound=bound,
        p_value=p_value,
        detail="; ".join(
            [*lost, f"{share:.3f} of {chains.size} chains after {MASS_UPDATES} updates"]
        ),
        seconds=time.perf_counter() - began,
    )
