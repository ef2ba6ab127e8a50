"""Spin updates a second on the Ising model: this package, bare JAX, and THRML.

`python -m benchmarks.ising` runs 16 chains on periodic square lattices, one thread, each implementation in a
process of its own, in turns, and prints millions of spin updates per CPU second (the best of the turns,
which is what the machine can do) and the seconds until the first sweep, which hold imports, the building of
graphs, and compilation. THRML is left out if it is not installed: `pip install thrml==0.1.4`.

The bare version is a compact half-lattice in JAX alone, with JAX's own uniform numbers; this package runs
`BlockGibbs` with the potential energy of each state, as NumPyro's `MCMC` would have it.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import click

COUPLING = 0.4
NUM_CHAINS = 16
SIZES = (64, 256)
TURNS = 3
SPINS_A_TURN = 3e7

Sampler = Callable[[int], Any]
"""Makes as many sweeps as it is told, and waits for them."""


def with_ebm_ppl(size: int, num_sweeps: int) -> Sampler:
    """`BlockGibbs` on `Ising`: states, their energies, and all that a kernel's state holds."""
    import jax
    import jax.numpy as jnp

    import ebm_ppl as ebm

    kernel = ebm.BlockGibbs(
        potential_fn=ebm.potential_fn(ebm.energies.Ising((size, size), COUPLING))
    )

    @jax.jit
    def run(key: jax.Array) -> Any:
        keys = jax.random.split(key, NUM_CHAINS)
        state = kernel.init(keys, 0, jnp.ones((NUM_CHAINS, size, size)))
        return jax.lax.fori_loop(0, num_sweeps, lambda _, state: kernel.sample(state), state)

    return lambda seed: jax.block_until_ready(run(jax.random.key(seed)))


def with_bare_jax(size: int, num_sweeps: int) -> Sampler:
    """Two half-lattices of all chains, one draw of uniform numbers for each."""
    import jax
    import jax.numpy as jnp

    is_odd_row = (jnp.arange(size) % 2 == 1)[:, None]

    def redraw(key: jax.Array, other: jax.Array, is_shifted: jax.Array) -> jax.Array:
        beside = jnp.where(is_shifted, jnp.roll(other, -1, 2), jnp.roll(other, 1, 2))
        total = other + beside + jnp.roll(other, 1, 1) + jnp.roll(other, -1, 1)
        up = jax.random.uniform(key, other.shape) < jax.nn.sigmoid(2 * COUPLING * total)
        return jnp.where(up, 1.0, -1.0)

    def sweep(halves: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[Any, None]:
        black, white = halves
        first, second = jax.random.split(key)
        black = redraw(first, white, is_odd_row)
        return (black, redraw(second, black, ~is_odd_row)), None

    @jax.jit
    def run(key: jax.Array) -> Any:
        half = jnp.ones((NUM_CHAINS, size, size // 2))
        return jax.lax.scan(sweep, (half, half), jax.random.split(key, num_sweeps))[0]

    return lambda seed: jax.block_until_ready(run(jax.random.key(seed)))


def with_thrml(size: int, num_sweeps: int) -> Sampler:
    """THRML's `IsingSamplingProgram` on the two colours, mapped over chains."""
    import jax
    import jax.numpy as jnp
    import thrml
    from thrml.models import IsingEBM, IsingSamplingProgram

    nodes = [[thrml.SpinNode() for _ in range(size)] for _ in range(size)]
    edges = [
        (nodes[row][column], other)
        for row in range(size)
        for column in range(size)
        for other in (nodes[(row + 1) % size][column], nodes[row][(column + 1) % size])
    ]
    flat = [node for row in nodes for node in row]
    model = IsingEBM(
        flat, edges, jnp.zeros(len(flat)), jnp.full(len(edges), COUPLING), jnp.array(1.0)
    )
    colours = [
        thrml.Block([nodes[i][j] for i in range(size) for j in range(size) if (i + j) % 2 == one])
        for one in (0, 1)
    ]
    program = IsingSamplingProgram(model, list(colours), [])
    schedule = thrml.SamplingSchedule(n_warmup=num_sweeps - 1, n_samples=1, steps_per_sample=1)

    @jax.jit
    def run(key: jax.Array) -> Any:
        start = [jnp.ones(len(block.nodes), dtype=bool) for block in colours]
        return jax.vmap(
            lambda key: thrml.sample_states(key, program, schedule, start, [], colours)
        )(jax.random.split(key, NUM_CHAINS))

    return lambda seed: jax.block_until_ready(run(jax.random.key(seed)))


IMPLEMENTATIONS = {"ebm_ppl": with_ebm_ppl, "bare JAX": with_bare_jax, "THRML": with_thrml}


def serve(name: str, size: int) -> None:
    """Answer with the seconds to the first sweep, then with CPU seconds for each line read."""
    num_sweeps = max(1, round(SPINS_A_TURN / (NUM_CHAINS * size**2)))
    start = time.perf_counter()
    sampler = IMPLEMENTATIONS[name](size, num_sweeps)
    sampler(0)
    click.echo(json.dumps(time.perf_counter() - start))
    for seed, _ in enumerate(sys.stdin, start=1):
        before = time.process_time()
        sampler(seed)
        seconds = time.process_time() - before
        click.echo(json.dumps(num_sweeps * NUM_CHAINS * size**2 / seconds / 1e6))


def compare(size: int) -> None:
    """Run all implementations in turns and print a row for each."""
    names = [
        name
        for name in IMPLEMENTATIONS
        if name != "THRML" or importlib.util.find_spec("thrml") is not None
    ]
    flags = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}
    flags |= {"OMP_NUM_THREADS": "1", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    workers = {}
    first = {}
    for name in names:  # one after the other, since the first answer holds what compilation takes
        workers[name] = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ising", "--serve", name, "--size", str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | flags,
        )
        first[name] = json.loads(workers[name].stdout.readline())
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(TURNS):
        for name, worker in workers.items():
            worker.stdin.write("\n")
            worker.stdin.flush()
            rates[name].append(json.loads(worker.stdout.readline()))
    for name, worker in workers.items():
        worker.stdin.close()
        worker.wait()
        click.echo(
            f"| {size}² | {name} | {max(rates[name]):.1f} | {min(rates[name]):.1f} | "
            f"{first[name]:.1f} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", choices=IMPLEMENTATIONS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help="one size of lattice, in place of 64 and 256")
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve, arguments.size)
        return
    click.echo(
        "| lattice | implementation | M spin updates / CPU s, best | worst | first sweeps, s |"
    )
    click.echo("| --- | --- | --- | --- | --- |")
    for size in SIZES if arguments.size is None else (arguments.size,):
        compare(size)


if __name__ == "__main__":
    main()
