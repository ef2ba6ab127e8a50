"""The quadrature normaliser against a closed form, or against its own error bar."""

import time

from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.validation.results import CheckResult, Question, Verdict

BOUNDS = {1: 1e-8, 2: 1e-6}
"""Largest allowed relative error of Z, by number of coordinates."""


def normalizer(density: QuadratureDensity, log_z: float | None) -> CheckResult:
    """Hold the quadrature value of log Z against a closed form.

    Where there is no closed form, the error estimate from grid halving takes its place, and the
    verdict says so.

    Args:
        density: The quadrature ground truth.
        log_z: Closed form of log Z, or `None`.
    """
    began = time.perf_counter()
    bound = BOUNDS[density.dim]
    known = log_z is not None
    error = abs(density.log_z - log_z) if log_z is not None else density.log_z_error
    return CheckResult(
        check="normaliser",
        question=Question.CORRECTNESS,
        verdict=Verdict.PASS if error <= bound else Verdict.FAIL,
        statistic=float(error),
        statistic_name=f"{'error' if known else 'estimated error'} of log Z ({density.rule})",
        bound=bound,
        sample_size=density.num_intervals,
        detectable=f"an error of log Z above {bound:.0e}",
        false_alarm_rate=0.0,
        detail=f"log Z = {density.log_z:.12g}"
        + ("" if known else "; no closed form, held against grid halving"),
        seconds=time.perf_counter() - began,
        components={"log_z": density.log_z, "log_z_error": density.log_z_error},
    )
