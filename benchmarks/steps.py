"""Microseconds a step of MALA and Langevin, beside BlackJAX, bare JAX and TorchEBM.

`python -m benchmarks.steps` runs kernels as `numpyro.infer.MCMC` does, in a compiled loop that keeps every
draw, with a given step size, in float32. All take turns in one process; the table has medians of CPU seconds
over turns, compilation apart, and the medians of the ratios within turns. BlackJAX's MALA is mapped over
chains; the last column is the largest difference of second moments and acceptances, in standard errors.
Langevin dynamics moves 10,000 particles in the quartic potential, whose gradient everybody leaves to
automatic differentiation. Peers that are not installed are left out, as
`pip install 'ebm-ppl[benchmarks]'` would have them.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

import ebm_ppl as ebm
from ebm_ppl.validation.chains import batch_functions

OURS = "ebm_ppl"
STEP_SIZE = 0.1
NUM_PARTICLES, LANGEVIN_STEP_SIZE = 10_000, 0.01

Run = Callable[[int], tuple[Any, Any]]
"""From a seed to the draws `(steps, chains, dim)` and the mean acceptance of each chain, if there is one."""


def quartic(z: Any) -> Any:
    """Two modes on the line."""
    return jnp.sum(z**4 / 4 - z**2)


def normal(z: Any) -> Any:
    """The standard normal law."""
    return 0.5 * jnp.sum(z**2)


def our_kernel(kernel: Any, shape: tuple[int, int], num_steps: int) -> Run:
    """A kernel of this package with a fixed step size."""
    init, sample = batch_functions(kernel, True)

    @jax.jit
    def run(rng_key: Any) -> tuple[Any, Any]:
        state = init(jax.random.split(rng_key, shape[0]), jnp.zeros(shape))

        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = sample(state)
            return state, state.z

        state, draws = jax.lax.scan(step, state, None, length=num_steps)
        return draws, state.mean_accept_prob

    return lambda seed: jax.block_until_ready(run(jax.random.key(seed)))


def blackjax_mala(potential: Any, shape: tuple[int, int], num_steps: int) -> Run:
    """BlackJAX's MALA, mapped over chains."""
    import blackjax

    kernel = blackjax.mala(lambda z: -potential(z), STEP_SIZE)

    @jax.jit
    def run(rng_key: Any) -> tuple[Any, Any]:
        states = jax.vmap(kernel.init)(jnp.zeros(shape))

        def step(carry: Any, rng_key: Any) -> tuple[Any, Any]:
            states, accepted = carry
            states, info = jax.vmap(kernel.step)(jax.random.split(rng_key, shape[0]), states)
            return (states, accepted + info.acceptance_rate), states.position

        keys = jax.random.split(rng_key, num_steps)
        (_, accepted), draws = jax.lax.scan(step, (states, jnp.zeros(shape[0])), keys)
        return draws, accepted / num_steps

    return lambda seed: jax.block_until_ready(run(jax.random.key(seed)))


def bare_langevin(num_steps: int) -> Run:
    """A scan over `jax.random.normal`."""
    gradient = jax.grad(quartic)

    @jax.jit
    def run(rng_key: Any) -> Any:
        def step(z: Any, rng_key: Any) -> tuple[Any, None]:
            noise = jax.random.normal(rng_key, z.shape)
            drift = LANGEVIN_STEP_SIZE * gradient(z)
            return z - drift + (2 * LANGEVIN_STEP_SIZE) ** 0.5 * noise, None

        start = jnp.zeros((NUM_PARTICLES, 1))
        return jax.lax.scan(step, start, jax.random.split(rng_key, num_steps))[0]

    return lambda seed: (jax.block_until_ready(run(jax.random.key(seed)))[None], None)


def our_langevin(num_steps: int) -> Run:
    """The kernel `Langevin`, of which only the last positions are kept."""
    kernel = ebm.Langevin(potential_fn=quartic, step_size=LANGEVIN_STEP_SIZE)
    init, sample = batch_functions(kernel, True)

    @jax.jit
    def run(rng_key: Any) -> Any:
        keys = jax.random.split(rng_key, NUM_PARTICLES)
        state = init(keys, jnp.zeros((NUM_PARTICLES, 1)))
        return jax.lax.fori_loop(0, num_steps, lambda _, state: sample(state), state).z

    return lambda seed: (jax.block_until_ready(run(jax.random.key(seed)))[None], None)


def torchebm_langevin(num_steps: int) -> Run:
    """TorchEBM's sampler."""
    import torch
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    torch.set_num_threads(1)

    class Quartic(BaseModel):
        def forward(self, x: Any) -> Any:
            return (x**4 / 4 - x**2).sum(dim=-1)

    sampler = LangevinDynamics(model=Quartic(), step_size=LANGEVIN_STEP_SIZE)

    def run(seed: int) -> tuple[Any, None]:
        torch.manual_seed(seed)
        draws = sampler.sample(x=torch.zeros(NUM_PARTICLES, 1), n_steps=num_steps)
        return draws.detach().numpy()[None], None

    return run


def contests(quick: bool) -> dict[str, tuple[int, dict[str, Run]]]:
    """By name: the number of steps, and the runs."""
    found: dict[str, tuple[int, dict[str, Run]]] = {}
    scale = 10 if quick else 1
    settings = ((quartic, (1, 1), 500_000), (normal, (4, 10), 100_000), (normal, (64, 10), 20_000))
    for potential, shape, num_steps in settings:
        count = num_steps // scale
        kernel = ebm.MALA(potential_fn=potential, step_size=STEP_SIZE, adapt_step_size=False)
        runs = {OURS: our_kernel(kernel, shape, count)}
        if importlib.util.find_spec("blackjax"):
            runs["BlackJAX"] = blackjax_mala(potential, shape, count)
        found[f"MALA, {shape[0]} chains, {shape[1]}-D"] = count, runs
    count = 1_000 // scale
    runs = {OURS: our_langevin(count), "bare JAX": bare_langevin(count)}
    if importlib.util.find_spec("torchebm"):
        runs["TorchEBM"] = torchebm_langevin(count)
    found[f"Langevin, {NUM_PARTICLES:,} particles"] = count, runs
    return found


def disagreement(first: tuple[Any, Any], second: tuple[Any, Any]) -> float:
    """Largest difference of mean squares and of acceptances, in standard errors from 20 parts of each."""

    def parts(values: Any) -> tuple[float, float]:
        means = [part.mean() for part in np.array_split(np.asarray(values, np.float64), 20)]
        return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(20))

    def gap(a: Any, b: Any) -> float:
        (mean_a, error_a), (mean_b, error_b) = parts(a), parts(b)
        return abs(mean_a - mean_b) / float(np.hypot(error_a, error_b))

    squares = [np.asarray(draws)[len(draws) // 10 :] ** 2 for draws, _ in (first, second)]
    if len(squares[0]) == 1:  # of particles, not of steps
        squares = [of[0] for of in squares]
    gaps = [gap(*squares)]
    if second[1] is not None and len(second[1]) >= 20:
        gaps.append(gap(first[1], second[1]))
    return max(gaps)


@click.command(help=__doc__)
@click.option("--turns", default=9, show_default=True)
@click.option("--quick", is_flag=True, help="A tenth of the steps.")
@click.option(
    "--one-cpu",
    is_flag=True,
    help="Keep the process to one CPU, on Linux; XLA spreads larger loops over all.",
)
def main(turns: int, quick: bool, one_cpu: bool) -> None:
    """Print a table."""
    if one_cpu:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before JAX makes its threads
    click.echo("| steps of | library | µs a step | times ours | disagreement, s.e. |")
    click.echo("| --- | --- | --- | --- | --- |")
    for name, (num_steps, runs) in contests(quick).items():
        results = {library: run(0) for library, run in runs.items()}
        seconds: dict[str, list[float]] = {library: [] for library in runs}
        for seed in range(1, turns + 1):
            for library, run in runs.items():
                began = time.process_time()
                run(seed)
                seconds[library].append(time.process_time() - began)
        for library, taken in seconds.items():
            pairs = zip(taken, seconds[OURS], strict=True)
            ratio = statistics.median(theirs / ours for theirs, ours in pairs)
            micros = statistics.median(taken) / num_steps * 1e6
            gap = "" if library == OURS else f"{disagreement(results[OURS], results[library]):.1f}"
            click.echo(f"| {name} | {library} | {micros:.3g} | {ratio:.3g} | {gap} |")


if __name__ == "__main__":
    main()
