"""The quartic family on the toy mixture: how near to maximum likelihood a fit comes, in what time.

`python -m benchmarks.quartic` fits fresh data sets of 5000 examples by exact maximum likelihood and by
persistent contrastive divergence, and prints for each the mean excess over the optimum of the same data,
found in double precision by code that shares nothing with the package's fits, and CPU seconds a fit. The
first fit, which compiles, is not counted.
"""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import jax
import numpy as np
import optax

import ebm_ppl as ebm
from ebm_ppl.trainers import newton, polyak_averaging, scale_by_fisher
from ebm_ppl.validation.datasets import two_normals
from ebm_ppl.validation.estimation import (
    QUARTIC,
    estimate_all,
    line,
    maximum_likelihood_estimator,
)

NUM_EXAMPLES = 5000
NUM_STEPS = 1000
NUM_BURN_IN = 150
NUM_NEWTON_STEPS = 12

NODES = line(7.0, 0.02)
NEAR = np.array([-1.26, 0.0, 0.132])
"""Where Newton's method for the optimum starts: maximum likelihood's limit, to three digits."""

Fitter = Callable[[jax.Array, jax.Array], Any]
"""From a random key and data to a fit."""


def persistent_cd(points: jax.Array) -> Fitter:
    """Persistent CD by random-walk moves that cross between the wells, along natural gradients.

    Args:
        points: Where the Fisher information is estimated: a few hundred points of any data set.

    Returns:
        A function from a key and data to the fit.
    """
    start = ebm.energies.Quartic(a=0.05, b=0.0, gamma=-0.5)
    optimizer = optax.chain(
        scale_by_fisher(start, points, damping=0.01),
        optax.scale_by_learning_rate(optax.linear_schedule(0.8, 0.08, NUM_STEPS)),
    )
    kernel = ebm.Moves(ebm.RandomWalkMetropolis, step_size=3.0)
    objective = ebm.PersistentCD(kernel, num_steps=2, num_chains=1000)
    return functools.partial(
        _fit, start, objective, optimizer, NUM_STEPS, polyak_averaging(NUM_BURN_IN)
    )


def exact_maximum_likelihood() -> Fitter:
    """Exact maximum likelihood by quadrature and Newton's method, from the same start."""
    start = ebm.energies.Quartic(a=0.05, b=0.0, gamma=-0.5)
    typical = ebm.energies.Quartic(a=-1.0, b=0.0, gamma=-2.0)
    objective = ebm.ExactMaximumLikelihood.for_energy(typical)
    return functools.partial(_fit, start, objective, newton(), NUM_NEWTON_STEPS, None)


def _fit(
    start: Any,
    objective: Any,
    optimizer: Any,
    num_steps: int,
    ema_decay: Any,
    rng_key: jax.Array,
    data: jax.Array,
) -> Any:
    return ebm.fit(
        start,
        data,
        objective,
        optimizer,
        rng_key=rng_key,
        num_steps=num_steps,
        batch_size=len(data),
        ema_decay=ema_decay,
        progress_bar=False,
    )


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one objective.

    Attributes:
        objective: Name of the objective.
        excess: Mean excess of the negative log likelihood over the optimum, nats an example.
        largest_excess: The largest.
        cpu_seconds: Mean CPU time of a fit that need not compile.
        wall_seconds: Median wall time of it.
        first_seconds: Wall time of the first fit, compilation included.
        num_fits: Number of data sets.
    """

    objective: str
    excess: float
    largest_excess: float
    cpu_seconds: float
    wall_seconds: float
    first_seconds: float
    num_fits: int


def measure(fitter: Fitter, data_sets: Sequence[jax.Array], seed: int) -> Row:
    """Fit every data set and hold each fit against the optimum."""
    estimator = maximum_likelihood_estimator(QUARTIC, NEAR, NODES)
    optima = estimate_all(estimator, np.stack(data_sets).astype(np.float64))
    keys = jax.random.split(jax.random.key(seed), len(data_sets))
    began = time.perf_counter()
    name = type(fitter(keys[0], data_sets[0]).objective).__name__
    first = time.perf_counter() - began
    excesses, cpu, wall = [], [], []
    for key, data, optimum in zip(keys, data_sets, optima, strict=True):
        before = time.process_time(), time.perf_counter()
        energy = jax.block_until_ready(fitter(key, data).energy)
        cpu.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
        found = np.array([energy.a, energy.b, np.exp(float(energy.gamma))], dtype=np.float64)
        excesses.append(excess_likelihood(found, optimum, np.asarray(data)))
    return Row(
        objective=name,
        excess=float(np.mean(excesses)),
        largest_excess=float(np.max(excesses)),
        cpu_seconds=float(np.mean(cpu)),
        wall_seconds=float(np.median(wall)),
        first_seconds=first,
        num_fits=len(excesses),
    )


def excess_likelihood(found: np.ndarray, optimum: np.ndarray, data: np.ndarray) -> float:
    """Mean negative log likelihood of the data at one parameter less that at another."""
    observed = np.mean(QUARTIC.statistics(data.astype(np.float64)), axis=0)
    difference = observed @ (found - optimum)
    return float(difference + QUARTIC.log_z(found, NODES) - QUARTIC.log_z(optimum, NODES))


@click.command(help=__doc__)
@click.option("--seed", type=int, default=0, help="Seed of data and chains.")
@click.option("--num-fits", type=click.IntRange(2), default=20, help="Data sets of each objective.")
@click.option("--out", type=click.Path(path_type=pathlib.Path), help="JSON file for the figures.")
def main(seed: int, num_fits: int, out: pathlib.Path | None) -> None:
    """Run the benchmark and print its table."""
    keys = jax.random.split(jax.random.key(seed), num_fits)
    data_sets = [two_normals().sample(key, NUM_EXAMPLES)[:, 0] for key in keys]
    fitters = (exact_maximum_likelihood(), persistent_cd(data_sets[0][:300]))
    rows = [measure(fitter, data_sets, seed + 1) for fitter in fitters]
    click.echo("| objective | mean excess | largest | CPU s | wall s | first fit s | fits |")
    click.echo("|---|---|---|---|---|---|---|")
    for row in rows:
        click.echo(
            f"| {row.objective} | {row.excess:.1e} | {row.largest_excess:.1e} | "
            f"{row.cpu_seconds:.3f} | {row.wall_seconds:.3f} | {row.first_seconds:.2f} | "
            f"{row.num_fits} |"
        )
    if out is not None:
        out.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
