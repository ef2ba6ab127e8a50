"""The quadrature normaliser against a closed form, or against its own error bar."""

import time

from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.validation.results import CheckResult, Question, Verdict

BOUNDS = {1: 1e-8, 2: 1e-6}
"""Largest allowed relative error of Z, by number of coordinates."""

FEW_ERRORS = 5.0
"""Stated errors by which the rule that is not reported may be off: its estimate is no bound."""


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
