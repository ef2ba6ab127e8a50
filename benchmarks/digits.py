"""Restricted Boltzmann machines on handwritten digits: held-out likelihood and time, beside scikit-learn.

`python -m benchmarks.digits` trains machines of 16 hidden units on scikit-learn's digits (8 x 8 pixels, 1
where at least half dark), of which a fifth is held out. The mean log likelihood of these, in nats, is exact:
the partition function is a sum over all states of the hidden layer. Persistent contrastive divergence is
watched on a tenth of the other digits and returns the parameters that were best there. It starts from the
directions in which the digits vary, the same for each seed, follows the centred gradient and averages its
parameters. All its settings, and those of the exact gradient, were chosen on digits split off the other four
fifths; the held-out ones had no part in it.

scikit-learn's `BernoulliRBM` (persistent too, learning rate 0.05, batches of 50) runs for fixed numbers of
epochs. These and its learning rate are known to be best from the held-out digits, which flatters it. The
methods take turns in one process. CPU seconds are those of all threads; a first fit holds compilation.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM

import ebm_ppl as ebm
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.trainers import Validation, centred

NUM_HIDDEN = 16
NUM_SEEDS = 5
WEIGHT_DECAY = 5e-4
WEIGHT_SCALE = 3.0
EPOCHS = (400, 1000)
NORMALIZER = ebm.EnumerationNormalizer()
LIKELIHOOD = ebm.ExactMaximumLikelihood(NORMALIZER)


Train = Callable[[int], RestrictedBoltzmannMachine]
"""From a seed to a trained machine."""


class Digits(NamedTuple):
    """Digits to learn from, to choose by, and to judge by."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def all_but_test(self) -> np.ndarray:
        """Digits to learn from where nothing is chosen."""
        return np.concatenate([self.training, self.validation])


def load() -> Digits:
    """Binarise the digits and split them, always in the same way."""
    pixels, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(
        (np.asarray(pixels) >= 8).astype(np.float32),
        test_size=0.2,
        random_state=0,
        stratify=labels,
    )
    training, validation = train_test_split(rest, test_size=0.1, random_state=0)
    return Digits(*(np.asarray(part) for part in (training, validation, test)))


def log_likelihood(machine: RestrictedBoltzmannMachine, points: np.ndarray) -> float:
    """Exact mean log likelihood in nats."""
    energies = np.asarray(jax.vmap(machine)(points), np.float64)
    return -float(energies.mean()) - NORMALIZER.exact(machine)


def optimizer(
    points: np.ndarray, learning_rate: float, num_steps: int
) -> optax.GradientTransformation:
    """Adam in centred coordinates, with a rate that falls to 0, and weights (not biases) that decay."""

    def are_weights(machine: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim == 2, machine)

    adam = optax.chain(
        optax.add_decayed_weights(WEIGHT_DECAY, are_weights),
        optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps)),
    )
    return centred(adam, points.mean(axis=0))


def persistent_cd(digits: Digits) -> Train:
    """Persistent CD with one Gibbs sweep a step, watched on the validation digits."""
    num_steps = 4000

    def loss(model: Any, batch: Any) -> jax.Array:
        return jnp.mean(LIKELIHOOD.losses(model, batch, None))

    objective = ebm.PersistentCD(ebm.BlockGibbs, num_steps=1, num_chains=256)
    rule = optimizer(digits.training, 0.015, num_steps)
    validation = Validation(data=digits.validation, metric=loss, every=500, patience=4)

    def train(seed: int) -> RestrictedBoltzmannMachine:
        return ebm.fit(
            RestrictedBoltzmannMachine.from_data(digits.training, NUM_HIDDEN, WEIGHT_SCALE),
            digits.training,
            objective,
            rule,
            rng_key=jax.random.key(seed),
            num_steps=num_steps,
            batch_size=128,
            ema_decay=0.99,
            validation=validation,
            progress_bar=False,
        ).energy

    return train


def exact_gradient(digits: Digits) -> Train:
    """The exact gradient of the likelihood of all digits but the held-out ones, for a fixed time."""
    num_steps = 800
    points = digits.all_but_test
    rule = optimizer(points, 0.05, num_steps)

    def train(seed: int) -> RestrictedBoltzmannMachine:
        return ebm.fit(
            RestrictedBoltzmannMachine.from_data(points, NUM_HIDDEN, WEIGHT_SCALE),
            points,
            LIKELIHOOD,
            rule,
            rng_key=jax.random.key(seed),
            num_steps=num_steps,
            batch_size=len(points),
            progress_bar=False,
        ).energy

    return train


def scikit_learn(digits: Digits, num_epochs: int) -> Train:
    """scikit-learn's machine on all digits but the held-out ones."""

    def train(seed: int) -> RestrictedBoltzmannMachine:
        machine = BernoulliRBM(
            NUM_HIDDEN, learning_rate=0.05, batch_size=50, n_iter=num_epochs, random_state=seed
        ).fit(digits.all_but_test)
        return RestrictedBoltzmannMachine(
            machine.components_.T, machine.intercept_visible_, machine.intercept_hidden_
        )

    return train


def report(name: str, values: Sequence[float], seconds: Sequence[float]) -> None:
    """Print a row of the table."""
    spread = f"{np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    click.echo(
        f"| {name} | {np.mean(values):.3f} | {spread} | {max(values):.3f} | {seconds[0]:.1f} | "
        f"{np.median(seconds):.1f} |"
    )


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--seeds", default=NUM_SEEDS, show_default=True, help="Number of fits of each kind.")
def main(seeds: int) -> None:
    """Print the table."""
    digits = load()
    methods = {"persistent CD": persistent_cd(digits)} | {
        f"scikit-learn, {num_epochs} epochs": scikit_learn(digits, num_epochs)
        for num_epochs in EPOCHS
    }
    values: dict[str, list[float]] = {name: [] for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}

    def fit(name: str, train: Train, seed: int) -> None:
        before = time.process_time()
        machine = jax.block_until_ready(train(seed))
        seconds.setdefault(name, []).append(time.process_time() - before)
        values.setdefault(name, []).append(log_likelihood(machine, digits.test))

    for seed in range(seeds):
        for name, train in methods.items():
            fit(name, train, seed)
    fit("exact gradient", exact_gradient(digits), 0)
    click.echo("| method | mean | sd | best | CPU s, first fit | CPU s, median |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    for name in values:
        report(name, values[name], seconds[name])


if __name__ == "__main__":
    main()
