r"""The order in the step size of an unadjusted kernel's bias, without a random number.

One step of the kernel takes a state $s$ (position, and momentum or direction if it carries one) and noise
$\xi \sim N(0, I)$ to $g(s, \xi)$. Its transfer operator $(P f)(s) = \mathbb{E}_\xi f(g(s, \xi))$ is applied
to smooth functions $f$ on a grid, by Gauss-Hermite quadrature over $\xi$ and spline interpolation of $f$.
After $n = T / \varepsilon$ steps,
$$b(\varepsilon) = \mathbb{E}_\pi[P^n f] - \mathbb{E}_\pi[f]$$
is the error that chains from exact starts have made, and
$$\hat p = \log_2 \lVert b(\varepsilon) \rVert - \log_2 \lVert b(\varepsilon / 2) \rVert$$
the order at which it vanishes. The functions are the first Legendre components of the probability
integral transform of the position.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import ndimage, stats

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.samplers import AbstractUnadjustedKernel, WhitenedTarget
from ebm_ppl.validation.checks.uniformity import legendre_components
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.results import CheckResult, Question, Verdict

TOLERANCE = 0.35
"""Largest allowed distance of the measured order from the claimed one."""

MINIMUM_BIAS = 1e-4
"""A smaller bias is within reach of the interpolation error, and no order is read off it."""

RUN_TIME = 2.0
"""Number of steps times step size, in units of the energy's own time."""

NUM_POSITIONS = 161
NUM_MOMENTA = 61
NUM_ANGLES = 96
NUM_WRAPPED = 12
"""Points by which a circle is continued at both of its ends, so that splines see no end."""
NUM_NOISES = 9
NUM_TURNING_NOISES = 13
"""Noises of a kernel that turns a direction: by angles larger than a momentum changes."""
NUM_FUNCTIONS = 3
POSITION_TAIL = 1e-7
MAXIMUM_MOMENTUM = 5.5
SPLINE_ORDER = 3


def bias_order(
    kernel: AbstractUnadjustedKernel,
    potential: EnergyPotential,
    density: QuadratureDensity,
    step_size: float,
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult:
    """Check a kernel's claim on the order of its bias, on a one-dimensional target.

    Args:
        kernel: The kernel; its `move` is questioned, and its claim is `bias_order`.
        potential: Potential of the target on the real line. Its curvature should be bounded: where it is
            not, chains from far in the tail are unstable at any step size, and the order shows only in
            the limit.
        density: Ground truth of the target.
        step_size: The larger of the two step sizes.
        question: Recorded in the result.

    Returns:
        FAIL if the measured order is more than `TOLERANCE` from the claimed one, the bias is too
        small to read an order off, or a direction does not keep its unit length.

    Raises:
        ValueError: If the kernel claims no order.
    """
    if kernel.bias_order is None:
        raise ValueError(f"`kernel` must claim a bias order; got {type(kernel).__name__}.")
    began = time.perf_counter()
    carried = _carried(kernel)
    step = _step(kernel, potential, carried)
    coarse, fine = (_bias(step, density, carried, size) for size in (step_size, step_size / 2))
    order = math.log2(np.linalg.norm(coarse) / np.linalg.norm(fine))
    measurable = np.linalg.norm(fine) >= MINIMUM_BIAS
    remark = "" if measurable else "; the bias is too small to read an order off"
    if math.isnan(order):
        remark = "; the direction does not keep its unit length"
    passed = bool(measurable and abs(order - kernel.bias_order) <= TOLERANCE)
    return CheckResult(
        check="order of bias",
        question=question,
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        statistic=order,
        statistic_name="measured order of the bias in the step size",
        bound=TOLERANCE,
        sample_size=NUM_POSITIONS,
        detectable=f"an order off by {TOLERANCE}",
        false_alarm_rate=0.0,
        detail=f"claimed {kernel.bias_order}, measured {order:.3f}{remark}",
        seconds=time.perf_counter() - began,
        components={
            "bias at the step size": float(np.linalg.norm(coarse)),
            "bias at half of it": float(np.linalg.norm(fine)),
        },
    )


def _bias(
    step: Callable[..., list[Array]],
    density: QuadratureDensity,
    carried: "_Carried | None",
    step_size: float,
) -> Float[np.ndarray, " functions"]:
    """Error of the functions' means after `RUN_TIME`, from exact starts."""
    ends = density.quantile(np.array([POSITION_TAIL, 1 - POSITION_TAIL]))
    low, high = np.reshape(ends, -1)
    positions = np.linspace(low, high, NUM_POSITIONS)
    points = positions.reshape((-1, *density.energy.event_shape))
    weights = np.reshape(density.density(points), -1)
    functions = legendre_components(np.reshape(density.cdf(points), (-1, 1)))[:, :NUM_FUNCTIONS].T
    if carried is not None:
        weights = weights[:, None] * carried.weights
        functions = np.broadcast_to(functions[:, :, None], (NUM_FUNCTIONS, *weights.shape))
    is_angle = carried is not None and carried.is_angle
    num_noises = NUM_TURNING_NOISES if is_angle else NUM_NOISES
    noises, noise_weights = np.polynomial.hermite_e.hermegauss(num_noises)
    moved = _images(step, positions, carried, noises, step_size)
    index = [(moved[0] - low) / (positions[1] - positions[0])]
    if carried is not None:
        index.append((moved[1] - carried.values[0]) / (carried.values[1] - carried.values[0]))
    wrapped = 0
    if is_angle:
        if not np.allclose(moved[2], 1.0, rtol=0, atol=1e-6):
            return np.full(NUM_FUNCTIONS, np.nan)  # the grid holds directions of unit length only
        wrapped = NUM_WRAPPED
        index[1] = index[1] % NUM_ANGLES + wrapped
    num_steps = round(RUN_TIME / step_size)
    return np.array(
        [_drift(f, np.stack(index), weights, noise_weights, num_steps, wrapped) for f in functions]
    )


class _Carried(NamedTuple):
    """Grid of what a kernel carries beside the position, with weights under its invariant law."""

    values: Float[np.ndarray, " m"]
    weights: Float[np.ndarray, " m"]
    is_angle: bool


def _carried(kernel: AbstractUnadjustedKernel) -> _Carried | None:
    """A momentum, or the angle of a direction of two components; `None` if nothing is carried."""
    leaves = jax.tree.leaves(kernel.init_auxiliary(jax.random.key(0), jnp.zeros(1)))
    if not leaves:
        return None
    if leaves[0].shape == (2,):
        angles = np.arange(NUM_ANGLES) * (2 * np.pi / NUM_ANGLES)
        return _Carried(angles, np.ones(NUM_ANGLES), True)
    momenta = np.linspace(-MAXIMUM_MOMENTUM, MAXIMUM_MOMENTUM, NUM_MOMENTA)
    return _Carried(momenta, stats.norm.pdf(momenta), False)


def _drift(
    function: Float[np.ndarray, "*grid"],
    index: Float[np.ndarray, "axes noises *grid"],
    weights: Float[np.ndarray, "*grid"],
    noise_weights: Float[np.ndarray, " noises"],
    num_steps: int,
    wrapped: int,
) -> float:
    """Change of a function's mean under the target by `num_steps` applications of the operator.

    The last axis of the grid is a circle that `index` expects continued by `wrapped` points, if any.
    """
    weights = weights / np.sum(weights)
    noise_weights = noise_weights / np.sum(noise_weights)
    start = float(np.sum(weights * function))
    for _ in range(num_steps):
        if wrapped:
            function = np.pad(function, ((0, 0), (wrapped, wrapped)), mode="wrap")
        coefficients = ndimage.spline_filter(function, order=SPLINE_ORDER, mode="nearest")
        images = ndimage.map_coordinates(
            coefficients, index, order=SPLINE_ORDER, mode="nearest", prefilter=False
        )
        function = np.tensordot(noise_weights, images, axes=1)
    return float(np.sum(weights * function)) - start


def _step(
    kernel: AbstractUnadjustedKernel, potential: EnergyPotential, carried: _Carried | None
) -> Callable[..., list[Array]]:
    """One step from grid states, in double precision; compiled once for all step sizes."""
    shape = potential.position_shape
    is_angle = carried is not None and carried.is_angle

    def step(step_size: Array, noise: Array, position: Array, value: Array) -> list[Array]:
        target = WhitenedTarget(
            lambda z: exact(z.reshape(shape)), position, jnp.ones_like(position)
        )
        start = target.evaluate(jnp.zeros_like(position))
        adaptation = kernel.init(jax.random.key(0), 0, jnp.zeros(shape)).adaptation
        leaves, tree = jax.tree.flatten(kernel.init_auxiliary(jax.random.key(0), position))
        if leaves:
            angle = jnp.stack([jnp.cos(value[0]), jnp.sin(value[0])])
            leaves[0] = angle if is_angle else value
        adaptation = adaptation._replace(step_size=step_size)
        settings = kernel.tuning(position.size).settings(adaptation, jnp.asarray(0))
        auxiliary = jax.tree.unflatten(tree, leaves)
        end, moved = kernel.move(noise, target, start, auxiliary, settings)
        if not leaves:
            return [end.z[0]]
        first = jax.tree.leaves(moved)[0]
        if not is_angle:
            return [end.z[0], first[0]]
        return [end.z[0], jnp.arctan2(first[1], first[0]), jnp.linalg.norm(first)]

    with float64():
        exact = to_float64(potential)
    return jit_lightly(jax.vmap(step, in_axes=(None, 0, 0, 0)))


def _images(
    step: Callable[..., list[Array]],
    positions: Float[np.ndarray, " n"],
    carried: _Carried | None,
    noises: Float[np.ndarray, " k"],
    step_size: float,
) -> list[Float[np.ndarray, "k *grid"]]:
    """Where one step takes every grid state for every noise: positions, and momenta or angles and lengths."""
    axes = [noises, positions, *([] if carried is None else [carried.values])]
    with float64():
        grid = [jnp.asarray(axis).reshape(-1, 1) for axis in np.meshgrid(*axes, indexing="ij")]
        values = jnp.zeros_like(grid[1]) if carried is None else grid[2]
        images = step(jnp.asarray(step_size), grid[0], grid[1], values)
    return [np.asarray(image).reshape([len(axis) for axis in axes]) for image in images]
