"""Effective draws per CPU second, beside NumPyro and BlackJAX: `python -m benchmarks.samplers`.

Each sampler runs in one compiled loop from uniform starts, in float32, on one thread; it is compiled by a
first run, and timed in further ones, warm-up included. Its figure is the smallest bulk ESS over all first
and second moments per CPU second, the median over runs. It stands in brackets unless all of these moments are
within 4 Monte Carlo standard errors of the truth and R-hat is at most 1.01; the table gives the largest of
both. With 200 moments about one honest run in a hundred is beyond 4 errors. BlackJAX is left out if it is
not installed: `pip install blackjax==1.7.1`.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import json
import pathlib
import statistics
import time
from typing import Any

import click
import jax
import numpy as np

from benchmarks.samplers.methods import METHODS, Method
from benchmarks.samplers.targets import TARGETS, Target
from validation.diagnostics import convergence

LARGEST_ERROR, LARGEST_R_HAT = 4.0, 1.01


def judge(draws: np.ndarray, target: Target) -> dict[str, float]:
    """Smallest ESS, largest error in standard errors, and largest R-hat over first and second moments."""
    draws = draws.astype(np.float64)
    sizes, errors, r_hats = [], [], []
    for power in (1, 2):
        for index in range(target.dim):
            values = draws[..., index] ** power
            found = convergence(values)
            sizes.append(found.ess_bulk)
            errors.append(abs(values.mean() - target.moments[power - 1, index]) / found.mcse_mean)
            r_hats.append(found.rhat)
    return {"ess": min(sizes), "error": max(errors), "r_hat": max(r_hats)}


def measure(target: Target, method: Method, num_runs: int) -> dict[str, Any]:
    """Compile a method for a target, and time a few runs."""
    run = method.build(target, method)
    began = time.process_time()
    jax.block_until_ready(run(jax.random.key(0)))
    first = time.process_time() - began
    rows = []
    for seed in range(1, num_runs + 1):
        began = time.process_time()
        draws = jax.block_until_ready(run(jax.random.key(seed)))
        seconds = time.process_time() - began
        rows.append(judge(np.asarray(draws), target) | {"seconds": seconds})
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    rate = statistics.median(row["ess"] / row["seconds"] for row in rows)
    counts = medians["error"] <= LARGEST_ERROR and medians["r_hat"] <= LARGEST_R_HAT
    return medians | {"rate": rate, "first_run_seconds": first, "counts": bool(counts)}


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--target", "names", multiple=True, type=click.Choice(list(TARGETS)))
@click.option("--runs", default=3, show_default=True, help="Timed runs of each sampler.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=pathlib.Path), help="JSON file.")
def main(names: tuple[str, ...], runs: int, out: pathlib.Path | None) -> None:
    """Print a table for each target."""
    results: dict[str, Any] = {}
    for name in names or TARGETS:
        target = TARGETS[name]()
        click.echo(f"\n{target.name}\n")
        click.echo(
            "| library | sampler | chains | ESS / CPU s | ESS | error | R-hat | first run, CPU s |"
        )
        click.echo("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for method in METHODS:
            row = measure(target, method, runs)
            results.setdefault(name, []).append(
                {"library": method.library, "sampler": method.name, "chains": method.num_chains}
                | row
            )
            rate = f"{row['rate']:.3g}" if row["counts"] else f"({row['rate']:.3g})"
            click.echo(
                f"| {method.library} | {method.name} | {method.num_chains} | {rate} | {row['ess']:.0f} | "
                f"{row['error']:.1f} | {row['r_hat']:.3f} | {row['first_run_seconds']:.1f} |"
            )
    if out is not None:
        out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
