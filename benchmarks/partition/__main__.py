"""Coverage of intervals for log Z: `python -m benchmarks.partition`.

Each estimator estimates the partition function of each target, which is known, in 2,000 independent runs.
The table tells how often the nominal 95% interval held the truth, of the runs that gave one; what share gave
none, for a tail shape above 0.7; how many standard errors the mean estimate of Z (of 1/Z for chains that
are heated, of log Z for bridges and thermodynamic integration) lies from the truth; and the mean and
standard deviation of the standardised errors. Seconds are those of the processor. The bar is a coverage
within 1.5 points of 95%. It exits with 1 if a bar is missed.
"""

import json
import pathlib
import time
from typing import Any

import click
import jax
import numpy as np

from benchmarks.partition import problems
from benchmarks.partition.estimators import ESTIMATORS
from benchmarks.partition.problems import Problem

_HEADINGS = (
    "estimator",
    "target",
    "coverage",
    "above, below",
    "no interval",
    "bias, s.e.",
    "error / s.e.: mean, sd",
    "RMSE",
    "half-width",
    "seconds",
)


def measure(estimator: str, problem: Problem, num_runs: int, seed: int) -> dict[str, Any]:
    """Run an estimator many times; count what its intervals hold."""
    began = time.process_time()
    runs = list(ESTIMATORS[estimator](problem, jax.random.key(seed), num_runs))
    error = np.array([run.log_z for run in runs]) - problem.log_z
    given = np.array([run.interval is not None for run in runs])
    ends = np.array([run.interval for run in runs if run.interval]).reshape(-1, 2)
    below, above = ends[:, 1] < problem.log_z, ends[:, 0] > problem.log_z
    # Bridges and ladders estimate log Z; weights average to Z, those of heated chains to 1 / Z.
    sign = {"heated": -1, "bridge": 0, "thermodynamic": 0}.get(estimator, 1)
    excess = np.expm1(sign * error) if sign else error
    standardised = error / np.array([run.std_error for run in runs])
    return {
        "estimator": estimator,
        "target": problem.name,
        "runs": num_runs,
        "coverage": float(1 - np.mean(below) - np.mean(above)) if given.any() else None,
        "above": float(np.mean(above)) if given.any() else None,
        "below": float(np.mean(below)) if given.any() else None,
        "no_interval": float(1 - np.mean(given)),
        "bias": float(excess.mean() / (excess.std(ddof=1) / np.sqrt(num_runs))),
        "standardised_mean": float(standardised.mean()),
        "standardised_sd": float(standardised.std(ddof=1)),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "half_width": float(np.median(np.diff(ends) / 2)) if given.any() else None,
        "seconds": time.process_time() - began,
    }


def as_row(result: dict[str, Any]) -> str:
    """One line of the table."""

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{value:.1%}"

    half_width = result["half_width"]
    cells = (
        result["estimator"],
        result["target"],
        percent(result["coverage"]),
        f"{percent(result['above'])}, {percent(result['below'])}",
        percent(result["no_interval"]),
        f"{result['bias']:+.1f}",
        f"{result['standardised_mean']:+.2f}, {result['standardised_sd']:.2f}",
        f"{result['rmse']:.3f}",
        "–" if half_width is None else f"{half_width:.3f}",
        f"{result['seconds']:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


@click.command(help=__doc__)
@click.option(
    "--runs", default=2_000, show_default=True, help="Independent runs of each estimator."
)
@click.option("--estimator", "estimators", multiple=True, type=click.Choice(list(ESTIMATORS)))
@click.option("--target", "targets", multiple=True, help="Names of targets; all by default.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--temperatures",
    default=problems.TEMPERATURES,
    show_default=True,
    help="Of annealed runs on the digits' machines.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    help="File for the figures as JSON.",
)
def main(
    runs: int,
    estimators: tuple[str, ...],
    targets: tuple[str, ...],
    seed: int,
    temperatures: int,
    out: pathlib.Path | None,
) -> None:
    """Measure, print the table, write the file."""
    click.echo("| " + " | ".join(_HEADINGS) + " |\n|" + " --- |" * len(_HEADINGS))
    everything = [*problems.analytic(), *problems.machines(temperatures)]
    results = []
    for name in estimators or tuple(ESTIMATORS):
        for problem in everything:
            if (targets and problem.name not in targets) or not problem.asks(name):
                continue
            results.append(measure(name, problem, runs, seed))
            click.echo(as_row(results[-1]))
    for num_draws in (200, 10_000):  # has to fail: told of where draws are many enough to see it
        missed = measure("importance", problems.missed_mode(num_draws), min(runs, 200), seed)
        click.echo(as_row(missed))
    if out is not None:
        out.write_text(json.dumps(results, indent=2) + "\n")
    if not all(abs(result["coverage"] - 0.95) <= 0.015 for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
