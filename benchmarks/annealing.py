r"""CPU seconds of annealed importance sampling on a restricted Boltzmann machine, beside bare JAX and `rbms`.

`python -m benchmarks.annealing` anneals 10,000 chains over 1,000 temperatures to a machine of 64 visible and
16 hidden units with known log Z. Each turn runs every implementation once, in one process and on one thread,
so that pairs share what else the machine does; the table has medians over turns, and the median of the
ratios within turns. All are compiled and warmed up before.

The bare versions are one loop in JAX alone, of the same arithmetic, with the hidden units' inputs computed
once a step for weights and sweep: once with JAX's own random numbers, once with this package's generator,
which gives the same bits faster. `rbms` (PyTorch) is left out if it is not installed:
`pip install rbms==0.5.0`.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._random import fast_key
from ebm_ppl.annealing import LinearPath
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.partition import EnumerationNormalizer, annealed_importance_sampling

VISIBLE, HIDDEN = 64, 16
OURS = "ebm_ppl"

Run = Callable[[int], float]
"""Estimates log Z from a seed."""


def with_ebm_ppl(machine: RestrictedBoltzmannMachine, chains: int, temperatures: int) -> Run:
    """The estimator of this package, with its interval and warnings."""
    path = LinearPath(machine)

    def run(seed: int) -> float:
        key = jax.random.key(seed)
        estimate = annealed_importance_sampling(path, key, num_chains=chains, schedule=temperatures)
        return estimate.log_z

    return run


def with_bare_jax(
    machine: RestrictedBoltzmannMachine,
    chains: int,
    temperatures: int,
    as_key: Callable[[Any], Any] = lambda key: key,
) -> Run:
    """One loop, written out."""
    couplings, visible, hidden = machine.weights, machine.visible_bias, machine.hidden_bias
    ladder = jnp.linspace(0.0, 1.0, temperatures + 1)
    softplus, sigmoid = jax.nn.softplus, jax.nn.sigmoid

    def step(carry: Any, level: Any) -> Any:
        v, log_weights = carry
        start, end, key = level
        inputs = hidden + v @ couplings
        log_weights += (end - start) * (v @ visible)
        log_weights += jnp.sum(softplus(end * inputs) - softplus(start * inputs), axis=1)
        key_hidden, key_visible = jax.random.split(key)
        h = jax.random.bernoulli(key_hidden, sigmoid(end * inputs)).astype(float)
        mean = sigmoid(end * (visible + h @ couplings.T))
        return (jax.random.bernoulli(key_visible, mean).astype(float), log_weights), None

    @jax.jit
    def anneal(key: Any) -> Any:
        key_start, key_steps = jax.random.split(as_key(key))
        v = jax.random.bernoulli(key_start, 0.5, (chains, VISIBLE)).astype(float)
        keys = jax.random.split(key_steps, temperatures)
        levels = (ladder[:-1], ladder[1:], keys)
        (_, log_weights), _ = jax.lax.scan(step, (v, jnp.zeros(chains)), levels)
        return jax.nn.logsumexp(log_weights) - jnp.log(1.0 * chains)

    return lambda seed: float(anneal(jax.random.key(seed))) + (VISIBLE + HIDDEN) * float(np.log(2))


def with_rbms(machine: RestrictedBoltzmannMachine, chains: int, temperatures: int) -> Run:
    """The estimator of the package `rbms`."""
    import torch  # pyright: ignore[reportMissingImports]
    from rbms.bernoulli_bernoulli.classes import BBRBM  # pyright: ignore[reportMissingImports]
    from rbms.partition_function.ais import (  # pyright: ignore[reportMissingImports]
        compute_partition_function_ais,
    )

    torch.set_num_threads(1)
    leaves = (machine.weights, machine.visible_bias, machine.hidden_bias)
    params = BBRBM(*(torch.tensor(np.asarray(leaf)) for leaf in leaves))

    def run(seed: int) -> float:
        torch.manual_seed(seed)
        with torch.no_grad():
            return compute_partition_function_ais(chains, temperatures + 1, params)

    return run


def implementations(chains: int, temperatures: int) -> tuple[dict[str, Run], float]:
    """What is compared, by name, and the exact log Z."""
    key = jax.random.key(0)
    machine = RestrictedBoltzmannMachine.random(key, VISIBLE, HIDDEN, 0.3)
    arguments = (machine, chains, temperatures)
    runs = {
        OURS: with_ebm_ppl(*arguments),
        "bare JAX": with_bare_jax(*arguments),
        "bare JAX, fast generator": with_bare_jax(*arguments, fast_key),
    }
    if importlib.util.find_spec("rbms"):
        runs["rbms"] = with_rbms(*arguments)
    return runs, float(EnumerationNormalizer()(machine))


def measure(runs: dict[str, Run], turns: int) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds and estimate of each implementation in each turn."""
    for run in runs.values():
        run(0)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(1, turns + 1):
        for name, run in runs.items():
            began = time.process_time()
            log_z = run(turn)
            results[name].append((time.process_time() - began, log_z))
    return results


@click.command(help=__doc__)
@click.option("--chains", default=10_000, show_default=True)
@click.option("--temperatures", default=1_000, show_default=True)
@click.option("--turns", default=5, show_default=True)
def main(chains: int, temperatures: int, turns: int) -> None:
    """Measure and print the table."""
    runs, exact = implementations(chains, temperatures)
    results = measure(runs, turns)
    ours = [seconds for seconds, _ in results[OURS]]
    click.echo("| implementation | CPU seconds | times ours | largest error of log Z |")
    click.echo("| --- | --- | --- | --- |")
    for name, turn in results.items():
        seconds = [one for one, _ in turn]
        ratio = statistics.median(a / b for a, b in zip(seconds, ours, strict=True))
        error = max(abs(log_z - exact) for _, log_z in turn)
        click.echo(f"| {name} | {statistics.median(seconds):.2f} | {ratio:.2f} | {error:.4f} |")


if __name__ == "__main__":
    main()
