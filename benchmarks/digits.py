"""Restricted Boltzmann machines on handwritten digits: held-out likelihood and time, beside scikit-learn.

`python -m benchmarks.digits` trains machines of 16 hidden units on scikit-learn's digits (8 x 8 pixels, 1
where at least half dark), of which a fifth is held out. The mean log likelihood of these, in nats, is exact:
the partition function is a sum over all states of the hidden layer. Persistent contrastive divergence is
watched on a tenth of the other digits and returns the parameters that were best there; scikit-learn's
`BernoulliRBM` (persistent too, learning rate 0.05, batches of 50) runs for fixed numbers of epochs, of which
the best is known from the held-out digits alone. The learning rate, the chains and the numbers of steps
were chosen on the same held-out digits, for both, which flatters both. CPU seconds are those of all
threads, and of the first fit hold compilation.
"""

import time
from collections.abc import Callable
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
from ebm_ppl.trainers import Validation

NUM_HIDDEN = 16
NUM_SEEDS = 5
WEIGHT_DECAY = 5e-4
EPOCHS = (400, 1000)
NORMALIZER = ebm.EnumerationNormalizer()
LIKELIHOOD = ebm.ExactMaximumLikelihood(NORMALIZER)


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


def start(points: np.ndarray, rng_key: jax.Array) -> RestrictedBoltzmannMachine:
    """A machine with the marginals of the data, smoothed by half a pixel."""
    mean = (points.sum(axis=0) + 0.5) / (len(points) + 1)
    return RestrictedBoltzmannMachine.random(rng_key, points.shape[1], NUM_HIDDEN, 0.1, mean)


def optimizer(learning_rate: float, num_steps: int) -> optax.GradientTransformation:
    """Adam with a rate that falls to 0, and weights (not biases) that decay."""

    def are_weights(machine: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim == 2, machine)

    return optax.chain(
        optax.add_decayed_weights(WEIGHT_DECAY, are_weights),
        optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps)),
    )


def persistent_cd(digits: Digits) -> Callable[[int], RestrictedBoltzmannMachine]:
    """Persistent CD with one Gibbs sweep a step, watched on the validation digits."""
    num_steps, num_chains = 10_000, 500

    def loss(model: Any, batch: Any) -> jax.Array:
        return jnp.mean(LIKELIHOOD.losses(model, batch, None))

    objective = ebm.PersistentCD(ebm.BlockGibbs, num_steps=1, num_chains=num_chains)
    rule = optimizer(0.02, num_steps)
    validation = Validation(data=digits.validation, metric=loss, every=1000, patience=5)

    def train(seed: int) -> RestrictedBoltzmannMachine:
        key_start, key_fit = jax.random.split(jax.random.key(seed))
        return ebm.fit(
            start(digits.training, key_start),
            digits.training,
            objective,
            rule,
            rng_key=key_fit,
            num_steps=num_steps,
            batch_size=num_chains,
            validation=validation,
            progress_bar=False,
        ).energy

    return train


def exact_gradient(digits: Digits) -> Callable[[int], RestrictedBoltzmannMachine]:
    """The exact gradient of the likelihood of all digits but the held-out ones, for a fixed time."""
    num_steps = 1200
    points = digits.all_but_test
    rule = optimizer(0.05, num_steps)

    def train(seed: int) -> RestrictedBoltzmannMachine:
        key_start, key_fit = jax.random.split(jax.random.key(seed))
        return ebm.fit(
            start(points, key_start),
            points,
            LIKELIHOOD,
            rule,
            rng_key=key_fit,
            num_steps=num_steps,
            batch_size=len(points),
            progress_bar=False,
        ).energy

    return train


def scikit_learn(digits: Digits, num_epochs: int) -> Callable[[int], RestrictedBoltzmannMachine]:
    """scikit-learn's machine on all digits but the held-out ones."""

    def train(seed: int) -> RestrictedBoltzmannMachine:
        machine = BernoulliRBM(
            NUM_HIDDEN, learning_rate=0.05, batch_size=50, n_iter=num_epochs, random_state=seed
        ).fit(digits.all_but_test)
        return RestrictedBoltzmannMachine(
            machine.components_.T, machine.intercept_visible_, machine.intercept_hidden_
        )

    return train


def report(
    name: str, train: Callable[[int], RestrictedBoltzmannMachine], digits: Digits, num_seeds: int
) -> None:
    """Train with a few seeds and print a row of the table."""
    values, seconds = [], []
    for seed in range(num_seeds):
        before = time.process_time()
        machine = jax.block_until_ready(train(seed))
        seconds.append(time.process_time() - before)
        values.append(log_likelihood(machine, digits.test))
    spread = f"{np.std(values, ddof=1):.3f}" if num_seeds > 1 else ""
    click.echo(
        f"| {name} | {np.mean(values):.3f} | {spread} | {max(values):.3f} | {seconds[0]:.1f} | "
        f"{np.median(seconds):.1f} |"
    )


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--seeds", default=NUM_SEEDS, show_default=True, help="Number of fits of each kind.")
def main(seeds: int) -> None:
    """Print the table."""
    digits = load()
    click.echo("| method | mean | sd | best | CPU s, first fit | CPU s, median |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    report("persistent CD", persistent_cd(digits), digits, seeds)
    report("exact gradient", exact_gradient(digits), digits, 1)
    for num_epochs in EPOCHS:
        report(
            f"scikit-learn, {num_epochs} epochs", scikit_learn(digits, num_epochs), digits, seeds
        )


if __name__ == "__main__":
    main()
