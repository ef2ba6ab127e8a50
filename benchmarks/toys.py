"""How close each objective comes to the toys of the plane: `python -m benchmarks.toys`.

Every fit starts from the same network and sees the same 2^20 draws. What counts is KL(law ‖ model) by
quadrature, in nats; beside it stand the CPU seconds of the fit on one thread, without compilation, and for
objectives that learn log Z how far that is from the grid's. It exits with 1 if a bar is missed.

Results in the output folder are kept, so that one law and one objective can be measured at a time.
"""

import json
import os
import pathlib
import platform
import time
from typing import Any

import click

LAWS = ("8_gaussians", "two_moons", "pinwheel", "checkerboard")
OBJECTIVES = (
    "exact_maximum_likelihood",
    "noise_contrastive",
    "flow_contrastive",
    "persistent_cd",
    "annealed_denoising",
)

_NUM_DATA = 2**20
_QUICK_STEPS = 1000
_BARS = {
    "noise_contrastive": dict(zip(LAWS, (0.0008, 0.0008, 0.003, 0.037), strict=True)),
    "persistent_cd": dict(zip(LAWS, (0.002, 0.002, 0.006, 0.05), strict=True)),
    "annealed_denoising": {"8_gaussians": 0.003},
}
_FLOW_BAR = 1.5  # times exact maximum likelihood
_LOG_Z_BAR = 0.005  # nats, and _CPU_BAR seconds, for noise-contrastive estimation
_CPU_BAR = 120.0


@click.command(help=__doc__)
@click.option("--law", "laws", multiple=True, type=click.Choice(LAWS))
@click.option("--objective", "objectives", multiple=True, type=click.Choice(OBJECTIVES))
@click.option("--quick", is_flag=True, help="Few steps: to see that it runs; no bar applies.")
@click.option("--seed", type=int, default=0, help="Seed of data and fit.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    help="Folder for toys.json and toys.md.",
)
@click.option("--cpu", type=int, help="CPU to use; the last one this process may use by default.")
def main(
    laws: tuple[str, ...],
    objectives: tuple[str, ...],
    quick: bool,
    seed: int,
    out: pathlib.Path | None,
    cpu: int | None,
) -> None:
    """Fit, measure, print the table, write the files."""
    _confine(max(os.sched_getaffinity(0)) if cpu is None else cpu)
    file = None if out is None else out / "toys.json"
    rows: dict[str, dict[str, Any]] = {}
    if file is not None and file.exists():
        rows = json.loads(file.read_text())
    for objective in objectives or OBJECTIVES:
        for law in laws or LAWS:
            click.echo(f"{objective}, {law} ...", err=True)
            rows[f"{objective}/{law}"] = measure(objective, law, quick, seed)
            judge(rows)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(rows, indent=2) + "\n")
                file.with_suffix(".md").write_text(as_markdown(rows))
    click.echo(as_markdown(rows))
    if any(row["missed"] for row in rows.values()):
        raise SystemExit(1)


def measure(objective: str, law_name: str, quick: bool, seed: int) -> dict[str, Any]:
    """Fit a law with an objective, and compare the two.

    Args:
        objective: Name of the objective.
        law_name: Name of the law.
        quick: Whether to take few steps.
        seed: Seed of data and fit.

    Returns:
        The figures of one row.
    """
    import jax

    import ebm_ppl as ebm
    from benchmarks.toy_recipes import RECIPES
    from ebm_ppl.validation.datasets import PLANE_LAWS, kl_divergence

    recipe = RECIPES[objective](_QUICK_STEPS) if quick else RECIPES[objective]()
    law = PLANE_LAWS[law_name]
    key_data, key_fit = jax.random.split(jax.random.key(seed))
    data = jax.block_until_ready(law.sample(key_data, _NUM_DATA))

    def fit(num_steps: int) -> tuple[Any, float]:
        before = time.process_time()
        fit = ebm.fit(
            recipe.energy,
            data,
            recipe.objective,
            recipe.optimizer,
            num_steps=num_steps,
            batch_size=recipe.batch_size,
            ema_decay=recipe.ema_decay,
            rng_key=key_fit,
            progress_bar=False,
        )
        return fit, time.process_time() - before

    _, first_seconds = fit(1)  # the number of steps is no part of what is compiled
    result, seconds = fit(recipe.num_steps)
    density = ebm.quadrature.normalize(
        recipe.density_of(result.energy), bounds=((-12.0, 12.0),) * 2, num_intervals=800
    )
    divergence = kl_divergence(law, density)
    learned = (result.learned or {}).get("log_z")
    return {
        "objective": objective,
        "law": law_name,
        "quick": quick,
        "seed": seed,
        "num_steps": recipe.num_steps,
        "batch_size": recipe.batch_size,
        "kl": divergence.value,
        "kl_error": divergence.error,
        "cpu_seconds": seconds,
        "first_cpu_seconds": first_seconds,
        "log_z_error": None if learned is None else float(learned) - density.log_z,
        "num_refused": result.num_refused,
        "processor": _processor(),
    }


def judge(rows: dict[str, dict[str, Any]]) -> None:
    """Say in each row what it had to reach, and what of that it missed."""
    for row in rows.values():
        objective, law = row["objective"], row["law"]
        bar = _BARS.get(objective, {}).get(law)
        exact = rows.get(f"exact_maximum_likelihood/{law}")
        if objective == "flow_contrastive" and exact is not None and not exact["quick"]:
            bar = _FLOW_BAR * exact["kl"]
        row["bar"] = None if row["quick"] else bar
        limits = {"KL": (row["kl"], row["bar"])}
        if objective == "noise_contrastive" and not row["quick"]:
            limits["log Z"] = (abs(row["log_z_error"]), _LOG_Z_BAR)
            limits["CPU"] = (row["cpu_seconds"], _CPU_BAR)
        row["missed"] = [
            name for name, (value, limit) in limits.items() if limit is not None and value > limit
        ]


def as_markdown(rows: dict[str, dict[str, Any]]) -> str:
    """One line per fit."""
    header = ("objective", "law", "KL [nats]", "bar", "log Z error", "steps", "CPU s", "verdict")
    lines = [header, ("---", "---", *["---:"] * 5, "---")]
    for row in sorted(rows.values(), key=lambda row: OBJECTIVES.index(row["objective"])):
        log_z, bar = row["log_z_error"], row["bar"]
        verdict = "" if bar is None else "pass"
        if row["missed"]:
            verdict = f"FAIL: {', '.join(row['missed'])}"
        lines.append(
            (
                row["objective"].replace("_", " "),
                row["law"].replace("_", " "),
                f"{row['kl']:.5f}",
                "" if bar is None else f"{bar:.5f}",
                "" if log_z is None else f"{log_z:+.4f}",
                str(row["num_steps"]),
                f"{row['cpu_seconds']:.0f}",
                verdict,
            )
        )
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    processors = ", ".join(sorted({row["processor"] for row in rows.values()}))
    return f"{table}\n\n{processors}, one thread; compilation is not counted.\n"


def _confine(cpu: int) -> None:
    """Give this process one CPU and one thread, before JAX is imported."""
    os.sched_setaffinity(0, {cpu})
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ["JAX_PLATFORMS"] = "cpu"


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
