"""Seconds from `import` to the first draw, and of compilation, beside NumPyro's NUTS.

`python -m benchmarks.first_draw` starts a process for each kernel and turn, without JAX's cache of
compiled programs. It imports the package (NumPyro alone for NumPyro's kernels), and runs `MCMC` with 100
steps of warm-up and 100 draws of four vectorised chains on a potential in ten dimensions. Then it lowers
and compiles one step once more, for the time of compilation alone. The table has medians of CPU seconds
over turns, in which kernels come one after the other.
"""

import json
import os
import statistics
import subprocess
import sys

import click

OURS = (
    "RandomWalkMetropolis",
    "MALA",
    "ChEESHMC",
    "MAMS",
    "MCLMC",
    "Langevin",
    "UnderdampedLangevin",
)
THEIRS = ("NUTS", "HMC")


def work(name: str) -> dict[str, float]:
    """Import, sample, compile; the CPU seconds of each."""
    import time

    began = time.process_time()
    import jax
    import jax.numpy as jnp
    from numpyro import infer

    if name in OURS:
        import ebm_ppl

        make = getattr(ebm_ppl, name)
    else:
        make = getattr(infer, name)
    imported = time.process_time()

    kernel = make(potential_fn=lambda z: 0.5 * jnp.sum(z**2 * jnp.arange(1.0, 11.0)))
    mcmc = infer.MCMC(
        kernel,
        num_warmup=100,
        num_samples=100,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0), init_params=jnp.zeros((4, 10)))
    jax.block_until_ready(mcmc.get_samples())
    drawn = time.process_time()

    step = jax.jit(lambda state: kernel.sample(state, (), {}))
    step.lower(mcmc.last_state).compile()
    return {
        "import": imported - began,
        "draws": drawn - imported,
        "total": drawn - began,
        "compile": time.process_time() - drawn,
    }


@click.command(help=__doc__)
@click.option("--turns", default=5, show_default=True)
@click.option("--worker", hidden=True)
def main(turns: int, worker: str | None) -> None:
    """Print a table; exit with 1 if one of our kernels takes longer than NumPyro's NUTS."""
    if worker is not None:
        click.echo(json.dumps(work(worker)))
        return
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*OURS, *THEIRS)}
    for _ in range(turns):
        for name, found in rows.items():
            command = [sys.executable, "-m", "benchmarks.first_draw", "--worker", name]
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            found.append(json.loads(output.stdout))
    click.echo("| kernel | import | 100 draws | import to draws | compiling a step |")
    click.echo("| --- | --- | --- | --- | --- |")
    medians = {
        name: {part: statistics.median(row[part] for row in found) for part in found[0]}
        for name, found in rows.items()
    }
    for name, median in medians.items():
        cells = " | ".join(
            f"{median[part]:.2f}" for part in ("import", "draws", "total", "compile")
        )
        click.echo(f"| {name} | {cells} |")
    bound = medians["NUTS"]["total"]
    raise SystemExit(int(any(medians[name]["total"] > bound for name in OURS)))


if __name__ == "__main__":
    main()
