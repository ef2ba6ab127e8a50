r"""Scores against finite differences, and potentials against the change of variables."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import biject_to

from ebm_ppl._precision import float64, to_float64
from ebm_ppl._types import PotentialFn
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.results import CheckResult, Question, Verdict

GRADIENT_BOUND = 1e-6
"""Largest allowed difference of a gradient from its finite difference, relative to the gradient's scale."""

POTENTIAL_BOUND = 1e-9
"""Largest allowed difference of a potential from the change of variables, relative to its scale."""

RESOLUTION_BOUND = 0.01
"""Largest allowed error of an energy difference, in nats: of a probability ratio, by one per cent."""

STEP = 1e-3


def gradient(
    potential: PotentialFn,
    positions: Float[np.ndarray, "n *position"],
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult:
    r"""Hold the gradient that samplers use against central differences in double precision.

    The fourth-order formula $(8[U(z+h) - U(z-h)] - [U(z+2h) - U(z-2h)]) / 12h$ is taken along every
    coordinate, so a custom derivative rule that is wrong by a few per cent is seen.

    Args:
        potential: The potential; a pytree, so that its parameters can be cast to double precision.
        positions: Unconstrained points at which to look.
        question: Recorded in the result.
    """
    began = time.perf_counter()
    with float64():
        exact = to_float64(potential)
        points = jnp.asarray(positions, dtype=jnp.float64)
        gradients, differences = _jitted_pair(exact, points)
        scale = jnp.maximum(jnp.max(jnp.abs(differences)), 1.0)
        error = float(jnp.max(jnp.abs(gradients - differences)) / scale)
    return _result(
        "gradient",
        "largest error of the gradient relative to its scale",
        error,
        GRADIENT_BOUND,
        points.size,
        question,
        began,
    )


def _jitted_pair(potential: PotentialFn, points: Array) -> tuple[Array, Array]:
    directions = jnp.eye(max(points[0].size, 1)).reshape((-1, *points.shape[1:]))

    def along(point: Array, direction: Array) -> Array:
        near = potential(point + STEP * direction) - potential(point - STEP * direction)
        far = potential(point + 2 * STEP * direction) - potential(point - 2 * STEP * direction)
        return (8 * near - far) / (12 * STEP)

    def pair(point: Array) -> tuple[Array, Array]:
        derivative = jax.grad(potential)(point)
        differences = jax.vmap(along, in_axes=(None, 0))(point, directions)
        return derivative, differences.reshape(jnp.shape(derivative))

    return jit_lightly(jax.vmap(pair))(points)


def change_of_variables(
    energy: AbstractEnergy,
    potential: PotentialFn,
    positions: Float[np.ndarray, "n *position"],
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult:
    r"""Hold a potential against $E(T(z)) - \log \lvert\det \partial T / \partial z\rvert$, up to a constant.

    The Jacobian comes from automatic differentiation of the transform, not from its own formula.

    Args:
        energy: The energy that the potential claims to register.
        potential: The potential on unconstrained space.
        positions: Unconstrained points at which to look.
        question: Recorded in the result.
    """
    began = time.perf_counter()
    shape = energy.event_shape
    transform = biject_to(energy.support)

    def reference(exact: AbstractEnergy, point: Array) -> Array:
        flat = point.reshape(-1)

        def constrained(w: Array) -> Array:
            return jnp.reshape(transform(w.reshape(point.shape)), -1)

        jacobian = jax.jacfwd(constrained)(flat)
        return exact(constrained(flat).reshape(shape)) - jnp.linalg.slogdet(jacobian)[1]

    with float64():
        exact_energy, exact_potential = to_float64(energy), to_float64(potential)
        points = jnp.asarray(positions, dtype=jnp.float64)
        wanted = jit_lightly(jax.vmap(lambda z: reference(exact_energy, z)))(points)
        found = jit_lightly(jax.vmap(exact_potential))(points)
        difference = found - wanted
        scale = jnp.maximum(jnp.max(jnp.abs(wanted)), 1.0)
        error = float((jnp.max(difference) - jnp.min(difference)) / scale)
    return _result(
        "change of variables",
        "spread of the potential's difference from E(T(z)) − log|det T'(z)|, relative",
        error,
        POTENTIAL_BOUND,
        len(positions),
        question,
        began,
    )


def resolution(
    potential: PotentialFn,
    positions: Float[np.ndarray, "n *position"],
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult:
    """Hold differences of a potential in the session's precision against those in double precision.

    Every kernel compares energies of two points. A large constant, or large terms that cancel, leaves of the
    difference what floats of that size resolve.

    Args:
        potential: The potential.
        positions: Unconstrained points at which to look, which are typical of the law.
        question: Recorded in the result.
    """
    began = time.perf_counter()
    values = jit_lightly(jax.vmap(potential))(jnp.asarray(positions, dtype=float))
    coarse = np.asarray(values, np.float64)
    with float64():
        points = jnp.asarray(np.asarray(jnp.asarray(positions, dtype=float)), dtype=jnp.float64)
        fine = np.asarray(jit_lightly(jax.vmap(to_float64(potential)))(points), np.float64)
    difference = coarse - fine
    return _result(
        "resolution",
        "largest error of an energy difference, in nats",
        float(np.max(difference) - np.min(difference)),
        RESOLUTION_BOUND,
        len(positions),
        question,
        began,
        "nats",
    )


def _result(
    check: str,
    statistic_name: str,
    error: float,
    bound: float,
    num_points: int,
    question: Question,
    began: float,
    unit: str = "of the scale",
) -> CheckResult:
    # `error <= bound` is False for NaN, so a gradient that is not a number fails
    return CheckResult(
        check=check,
        question=question,
        verdict=Verdict.PASS if error <= bound else Verdict.FAIL,
        statistic=error,
        statistic_name=statistic_name,
        bound=bound,
        sample_size=int(num_points),
        detectable=f"an error above {bound:.0e} {unit} at any of the points",
        false_alarm_rate=0.0,
        seconds=time.perf_counter() - began,
    )
