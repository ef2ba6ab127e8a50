"""Reports made by hand: what a run can bring, hostile names and broken numbers included."""

import dataclasses
import math

import numpy as np
from scipy import stats

from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace, Verdict

HOSTILE = "<script>alert('pwn')</script>\"><img src=x onerror=alert(1)> | `a` [b](c)\n\x1b[31m"


def check(
    name: str = "exact invariance",
    question: Question = Question.CORRECTNESS,
    verdict: Verdict = Verdict.PASS,
    **changes: object,
) -> CheckResult:
    base = CheckResult(
        check=name,
        question=question,
        verdict=verdict,
        statistic=0.0123,
        statistic_name="smallest p-value of six tests",
        sample_size=200_000,
        detectable="0.4% of a standard deviation",
        false_alarm_rate=1e-7,
        detail="",
        p_value=0.31,
        seconds=1.25,
        components={"KS": 0.4, "Neyman": 0.31},
    )
    return dataclasses.replace(base, **changes)


def residual(verdict: Verdict = Verdict.PASS, statistic: float = 4.2e-16) -> CheckResult:
    return check(
        "detailed balance",
        verdict=verdict,
        statistic=statistic,
        statistic_name="largest flux residual",
        p_value=None,
        bound=1e-10,
        sample_size=65_536,
        detectable="any residual above 1e-10",
        false_alarm_rate=0.0,
        components={},
    )


def trace(
    energy: str = "gaussian",
    kernel: str = "mala",
    *,
    num_chains: int = 4,
    num_samples: int = 1000,
    dim: int = 2,
    correlation: float = 0.7,
    seed: int = 0,
    truth: bool = True,
) -> Trace:
    """An autoregressive chain whose law is standard normal in every coordinate."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(num_chains, num_samples, dim))
    draws = noise.copy()
    for t in range(1, num_samples):
        draws[:, t] = correlation * draws[:, t - 1] + math.sqrt(1 - correlation**2) * noise[:, t]
    grid = np.tile(np.linspace(-9, 9, 1001), (dim, 1))
    exact = rng.normal(size=(5000, dim))
    return Trace(
        energy=energy,
        kernel=kernel,
        draws=draws.astype(np.float32),
        energies=0.5 * (draws**2).sum(-1),
        truth_grid=grid if truth else None,
        truth_density=stats.norm.pdf(grid) if truth else None,
        truth_cdf=stats.norm.cdf(grid) if truth else None,
        truth_energy_draws=0.5 * (exact**2).sum(-1) if truth else None,
        diagnostics={
            "r_hat": 1.002,
            "ess_bulk": 712.0,
            "ess_tail": 840.3,
            "ess_per_second": 12_345.6,
            "ess_per_gradient": 0.178,
            "acceptance": 0.574,
            "step_size": 0.91,
        },
    )


def report(**changes: object) -> Report:
    """Two energies by two kernels, with everything a page has to show."""
    rows, traces = [], []
    rows.append(Row("gaussian", "-", check("normaliser", p_value=None, bound=1e-8)))
    for energy in ("gaussian", "tilted double well"):
        for kernel in ("mala", "nuts"):
            rows.append(Row(energy, kernel, residual()))
            rows.append(Row(energy, kernel, check()))
            rows.append(Row(energy, kernel, check("mixing", Question.MIXING, components={})))
            traces.append(trace(energy, kernel, seed=len(traces), num_samples=200))
    rows.append(
        Row(
            "tilted double well",
            "mala",
            check("order of bias", verdict=Verdict.FAIL, p_value=0.0, detail="The order is 0.4."),
        )
    )
    rows.append(
        Row(
            "gaussian",
            "sign of the acceptance",
            check("exact invariance", Question.CONTROL, p_value=3e-40, detail="Caught."),
        )
    )
    rows.append(
        Row(
            "gaussian",
            "gradient 5% off",
            check("exact invariance", Question.CONTROL, Verdict.FAIL, p_value=0.2),
        )
    )
    base = Report(
        title="Validation of ebm_ppl",
        mode="default",
        rows=tuple(rows),
        traces=tuple(traces),
        seed=0,
        false_alarm_budget=1e-4,
        false_alarm_spent=3.2e-6,
        versions={"python": "3.11.9", "jax": "0.10.2", "numpyro": "0.22.0", "ebm-ppl": "0.1.0"},
        started="2026-01-02T03:04:05+00:00",
        seconds=83.4,
        options={"kernels": ["mala", "nuts"], "seed": 0},
    )
    return dataclasses.replace(base, **changes)


def hostile_report() -> Report:
    """Hostile names, broken statistics, no ground truth, non-finite and constant draws."""
    nan = check(
        verdict=Verdict.ERROR,
        statistic=math.nan,
        p_value=math.nan,
        bound=math.inf,
        detail=f"ValueError: {HOSTILE}",
        components={HOSTILE: math.nan, "up": math.inf, "down": -math.inf},
    )
    wild = trace(HOSTILE, HOSTILE, truth=False, num_samples=60)
    draws = wild.draws.copy()
    draws[0, 10:20] = np.nan
    draws[1, 5] = np.inf
    energies = wild.energies.copy()
    energies[0, :] = np.nan
    energies[2, 3] = np.inf
    wild = dataclasses.replace(
        wild, draws=draws, energies=energies, diagnostics={"r_hat": math.nan, HOSTILE: math.inf}
    )
    stuck = trace("stuck", "k", num_samples=50, dim=3)
    stuck = dataclasses.replace(stuck, draws=np.zeros_like(stuck.draws))
    all_nan = dataclasses.replace(stuck, energy="nan", draws=np.full_like(stuck.draws, np.nan))
    single = trace("single", "k", num_chains=1, num_samples=11, dim=1)
    empty = dataclasses.replace(
        single, energy="empty", draws=np.zeros((2, 0, 1)), energies=np.zeros((2, 0))
    )
    traces = (wild, stuck, all_nan, single, empty)
    return report(
        title=HOSTILE,
        rows=(*(Row(t.energy, t.kernel, nan) for t in traces), Row(HOSTILE, "-", nan)),
        traces=traces,
        versions={HOSTILE: HOSTILE},
        options={HOSTILE: [HOSTILE, math.nan]},
    )
