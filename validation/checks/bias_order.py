r"""The order in the step size of an unadjusted kernel's bias, without a random number.

One step of the kernel takes a state $s$ (position, and momentum if it carries one) and noise $\xi \sim
N(0, I)$ to $g(s, \xi)$. Its transfer operator $(P f)(s) = \mathbb{E}_\xi f(g(s, \xi))$ is applied to smooth
functions $f$ on a grid, by Gauss-Hermite quadrature over $\xi$ and spline interpolation of $f$. After $n =
T / \varepsilon$ steps,
$$b(\varepsilon) = \mathbb{E}_\pi[P^n f] - \mathbb{E}_\pi[f]$$
is the error that chains from exact starts have made, and
$$\hat p = \log_2 \lVert b(\varepsilon) \rVert - \log_2 \lVert b(\varepsilon / 2) \rVert$$
the order at which it vanishes. The functions are the first Legendre components of the probability
integral transform of the position.
"""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import ndimage, stats

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.samplers import AbstractUnadjustedKernel, WhitenedTarget
from validation.checks.uniformity import legendre_components
from validation.results import CheckResult, Question, Verdict

TOLERANCE = 0.35
"""Largest allowed distance of the measured order from the claimed one."""

MINIMUM_BIAS = 1e-4
"""A smaller bias is within reach of the interpolation error, and no order is read off it."""

RUN_TIME = 6.0
"""Number of steps times step size, in units of the energy's own time."""

NUM_POSITIONS = 161
NUM_MOMENTA = 61
NUM_NOISES = 11
NUM_FUNCTIONS = 3
POSITION_TAIL = 1e-7
MAXIMUM_MOMENTUM = 5.5
SPLINE_ORDER = 5


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
        FAIL if the measured order is more than `TOLERANCE` from the claimed one, or the bias is too
        small to read an order off.

    Raises:
        ValueError: If the kernel claims no order.
    """
    if kernel.bias_order is None:
        raise ValueError(f"`kernel` must claim a bias order; got {type(kernel).__name__}.")
    began = time.perf_counter()
    coarse, fine = (
        _bias(kernel, potential, density, step_size / refinement) for refinement in (1, 2)
    )
    order = math.log2(np.linalg.norm(coarse) / np.linalg.norm(fine))
    measurable = np.linalg.norm(fine) >= MINIMUM_BIAS
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
        detail=f"claimed {kernel.bias_order}, measured {order:.3f}"
        + ("" if measurable else "; the bias is too small to read an order off"),
        seconds=time.perf_counter() - began,
        components={
            "bias at the step size": float(np.linalg.norm(coarse)),
            "bias at half of it": float(np.linalg.norm(fine)),
        },
    )


def _bias(
    kernel: AbstractUnadjustedKernel,
    potential: EnergyPotential,
    density: QuadratureDensity,
    step_size: float,
) -> Float[np.ndarray, " functions"]:
    """Error of the functions' means after `RUN_TIME`, from exact starts."""
    ends = density.quantile(np.array([POSITION_TAIL, 1 - POSITION_TAIL]))
    low, high = np.reshape(ends, -1)
    positions = np.linspace(low, high, NUM_POSITIONS)
    points = positions.reshape((-1, *density.energy.event_shape))
    weights = np.reshape(density.density(points), -1)
    functions = legendre_components(np.reshape(density.cdf(points), (-1, 1)))[:, :NUM_FUNCTIONS].T
    carries_momentum = bool(jax.tree.leaves(kernel.init_auxiliary(jax.random.key(0), jnp.zeros(1))))
    if carries_momentum:
        momenta = np.linspace(-MAXIMUM_MOMENTUM, MAXIMUM_MOMENTUM, NUM_MOMENTA)
        weights = weights[:, None] * stats.norm.pdf(momenta)
        functions = np.broadcast_to(functions[:, :, None], (NUM_FUNCTIONS, *weights.shape))
    else:
        momenta = np.zeros(0)
    noises, noise_weights = np.polynomial.hermite_e.hermegauss(NUM_NOISES)
    moved = _images(kernel, potential, positions, momenta, noises, step_size)
    index = [(moved[0] - low) / (positions[1] - positions[0])]
    if carries_momentum:
        index.append((moved[1] + MAXIMUM_MOMENTUM) / (momenta[1] - momenta[0]))
    return np.array(
        [
            _drift(f, np.stack(index), weights, noise_weights, round(RUN_TIME / step_size))
            for f in functions
        ]
    )


def _drift(
    function: Float[np.ndarray, "*grid"],
    index: Float[np.ndarray, "axes noises *grid"],
    weights: Float[np.ndarray, "*grid"],
    noise_weights: Float[np.ndarray, " noises"],
    num_steps: int,
) -> float:
    """Change of a function's mean under the target by `num_steps` applications of the operator."""
    weights = weights / np.sum(weights)
    noise_weights = noise_weights / np.sum(noise_weights)
    start = float(np.sum(weights * function))
    for _ in range(num_steps):
        coefficients = ndimage.spline_filter(function, order=SPLINE_ORDER, mode="nearest")
        images = ndimage.map_coordinates(
            coefficients, index, order=SPLINE_ORDER, mode="nearest", prefilter=False
        )
        function = np.tensordot(noise_weights, images, axes=1)
    return float(np.sum(weights * function)) - start


def _images(
    kernel: AbstractUnadjustedKernel,
    potential: EnergyPotential,
    positions: Float[np.ndarray, " n"],
    momenta: Float[np.ndarray, " m"],
    noises: Float[np.ndarray, " k"],
    step_size: float,
) -> list[Float[np.ndarray, "k *grid"]]:
    """Where one step takes every grid state for every noise: positions and, if carried, momenta."""
    shape = potential.position_shape

    def step(exact: EnergyPotential, noise: Array, position: Array, momentum: Array) -> list[Array]:
        target = WhitenedTarget(
            lambda z: exact(z.reshape(shape)), position, jnp.ones_like(position)
        )
        start = target.evaluate(jnp.zeros_like(position))
        auxiliary = momentum if momenta.size else ()
        end, carried = kernel.move(noise, target, start, auxiliary, jnp.asarray(step_size))
        return [end.z[0], *[leaf[0] for leaf in jax.tree.leaves(carried)]]

    axes = [noises, positions, *([momenta] if momenta.size else [])]
    with float64():
        grid = [jnp.asarray(axis).reshape(-1, 1) for axis in np.meshgrid(*axes, indexing="ij")]
        momentum = grid[2] if momenta.size else jnp.zeros_like(grid[1])
        exact = to_float64(potential)
        over_grid = jax.jit(jax.vmap(lambda *state: step(exact, *state)))
        images = over_grid(grid[0], grid[1], momentum)
    return [np.asarray(image).reshape([len(axis) for axis in axes]) for image in images]
