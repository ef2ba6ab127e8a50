"""Effective draws per CPU second, beside NumPyro and BlackJAX: `python -m benchmarks.samplers`.

Each library has a process of its own on each target. A sampler runs in one compiled loop from uniform starts,
in float32, on one thread; it is compiled by a first run, and timed in further ones, warm-up included. Its
figure is the smallest bulk ESS over all first and second moments per CPU second, the median over runs. It
stands in brackets unless all of these moments are within 4 Monte Carlo standard errors of the truth and
R-hat is at most 1.01; the table gives the largest of both. With 200 moments about one honest run in a hundred
is beyond 4 errors. BlackJAX is left out if it is not installed: `pip install blackjax==1.7.1`.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import concurrent.futures
import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import jax
import numpy as np

from benchmarks.samplers import report
from benchmarks.samplers._method import Method
from benchmarks.samplers.methods import METHODS
from benchmarks.samplers.targets import TARGETS, Target
from ebm_ppl.validation.diagnostics import convergence


def judge(draws: np.ndarray, target: Target) -> dict[str, float]:
    """Smallest ESS, largest error in standard errors, and largest R-hat over first and second moments."""
    draws = draws.astype(np.float64)
    sizes, errors, r_hats = [], [], []
    known_to = np.broadcast_to(target.errors, target.moments.shape)
    for power in (1, 2):
        for index in range(target.dim):
            values = draws[..., index] ** power
            found = convergence(values)
            sizes.append(found.ess_bulk)
            gap = abs(values.mean() - target.moments[power - 1, index])
            errors.append(gap / np.hypot(found.mcse_mean, known_to[power - 1, index]))
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
        kept = np.asarray(draws)[:, method.thinning - 1 :: method.thinning]
        rows.append(judge(kept, target) | {"seconds": seconds})
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    rate = statistics.median(row["ess"] / row["seconds"] for row in rows)
    counts = medians["error"] <= report.LARGEST_ERROR and medians["r_hat"] <= report.LARGEST_R_HAT
    return medians | {"rate": rate, "first_run_seconds": first, "counts": bool(counts)}


def work(name: str, library: str, num_runs: int, is_quick: bool) -> Iterator[report.Row]:
    """Measure what a library has on a target."""
    target = TARGETS[name]()
    for method in METHODS:
        takes_part = method.is_quick or not is_quick
        if method.library == library and method.suits(name) and takes_part:
            row = measure(target, method, num_runs)
            names = {"library": library, "sampler": method.name, "chains": method.num_chains}
            yield {"title": target.name} | names | row


def in_processes(name: str, num_runs: int, is_quick: bool) -> list[report.Row]:
    """Have each library measured by a process of its own, one after the other."""
    rows = []
    for library in dict.fromkeys(method.library for method in METHODS):
        command = [sys.executable, "-m", "benchmarks.samplers", "--runs", str(num_runs)]
        command += ["--worker", name, library, *["--quick"] * is_quick]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows += [json.loads(line) for line in done.stdout.splitlines()]
    return rows


@click.command(help=__doc__)
@click.option("--target", "names", multiple=True, type=click.Choice(list(TARGETS)))
@click.option(
    "--runs", type=click.IntRange(1), help="Timed runs of each sampler: 3 by default, 1 if quick."
)
@click.option(
    "--quick",
    is_flag=True,
    help="Two targets at a time, without samplers that are slow or far from the best.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    help="Folder for samplers.json, samplers.md and samplers.png.",
)
@click.option("--worker", nargs=2, hidden=True)
def main(
    names: tuple[str, ...],
    runs: int | None,
    quick: bool,
    out: pathlib.Path | None,
    worker: tuple[str, str] | None,
) -> None:
    """Print a table for each target and the ratios; write the files."""
    runs = runs or (1 if quick else 3)
    if worker:
        for row in work(*worker, runs, quick):
            click.echo(json.dumps(row))
        return
    results, text = {}, ""
    chosen = names or tuple(TARGETS)
    with concurrent.futures.ThreadPoolExecutor(2 if quick else 1) as pool:
        measured = pool.map(lambda name: in_processes(name, runs, quick), chosen)
        for name, rows in zip(chosen, measured, strict=True):
            results[name] = rows
            part = report.table(rows[0]["title"], rows)
            click.echo(part)
            text += part
    part = report.ratio_table(results)
    click.echo(part)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "samplers.json").write_text(json.dumps(results, indent=2) + "\n")
        (out / "samplers.md").write_text(text + part)
        titles = {name: rows[0]["title"] for name, rows in results.items()}
        report.picture(results, titles, out / "samplers.png")


if __name__ == "__main__":
    main()
