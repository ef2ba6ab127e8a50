"""Seconds from `import` to the first draw, and of compilation, beside NumPyro's NUTS.

`python -m benchmarks.first_draw` starts a process for each kernel and turn, without JAX's cache of
compiled programs. It imports the package (NumPyro alone for NumPyro's kernels), and runs `MCMC` with 100
steps of warm-up and 100 draws of four vectorised chains: of a potential in ten dimensions or, for the
kernels of discrete energies, of ten spins. Then it lowers and compiles one step once more, for the time of
compilation alone. The table has medians of CPU seconds over turns, in which kernels come one after the
other.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click

DIM = 10


def potential(z: Any) -> Any:
    """A normal law with variances 1 to 1/10."""
    import jax.numpy as jnp

    return 0.5 * jnp.sum(z**2 * jnp.arange(1.0, DIM + 1.0))


def ours(name: str) -> Callable[[], Any]:
    """What makes a kernel of this package that moves in the potential."""

    def make() -> Any:
        import ebm_ppl

        return getattr(ebm_ppl, name)(potential_fn=potential)

    return make


def theirs(name: str) -> Callable[[], Any]:
    """What makes a kernel of NumPyro that moves in the potential."""

    def make() -> Any:
        from numpyro import infer

        return getattr(infer, name)(potential_fn=potential)

    return make


def independence() -> Any:
    """Metropolis steps that propose draws of one normal law."""
    from numpyro.distributions import Normal

    import ebm_ppl

    proposal = Normal(0.0, 1.0).expand([DIM]).to_event(1)
    return ebm_ppl.IndependenceMetropolis(potential_fn=potential, proposal=proposal)


def replica_exchange(name: str) -> Callable[[], Any]:
    """What makes replica exchange over another kernel of this package."""

    def make() -> Any:
        import ebm_ppl

        return ebm_ppl.ReplicaExchange(ours(name)())

    return make


def block_gibbs() -> Any:
    """Sweeps of a restricted Boltzmann machine."""
    import jax

    import ebm_ppl

    machine = ebm_ppl.energies.RestrictedBoltzmannMachine.random(jax.random.key(0), DIM, DIM)
    return ebm_ppl.BlockGibbs(ebm_ppl.as_model(machine))


def gibbs_with_gradients() -> Any:
    """Flips of the spins of a ring."""
    import ebm_ppl

    ring = ebm_ppl.energies.Graph.lattice((DIM,))
    return ebm_ppl.GibbsWithGradients(ebm_ppl.as_model(ebm_ppl.energies.GraphIsing(0.5, 0.0, ring)))


OURS: dict[str, Callable[[], Any]] = {
    "RandomWalkMetropolis": ours("RandomWalkMetropolis"),
    "IndependenceMetropolis": independence,
    "MALA": ours("MALA"),
    "ChEESHMC": ours("ChEESHMC"),
    "MAMS": ours("MAMS"),
    "MCLMC": ours("MCLMC"),
    "Langevin": ours("Langevin"),
    "UnderdampedLangevin": ours("UnderdampedLangevin"),
    "ReplicaExchange over MALA": replica_exchange("MALA"),
    "ReplicaExchange over ChEESHMC": replica_exchange("ChEESHMC"),
    "BlockGibbs": block_gibbs,
    "GibbsWithGradients": gibbs_with_gradients,
}
THEIRS: dict[str, Callable[[], Any]] = {
    "NumPyro's NUTS": theirs("NUTS"),
    "NumPyro's HMC": theirs("HMC"),
}
DISCRETE = ("BlockGibbs", "GibbsWithGradients")


def work(name: str) -> dict[str, float]:
    """Import, sample, compile; the CPU seconds of each."""
    import time

    began = time.process_time()
    import jax
    import jax.numpy as jnp
    from numpyro import infer

    if name in OURS:
        import ebm_ppl  # noqa: F401  # pyright: ignore[reportUnusedImport]
    imported = time.process_time()

    kernel = {**OURS, **THEIRS}[name]()
    mcmc = infer.MCMC(
        kernel,
        num_warmup=100,
        num_samples=100,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    start = None if name in DISCRETE else jnp.zeros((4, DIM))
    mcmc.run(jax.random.key(0), init_params=start)
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
    bound = medians["NumPyro's NUTS"]
    slower = [
        name
        for name in OURS
        if any(medians[name][part] > bound[part] for part in ("total", "compile"))
    ]
    if slower:
        raise SystemExit(f"Slower than NumPyro's NUTS: {', '.join(slower)}.")


if __name__ == "__main__":
    main()
