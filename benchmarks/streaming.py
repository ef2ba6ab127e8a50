"""Memory of a long run, reduced as it goes or kept whole: `python -m benchmarks.streaming`.

64 chains of MALA on a normal law in ten dimensions, once by `ebm_ppl.streaming.stream` with moments, R-hat,
effective sizes, the covariance matrix and histograms, and once by `numpyro.infer.MCMC`, which keeps every
draw. Each runs in a process of its own; the peak is the largest resident memory that the process ever had,
with Python, JAX and all libraries. `--draws` is a number a chain; a million takes 2.4 GiB for one copy alone.
"""

import json
import resource
import subprocess
import sys
import time

import click

NUM_CHAINS, DIM = 64, 10
_HOW = ("imports alone", "stream", "MCMC")


def work(how: str, num_draws: int) -> dict[str, float]:
    """Run, and tell what it took."""
    import jax
    import jax.numpy as jnp
    from numpyro.infer import MCMC

    import ebm_ppl as ebm
    from ebm_ppl.streaming import Covariance, Histogram, Summary, stream

    kernel = ebm.MALA(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
    init_params = jnp.zeros((NUM_CHAINS, DIM))
    began, r_hat = time.perf_counter(), float("nan")
    if how == "stream":
        run = stream(
            kernel,
            jax.random.key(0),
            num_warmup=500,
            num_samples=num_draws,
            num_chains=NUM_CHAINS,
            init_params=init_params,
            reductions={
                "summary": Summary(),
                "covariance": Covariance(),
                "histogram": Histogram(-5.0, 5.0, 100),
            },
            progress_bar=False,
        )
        r_hat = float(run.results["summary"].r_hat.max())
    elif how == "MCMC":
        mcmc = MCMC(
            kernel,
            num_warmup=500,
            num_samples=num_draws,
            num_chains=NUM_CHAINS,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(0), init_params=init_params)
        jax.block_until_ready(mcmc.get_samples())
    return {
        "seconds": time.perf_counter() - began,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "r_hat": r_hat,
    }


@click.command(help=__doc__)
@click.option("--draws", default=1_000_000, show_default=True, help="Draws of each chain.")
@click.option("--worker", type=click.Choice(_HOW), hidden=True)
def main(draws: int, worker: str | None) -> None:
    """Print a table."""
    if worker is not None:
        click.echo(json.dumps(work(worker, draws)))
        return
    click.echo("| draws | how | peak memory, MiB | seconds | largest R-hat |")
    click.echo("| --- | --- | --- | --- | --- |")
    for how in _HOW:
        command = [sys.executable, "-m", "benchmarks.streaming", "--draws", str(draws)]
        done = subprocess.run([*command, "--worker", how], capture_output=True, text=True)
        if done.returncode:
            click.echo(f"| {draws:,} | {how} | killed, status {done.returncode} | | |")
            continue
        row = json.loads(done.stdout)
        r_hat = "" if row["r_hat"] != row["r_hat"] else f"{row['r_hat']:.5f}"
        click.echo(
            f"| {draws:,} | {how} | {row['peak_mib']:.0f} | {row['seconds']:.1f} | {r_hat} |"
        )


if __name__ == "__main__":
    main()
