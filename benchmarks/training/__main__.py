"""Training speed beside TorchEBM and beside bare JAX: `python -m benchmarks.training`.

Five objectives train the same energy, an MLP 2-128-128-1, on batches of 256 points in the plane, on one
thread. Every implementation has a process of its own per objective, all on one CPU, and they take turns; what
counts is the number of steps per CPU second, and of these only the ratios within a run. A turn of ebm_ppl
is one call of `fit`, with all that it does before its first step. It exits with 1 if a bar is missed.

The peers install with `pip install 'ebm-ppl[benchmarks]'`; it runs on Linux, where a process can be kept to
one CPU.
"""

import json
import os
import pathlib
import platform
from typing import Any

import click

from benchmarks.training import problem, report, sessions


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Few short turns: figures to look at, not to cite.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    help="Folder for training.json and training.md.",
)
@click.option("--objective", "objectives", multiple=True, type=click.Choice(problem.OBJECTIVES))
@click.option(
    "--implementation", "implementations", multiple=True, type=click.Choice(list(report.TITLES))
)
@click.option("--cpu", type=int, help="CPU to use; the last one this process may use by default.")
def main(
    quick: bool,
    out: pathlib.Path | None,
    objectives: tuple[str, ...],
    implementations: tuple[str, ...],
    cpu: int | None,
) -> None:
    """Measure, print the table, write the files."""
    cpu = max(os.sched_getaffinity(0)) if cpu is None else cpu
    repetitions, seconds = (3, 1.0) if quick else (12, 2.0)
    names = implementations or tuple(report.TITLES)
    results: dict[str, Any] = {
        "machine": {
            "processor": _processor(),
            "cpu": cpu,
            "python": platform.python_version(),
            "load_average_before": os.getloadavg(),
        },
        "settings": {"repetitions": repetitions, "cpu_seconds_per_turn": seconds},
        "implementations": list(names),
        "versions": {},
        "objectives": {},
    }
    for objective in objectives or problem.OBJECTIVES:
        click.echo(f"{objective} ...", err=True)
        measured = sessions.measure(
            names, objective, cpu=cpu, repetitions=repetitions, seconds=seconds
        )
        for result in measured.values():
            results["versions"] |= result["versions"]
        judged = report.judge(objective, measured)
        results["objectives"][objective] = {"measured": measured, "judged": judged}
    table = report.as_markdown(results)
    click.echo(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "training.json").write_text(json.dumps(results, indent=2) + "\n")
        (out / "training.md").write_text(table)
    bars = [
        bar
        for result in results["objectives"].values()
        for bar in result["judged"]["bars"].values()
    ]
    if not all(bar["passed"] for bar in bars):
        raise SystemExit(1)


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
