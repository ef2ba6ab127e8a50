"""Bars and stripes: contrastive divergence unlearns them, replica exchange learns them.

`python -m benchmarks.bars_and_stripes --out docs/examples` trains restricted Boltzmann machines of 16 hidden
units on the 30 pictures of 4 x 4 pixels whose rows, or whose columns, are of one colour each. No law gives
them a higher log likelihood than 30 log(1/30) = -102.04 nats in all. The log likelihood of a machine is
exact: the partition function is a sum over all states of the hidden layer. A picture shows it along fits
with several seeds, by negative examples of three kinds, and a table where they end.

The learning rates were chosen on other seeds.
"""

import itertools
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import ebm_ppl as ebm
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.trainers import AbstractObjective, Validation, centred

SIDE = 4
NUM_HIDDEN = 16
NUM_EVALUATIONS = 50
LIKELIHOOD = ebm.ExactMaximumLikelihood(ebm.EnumerationNormalizer())


def patterns() -> np.ndarray:
    """All pictures of bars and stripes, shape `(30, 16)`: the full and the empty one are both."""
    lines = np.array(list(itertools.product((0.0, 1.0), repeat=SIDE)))
    stripes = np.repeat(lines[:, :, None], SIDE, axis=2)
    pictures = np.concatenate([stripes, np.swapaxes(stripes, 1, 2)])
    return np.unique(pictures.reshape(-1, SIDE**2), axis=0)


PATTERNS = patterns()
BOUND = -len(PATTERNS) * np.log(len(PATTERNS))


class Setting(NamedTuple):
    """How a machine is trained."""

    objective: AbstractObjective
    optimizer: optax.GradientTransformation
    num_steps: int
    ema_decay: float | None = None


def settings(scale: float = 1.0) -> dict[str, Setting]:
    """What is compared, by name; `scale` shortens the fits."""
    long, short = round(50_000 * scale), round(20_000 * scale)
    rule = centred(optax.adam(optax.cosine_decay_schedule(0.01, short)), PATTERNS.mean(axis=0))
    persistent = ebm.PersistentCD(ebm.BlockGibbs, num_steps=1, num_chains=500)
    exchanged = ebm.ReplicaExchangeCD(scales=10, num_chains=100)
    return {
        "CD-1": Setting(ebm.ContrastiveDivergence(ebm.BlockGibbs), optax.sgd(0.05), long),
        "persistent CD": Setting(persistent, optax.sgd(0.05), long),
        "persistent CD, centred Adam": Setting(persistent, rule, short, ema_decay=0.99),
        "replica exchange": Setting(exchanged, optax.sgd(0.05), short),
        "replica exchange, centred Adam": Setting(exchanged, rule, short, ema_decay=0.99),
    }


def curve(setting: Setting, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Train one machine; the numbers of steps at evaluations, and the log likelihoods of all pictures."""

    def loss(model: Any, batch: Any) -> jax.Array:
        return len(PATTERNS) * jnp.mean(LIKELIHOOD.losses(model, batch, None))

    key_start, key_fit = jax.random.split(jax.random.key(seed))
    fit = ebm.fit(
        RestrictedBoltzmannMachine.random(key_start, SIDE**2, NUM_HIDDEN, weight_scale=0.1),
        PATTERNS,
        setting.objective,
        setting.optimizer,
        rng_key=key_fit,
        num_steps=setting.num_steps,
        ema_decay=setting.ema_decay,
        validation=Validation(
            data=PATTERNS, metric=loss, every=max(1, setting.num_steps // NUM_EVALUATIONS)
        ),
        progress_bar=False,
    )
    return fit.history.coords["evaluation_step"], -fit.history["validation"]


def plot(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], path: pathlib.Path) -> None:
    """Log likelihoods along the fits, one line a seed, and the bound that none can pass."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.axhline(BOUND, color="0.4", linewidth=0.8, linestyle="--")
    axes.annotate("bound", (0, BOUND), (-18, 3), textcoords="offset points", fontsize=8)
    for number, (name, (steps, values)) in enumerate(curves.items()):
        axes.plot(steps, values.T, color=f"C{number}", linewidth=0.9, alpha=0.8)
        axes.plot([], color=f"C{number}", label=name)
    axes.set_ylim(-260, -95)
    axes.set_xlabel("updates")
    axes.set_ylabel("log likelihood of 30 pictures, nats")
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path / "bars_and_stripes.png", dpi=130)


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--seeds", default=5, show_default=True, help="Number of fits of each kind.")
@click.option("--scale", default=1.0, show_default=True, help="Share of the updates.")
@click.option("--out", type=click.Path(path_type=pathlib.Path), default=pathlib.Path())
def main(seeds: int, scale: float, out: pathlib.Path) -> None:
    """Print the table and draw the picture."""
    click.echo(f"bound: {BOUND:.2f}")
    click.echo("| negative examples | best | at half | last | CPU s of a fit |")
    click.echo("| --- | --- | --- | --- | --- |")
    curves = {}
    for name, setting in settings(scale).items():
        began = time.process_time()
        runs = [curve(setting, seed) for seed in range(seeds)]
        seconds = (time.process_time() - began) / seeds
        values = np.stack([one for _, one in runs])
        curves[name] = runs[0][0], values
        shown = values.max(axis=1), values[:, values.shape[1] // 2], values[:, -1]
        columns = " | ".join(f"{part.min():.1f} to {part.max():.1f}" for part in shown)
        click.echo(f"| {name} | {columns} | {seconds:.0f} |")
    plot(curves, out)


if __name__ == "__main__":
    main()
