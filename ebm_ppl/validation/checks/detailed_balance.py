r"""Detailed balance of a Metropolis kernel, by quadrature points and without a random number.

A Metropolis kernel moves from $x$ to $y = g(x, \xi)$, $\xi \sim N(0, I)$, and accepts with probability
$\alpha(x, y)$. With the proposal density $q(y \mid x) = \varphi(\xi) / \lvert \det \partial g / \partial
\xi \rvert$, read off the kernel's own proposal map by automatic differentiation, it is reversible if
$$\pi(x)\, q(y \mid x)\, \alpha(x, y) = \pi(y)\, q(x \mid y)\, \alpha(y, x)$$
at every pair. The reverse density needs the noise that leads from $y$ back to $x$; Newton's iteration
on $g$ finds it (in one step for proposals that are affine in the noise).
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from ebm_ppl._precision import float64, to_float64
from ebm_ppl._types import Scalar
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.samplers import AbstractMetropolisKernel, Point, WhitenedTarget
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.results import CheckResult, Question, Verdict
from ebm_ppl.validation.truth import exact_starts

BOUND = 1e-10
"""Largest allowed difference of a flow from its reverse, relative to the largest flow; float64."""

ROUNDINGS = 64.0
"""Units in the last place of the largest energy by which a flow may differ, too: each sums a few of them."""

NUM_STARTS = 64
NUM_NOISES = 64
NEWTON_STEPS = 64


def detailed_balance(
    kernel: AbstractMetropolisKernel,
    potential: EnergyPotential,
    density: QuadratureDensity,
    step_size: float,
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult:
    """Hold the probability flow of a Metropolis kernel against the reverse flow.

    Args:
        kernel: The kernel; its `propose` and `log_acceptance` are questioned.
        potential: Potential of the target.
        density: Ground truth, whose quantiles give the starting points.
        step_size: Step size at which to look.
        question: Recorded in the result.

    Returns:
        FAIL if the flows differ by more than `BOUND` and than energies are rounded at any pair of points, or
        a pair has no way back.
    """
    began = time.perf_counter()
    starts = exact_starts(density, jax.random.key(0), NUM_STARTS).reshape(NUM_STARTS, density.dim)
    with float64():
        noises = jax.random.normal(jax.random.key(1), (NUM_NOISES, density.dim), dtype=jnp.float64)
        log_flows, lost = _log_flows(
            kernel, to_float64(potential), jnp.asarray(starts), noises, jnp.asarray(step_size)
        )
        flows = np.exp(log_flows - np.max(log_flows))
        positions = jnp.asarray(starts).reshape(-1, *potential.position_shape)
        energies = np.abs(jax.vmap(to_float64(potential))(positions))
        bound = max(BOUND, ROUNDINGS * np.finfo(np.float64).eps * float(np.max(energies)))
        worst, lost_pairs = float(np.max(np.abs(flows[..., 0] - flows[..., 1]))), int(np.sum(lost))
    passed = worst <= bound and lost_pairs == 0
    return CheckResult(
        check="detailed balance",
        question=question,
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        statistic=worst,
        statistic_name="largest difference of flow and reverse flow, relative to the largest flow",
        bound=bound,
        sample_size=NUM_STARTS * NUM_NOISES,
        detectable=f"flows that differ by {bound:.0e} of the largest flow at any of the pairs",
        false_alarm_rate=0.0,
        detail=f"{lost_pairs} pairs have no way back" if lost_pairs else "",
        seconds=time.perf_counter() - began,
    )


def _log_flows(
    kernel: AbstractMetropolisKernel,
    potential: EnergyPotential,
    starts: Float[Array, "n dim"],
    noises: Float[Array, "m dim"],
    step_size: Scalar,
) -> tuple[np.ndarray, np.ndarray]:
    """Log flow and log reverse flow of every pair, shape `(n, m, 2)`, and which pairs have no way back."""
    shape, dim = potential.position_shape, starts.shape[1]
    nowhere = jnp.zeros(dim, dtype=starts.dtype)

    def around(origin: Array) -> WhitenedTarget:
        """The target as a step from `origin` sees it: the origin of coordinates is the current state."""
        return WhitenedTarget(
            lambda z: potential(z.reshape(shape)),
            origin=origin,
            scale=jnp.ones(dim, dtype=starts.dtype),
            uses_gradient=kernel.gradient_evaluations_per_step > 0,
        )

    def log_proposal(start: Point, noise: Array) -> Array:
        jacobian = jax.jacfwd(lambda xi: kernel.propose(xi, start, step_size))(noise)
        return jnp.sum(norm.logpdf(noise)) - jnp.linalg.slogdet(jacobian)[1]

    def noise_between(start: Point, target: Array) -> Array:
        def newton(_: int, noise: Array) -> Array:
            miss = kernel.propose(noise, start, step_size) - target
            jacobian = jax.jacfwd(lambda xi: kernel.propose(xi, start, step_size))(noise)
            return noise - jnp.linalg.solve(jacobian, miss)

        return jax.lax.fori_loop(0, NEWTON_STEPS, newton, jnp.zeros_like(target))

    def log_flow(start: Point, end: Point, noise: Array) -> Array:
        log_accept = jnp.minimum(kernel.log_acceptance(start, end, step_size), 0.0)
        return -start.potential_energy + log_proposal(start, noise) + log_accept

    def pair(position: Array, noise: Array) -> tuple[Array, Array]:
        here = around(position)
        x = here.evaluate(nowhere)
        y = here.evaluate(kernel.propose(noise, x, step_size))
        there = around(y.z)
        start, end = there.evaluate(nowhere), there.evaluate(x.z - y.z)
        back = noise_between(start, end.position)
        miss = jnp.max(jnp.abs(kernel.propose(back, start, step_size) - end.position))
        flows = jnp.stack([log_flow(x, y, noise), log_flow(start, end, back)])
        lost = ~(miss <= 1e-8 * (1 + jnp.max(jnp.abs(x.z))))
        return flows, lost

    over_noises = jax.vmap(pair, in_axes=(None, 0))
    flows, lost = jit_lightly(jax.vmap(over_noises, in_axes=(0, None)))(starts, noises)
    return np.asarray(flows), np.asarray(lost)
