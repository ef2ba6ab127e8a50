"""What registration costs: NumPyro's NUTS on our potentials and on hand-written ones.

`python -m benchmarks.registration` runs NUTS on the potential that `ebm_ppl.potential_fn` makes of an energy,
and on the same potential written out. They take turns in one process and on one thread. The table has the
medians of CPU seconds, compilation apart, and the median of the ratios of the turns, with the second
smallest and the second largest; and by how much the potentials differ at a hundred points, up to a constant.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import statistics
import time
from collections.abc import Callable
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from numpyro.infer import NUTS

import ebm_ppl as ebm
from ebm_ppl.validation.chains import batch_functions

Potential = Callable[[Any], Any]

_COVARIANCE = np.diag([1.0, 2.0, 3.0, 4.0, 5.0])
_FACTOR = np.linalg.cholesky(_COVARIANCE)


def pairs() -> dict[str, tuple[ebm.AbstractEnergy, Potential, tuple[int, ...]]]:
    """Energies, their potentials written out, and the shape of a position."""

    def double_well(z: Any) -> Any:
        return 2.0 * ((0.8 * z[0]) ** 2 - 1) ** 2 + 0.5 * z[1] ** 2

    def normal(z: Any) -> Any:
        return 0.5 * z @ cho_solve((jnp.asarray(_FACTOR, z.dtype), True), z)

    def gamma(z: Any) -> Any:  # of x = exp(z), with the log-Jacobian
        return 2.0 * jnp.exp(z) - 2.0 * z - z

    return {
        "double well, 2-D": (ebm.energies.DoubleWell(dim=2), double_well, (2,)),
        "normal, 5-D": (ebm.energies.Gaussian(np.zeros(5), _COVARIANCE), normal, (5,)),
        "gamma": (ebm.energies.Gamma(concentration=3.0, rate=2.0), gamma, ()),
    }


def run_of(potential: Potential, shape: tuple[int, ...], num_steps: int) -> Callable[[int], Any]:
    """A compiled run, from a seed to the draws."""
    init, sample = batch_functions(NUTS(potential_fn=potential), True, 500)

    @jax.jit
    def run(rng_key: Any) -> Any:
        state = init(jax.random.split(rng_key, 1), jnp.zeros((1, *shape)))
        state = jax.lax.fori_loop(0, 500, lambda _, state: sample(state), state)
        return jax.lax.scan(
            lambda state, _: ((state := sample(state)), state.z), state, None, length=num_steps
        )[1]

    return lambda seed: jax.block_until_ready(run(jax.random.key(seed)))


def seconds(run: Callable[[int], Any], seed: int) -> float:
    """CPU seconds of a run."""
    began = time.process_time()
    run(seed)
    return time.process_time() - began


@click.command(help=__doc__)
@click.option("--turns", default=21, show_default=True)
@click.option("--steps", default=20_000, show_default=True, help="Draws of a run.")
def main(turns: int, steps: int) -> None:
    """Print a table; exit with 1 if a median is above 1.02."""
    click.echo("| energy | ours, s | written out, s | ratio | range | potentials differ by |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    worst = 0.0
    for name, (energy, written_out, shape) in pairs().items():
        ours, theirs = (run_of(p, shape, steps) for p in (ebm.potential_fn(energy), written_out))
        points = jax.random.normal(jax.random.key(0), (100, *shape))
        both = [np.asarray(jax.vmap(p)(points)) for p in (ebm.potential_fn(energy), written_out)]
        gap = float(np.ptp(both[0] - both[1]))
        for run in (ours, theirs):
            run(0)
        times = []
        for turn in range(1, turns + 1):  # who goes first changes from turn to turn
            first, second = (ours, theirs) if turn % 2 else (theirs, ours)
            pair = seconds(first, turn), seconds(second, turn)
            times.append(pair if turn % 2 else pair[::-1])
        ratios = sorted(a / b for a, b in times)
        ratio = statistics.median(ratios)
        worst = max(worst, ratio)
        mine, other = (statistics.median(column) for column in zip(*times, strict=True))
        spread = f"{ratios[1]:.3f} to {ratios[-2]:.3f}"
        click.echo(f"| {name} | {mine:.3f} | {other:.3f} | {ratio:.3f} | {spread} | {gap:.1g} |")
    raise SystemExit(int(worst > 1.02))


if __name__ == "__main__":
    main()
