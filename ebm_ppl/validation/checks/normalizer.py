"""The quadrature normaliser against a closed form, or against its own error bar."""

import time

import numpy as np
from jaxtyping import Float

from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.validation.results import CheckResult, Question, Verdict

BOUNDS = {1: 1e-8, 2: 1e-6}
"""Largest allowed relative error of Z, by number of coordinates."""

FEW_ERRORS = 5.0
"""Stated errors by which the rule that is not reported may be off: its estimate is no bound."""


COMPARABLE = 10.0
"""Nats below the mean log density down to which a place outside counts: there are tails beyond."""


def overlooked(
    density: QuadratureDensity, draws: Float[np.ndarray, "n dim"], kernel: str
) -> CheckResult | None:
    """Look in what chains have visited for places that quadrature has not found.

    Beyond the last node that carries mass a density is 1e-25 of what it was, unless there is another mode. A
    chain that stands in one proves it, whatever the kernel: the energy there says so.

    Args:
        density: The quadrature ground truth.
        draws: Points in the support at which chains of a kernel stood.
        kernel: Its name.

    Returns:
        A failure of the ground truth, or `None` where nothing was overlooked.
    """
    began = time.perf_counter()
    low, high = density.extent.T
    outside = draws[np.any((draws < low) | (draws > high), axis=1)]
    if not len(outside):
        return None
    log_density = density.log_density(outside.reshape(-1, *density.energy.event_shape))
    typical = -float(density.entropy())
    highest = int(np.argmax(log_density))
    if not log_density[highest] >= typical - COMPARABLE:
        return None
    return CheckResult(
        check="normaliser",
        question=Question.CORRECTNESS,
        verdict=Verdict.FAIL,
        statistic=float(log_density[highest] - typical),
        statistic_name="log density outside of all that quadrature found, less the mean log density inside",
        bound=-COMPARABLE,
        sample_size=len(draws),
        detectable=f"a place outside whose density is e^-{COMPARABLE:.0f} of the typical one",
        false_alarm_rate=0.0,
        detail=f"{kernel} stood at {outside[highest].tolist()}, where the energy is as low as inside, but "
        f"quadrature found mass in {density.extent.tolist()} only: log Z and every verdict that rests on "
        "this ground truth lack a mode",
        seconds=time.perf_counter() - began,
    )


def normalizer(density: QuadratureDensity, log_z: float | None) -> CheckResult:
    """Hold the quadrature value of log Z against a closed form.

    Where there is no closed form, the error estimate from grid halving takes its place, and the
    verdict says so. The rule that is not reported has to agree within its own error: wrong weights of
    one show there even where the other is better.

    Args:
        density: The quadrature ground truth.
        log_z: Closed form of log Z, or `None`.
    """
    began = time.perf_counter()
    bound = BOUNDS[density.dim]
    known = log_z is not None
    error = abs(density.log_z - log_z) if log_z is not None else density.log_z_error
    apart = abs(density.other_log_z - (density.log_z if log_z is None else log_z))
    allowed = max(bound, FEW_ERRORS * density.other_log_z_error)
    detail = ""
    if not apart <= allowed:
        detail = f"the other rule is off by {apart:.1e}, of which it states {density.other_log_z_error:.1e}"
    return CheckResult(
        check="normaliser",
        question=Question.CORRECTNESS,
        verdict=Verdict.PASS if error <= bound and not detail else Verdict.FAIL,
        statistic=float(error),
        statistic_name=f"{'error' if known else 'estimated error'} of log Z ({density.rule})",
        bound=bound,
        sample_size=density.num_intervals,
        detectable=f"an error of log Z above {bound:.0e}",
        false_alarm_rate=0.0,
        detail=detail
        or f"log Z = {density.log_z:.12g}"
        + ("" if known else "; no closed form, held against grid halving"),
        seconds=time.perf_counter() - began,
        components={"log_z": density.log_z, "log_z_error": density.log_z_error},
    )
