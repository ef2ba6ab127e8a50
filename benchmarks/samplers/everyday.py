"""Everyday models: what warm-up costs, and effective draws per CPU second beside NumPyro's NUTS.

`python -m benchmarks.samplers.everyday` runs each sampler in one compiled loop from uniform starts, in
float32, on one thread; it is compiled by a first run and timed in further ones, in turn with the others. A
sampler's figure is the smallest bulk ESS over all first and second moments per CPU second, warm-up included,
the median over runs; it stands in brackets if the largest R-hat of these is above 1.01. No moments are known
here: "from NUTS" is the largest distance from those of four chains of NUTS, in joint standard errors. The
gradients of warm-up are told in units of those of as many draws.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import math
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS

from benchmarks.samplers.models import NAMES, Posterior, posterior
from benchmarks.samplers.report import LARGEST_R_HAT, geometric_mean
from ebm_ppl.samplers import MAMS, ChEESHMC
from ebm_ppl.validation.chains import batch_functions
from ebm_ppl.validation.diagnostics import convergence


class Sampler(NamedTuple):
    """A kernel and how long it runs.

    Attributes:
        name: Its name in the table.
        kernel: Its class.
        num_chains: Number of chains.
        num_warmup: Steps of warm-up.
        num_samples: Draws of each chain.
        in_turn: Whether chains run one after the other.
    """

    name: str
    kernel: Callable[..., Any]
    num_chains: int
    num_warmup: int
    num_samples: int
    in_turn: bool = False


class Run(NamedTuple):
    """Draws of shape `(chains, samples, dim)`, and gradients of a chain in warm-up and after it."""

    draws: jax.Array
    in_warmup: jax.Array
    in_draws: jax.Array


class Moments(NamedTuple):
    """Means of all coordinates and of their squares, with standard errors, and how well chains agree."""

    means: np.ndarray
    errors: np.ndarray
    ess: float
    r_hat: float


SAMPLERS = (
    Sampler("ChEESHMC", ChEESHMC, 64, 400, 600),
    Sampler("MAMS", MAMS, 64, 400, 600),
    Sampler("ChEESHMC", ChEESHMC, 4, 1000, 1000),
    Sampler("MAMS", MAMS, 4, 1000, 1000),
    Sampler("NUTS", NUTS, 4, 1000, 1000),
    Sampler("NUTS, one by one", NUTS, 4, 1000, 1000, in_turn=True),
)


def compiled(sampler: Sampler, target: Posterior) -> Callable[[jax.Array], Run]:
    """The whole run as one program, or as one a chain."""
    num_chains = 1 if sampler.in_turn else sampler.num_chains
    init, sample = batch_functions(
        sampler.kernel(potential_fn=target.potential), True, sampler.num_warmup
    )

    def advance(state: Any, _: None) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        state = sample(state)
        steps = state.num_steps if hasattr(state, "num_steps") else state.auxiliary.num_steps
        return state, (state.z, steps)

    @jax.jit
    def run(rng_key: jax.Array) -> Run:
        key_start, key_run = jax.random.split(rng_key)
        start = jax.random.uniform(key_start, (num_chains, target.dim), minval=-2.0, maxval=2.0)
        state = init(jax.random.split(key_run, num_chains), start)
        count = lambda state, _: ((new := advance(state, None))[0], new[1][1])  # noqa: E731
        state, in_warmup = jax.lax.scan(count, state, length=sampler.num_warmup)
        _, (draws, in_draws) = jax.lax.scan(advance, state, length=sampler.num_samples)
        return Run(jnp.swapaxes(draws, 0, 1), jnp.mean(in_warmup), jnp.mean(in_draws))

    if not sampler.in_turn:
        return run

    def one_by_one(rng_key: jax.Array) -> Run:
        runs = [run(key) for key in jax.random.split(rng_key, sampler.num_chains)]
        return jax.tree.map(lambda *parts: jnp.concatenate(jnp.atleast_1d(*parts)), *runs)

    return one_by_one


def moments(draws: jax.Array) -> Moments:
    """What the draws say."""
    values = np.asarray(draws, np.float64)
    both = np.concatenate([values, values**2], axis=2)
    found = [convergence(both[..., index]) for index in range(both.shape[2])]
    return Moments(
        both.mean((0, 1)),
        np.array([one.mcse_mean for one in found]),
        min(one.ess_bulk for one in found),
        max(one.rhat for one in found),
    )


def measure(name: str, samplers: tuple[Sampler, ...], num_runs: int) -> list[dict[str, Any]]:
    """Run all samplers on a model, pair by pair, and summarise."""
    target = posterior(name)
    programs = [compiled(sampler, target) for sampler in samplers]
    for program in programs:
        jax.block_until_ready(program(jax.random.key(0)))
    found: list[list[tuple[Moments, float, float]]] = [[] for _ in samplers]
    for seed in range(1, num_runs + 1):
        for rows, program in zip(found, programs, strict=True):
            began = time.process_time()
            run = jax.block_until_ready(program(jax.random.key(seed)))
            seconds = time.process_time() - began
            cost = float(np.mean(run.in_warmup) / np.mean(run.in_draws))  # means over steps
            rows.append((moments(run.draws), seconds, cost))
    peers = [rows for sampler, rows in zip(samplers, found, strict=True) if "NUTS" in sampler.name]
    rows = []
    for sampler, runs in zip(samplers, found, strict=True):
        row = {
            "sampler": sampler.name,
            "chains": sampler.num_chains,
            "rate": statistics.median(one.ess / seconds for one, seconds, _ in runs),
            "ess": statistics.median(one.ess for one, *_ in runs),
            "seconds": statistics.median(seconds for _, seconds, _ in runs),
            "warm-up": statistics.median(cost for *_, cost in runs),
            "r_hat": statistics.median(one.r_hat for one, *_ in runs),
            "distance": statistics.median(
                _distance(one, peer) for (one, *_), (peer, *_) in zip(runs, peers[-1], strict=True)
            )
            if peers
            else math.nan,
        }
        rows.append(row | {"counts": row["r_hat"] <= LARGEST_R_HAT})
    return rows


def _distance(one: Moments, other: Moments) -> float:
    gaps = np.abs(one.means - other.means)
    return float(np.max(gaps / np.hypot(one.errors, other.errors)))


def ratios(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Our best over the best NUTS, with 64 chains and with four; `None` where either does not count."""

    def best(chains: int, is_ours: bool) -> float | None:
        rates = [
            row["rate"]
            for row in rows
            if row["counts"] and row["chains"] == chains and is_ours != ("NUTS" in row["sampler"])
        ]
        return max(rates, default=None)

    peer = best(4, is_ours=False)
    ours = {"64 chains": best(64, is_ours=True), "4 chains": best(4, is_ours=True)}
    return {name: rate / peer if rate and peer else None for name, rate in ours.items()}


def table(title: str, rows: list[dict[str, Any]]) -> str:
    """The figures of a model as Markdown."""
    heading = (
        "| sampler | chains | ESS / CPU s | ESS | CPU s | warm-up | from NUTS | R-hat |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    lines = [f"\n### {title}\n", heading]
    for row in rows:
        rate = f"{row['rate']:.3g}" if row["counts"] else f"({row['rate']:.3g})"
        lines.append(
            f"| {row['sampler']} | {row['chains']} | {rate} | {row['ess']:.0f} | {row['seconds']:.2f} | "
            f"{row['warm-up']:.2f} | {row['distance']:.1f} | {row['r_hat']:.3f} |"
        )
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--model", "names", multiple=True, type=click.Choice(NAMES), help="All by default.")
@click.option("--sampler", "chosen", multiple=True, help="Names of samplers; all by default.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True)
@click.option("--out", type=click.Path(path_type=pathlib.Path), help="JSON file for the figures.")
def main(
    names: tuple[str, ...], chosen: tuple[str, ...], runs: int, out: pathlib.Path | None
) -> None:
    """Print a table for each model, and the ratios."""
    samplers = tuple(one for one in SAMPLERS if not chosen or one.name in chosen)
    results = {}
    for name in names or NAMES:
        results[name] = measure(name, samplers, runs)
        click.echo(table(posterior(name).title, results[name]))
        if out is not None:
            out.write_text(json.dumps(results, indent=2) + "\n")
    for contest in ("64 chains", "4 chains"):
        found = {name: ratios(rows)[contest] for name, rows in results.items()}
        known = [ratio for ratio in found.values() if ratio is not None]
        if known:
            cells = ", ".join(
                f"{name} {'–' if r is None else f'{r:.3g}'}" for name, r in found.items()
            )
            click.echo(
                f"\nOur best with {contest} over NUTS: {cells}; mean {geometric_mean(known):.3g}"
            )


if __name__ == "__main__":
    main()
