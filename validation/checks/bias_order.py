r"""The order in the step size at which an unadjusted kernel's stationary law departs from the target.

Chains start in the target, run for a fixed time $T$ at step sizes $\varepsilon$ and $\varepsilon / 2$, and
the means $b(\varepsilon)$ of the Legendre components of their probability integral transform measure the
bias. If it is of order $p$, then $b(\varepsilon) \approx 2^p\, b(\varepsilon / 2)$, so
$$\hat p = \log_2 \frac{b(\varepsilon) \cdot b(\varepsilon/2)}{\lVert b(\varepsilon/2) \rVert^2}.$$
"""

import math
import time

import jax
import numpy as np
from jaxtyping import Float

from ebm_ppl.quadrature import QuadratureDensity
from validation.cases._base import KernelCase
from validation.chains import EndStateRunner
from validation.checks import error_rates
from validation.checks.uniformity import legendre_components
from validation.results import CheckResult, Question, Verdict
from validation.truth import exact_starts, probability_transform

TOLERANCE = 0.5
"""Largest allowed distance of the measured order from the claimed one."""

NUM_CHAINS = 1_600_000
RUN_TIME = 4.0
"""Time that the chains run, number of steps times step size, in units of the energy's own time."""


def bias_order(
    case: KernelCase,
    runner: EndStateRunner,
    density: QuadratureDensity,
    rng_key: jax.Array,
    *,
    question: Question = Question.CORRECTNESS,
    num_chains: int = NUM_CHAINS,
) -> CheckResult:
    """Check a kernel's claim on the order of its bias.

    Args:
        case: The kernel, which claims `bias_order` and names a `bias_step_size` at which its bias is large
            enough to measure and small enough for the order to show.
        runner: Runs its chains.
        density: Ground truth of the target.
        rng_key: Random key.
        question: Recorded in the result.
        num_chains: Independent chains at each of the two step sizes.

    Returns:
        FAIL if the measured order is more than `TOLERANCE` from the claimed one, or if the bias is too
        small for its order to be measured.

    Raises:
        ValueError: If the case claims no order or names no step size.
    """
    if case.bias_order is None or case.bias_step_size is None:
        raise ValueError(
            f"`case` must give bias_order and bias_step_size; got {case.bias_order!r} and "
            f"{case.bias_step_size!r} for {case.name!r}."
        )
    began = time.perf_counter()
    biases = []
    for refinement, key in zip((1, 2), jax.random.split(rng_key), strict=True):
        step_size = case.bias_step_size / refinement
        start_key, chain_key = jax.random.split(key)
        start = exact_starts(density, start_key, num_chains)
        end = runner(chain_key, start, step_size, round(RUN_TIME / step_size))
        biases.append(_bias(density, end))
    order, std_error = measured_order(biases[0], biases[1], num_chains)
    margin = error_rates.normal_quantile(error_rates.SINGLE_LEVEL) * std_error
    measurable = margin <= TOLERANCE
    passed = measurable and abs(order - case.bias_order) <= TOLERANCE
    return CheckResult(
        check="order of bias",
        question=question,
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        statistic=order,
        statistic_name="measured order of the bias in the step size",
        bound=TOLERANCE,
        sample_size=num_chains,
        detectable=f"an order off by {TOLERANCE + margin:.2f}",
        false_alarm_rate=error_rates.SINGLE_LEVEL,
        detail=f"claimed {case.bias_order}, measured {order:.3f} ± {std_error:.3f}"
        + ("" if measurable else "; the bias is too small for its order to be measured"),
        seconds=time.perf_counter() - began,
        components={
            "bias at the step size": float(np.linalg.norm(biases[0])),
            "bias at half of it": float(np.linalg.norm(biases[1])),
        },
    )


def _bias(
    density: QuadratureDensity, end: Float[np.ndarray, "n dim"]
) -> Float[np.ndarray, " components"]:
    return np.mean(legendre_components(probability_transform(density, end)), axis=0)


def measured_order(
    coarse: Float[np.ndarray, " components"],
    fine: Float[np.ndarray, " components"],
    num_chains: int,
) -> tuple[float, float]:
    """Order of the bias and its standard error, from the biases at a step size and at half of it.

    Every component's mean has variance `1 / num_chains`. The noise is taken off the squared norm in the
    denominator; an order that cannot be formed (no bias, or of opposite sign) is NaN with an infinite
    standard error.
    """
    denominator = float(fine @ fine) - len(fine) / num_chains
    numerator = float(coarse @ fine)
    if denominator <= 0 or numerator <= 0:
        return math.nan, math.inf
    order = math.log2(numerator / denominator)
    relative_variance = 1 / float(coarse @ coarse) + 1 / denominator
    return order, math.sqrt(relative_variance / num_chains) / math.log(2)
