"""Targets with a known partition function, and the laws from which estimates of it begin."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax

from ebm_ppl import energies, quadrature
from ebm_ppl.annealing import AbstractPath, GeometricPath, LinearPath
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.partition import EnumerationNormalizer

_HIDDEN = 16
_WEIGHT_DECAY = 5e-4
TEMPERATURES = 100


@dataclasses.dataclass(frozen=True)
class Problem:
    """A target.

    Attributes:
        name: Name in the table.
        path: Path from a base law to the target; the base law is the proposal of importance sampling.
        log_z: The exact value.
        sample: Independent exact draws, from a key and a number; `None` where there is no sampler.
        num_draws: Number of draws in a run of importance sampling.
        num_temperatures: Number of evenly spaced steps of annealed runs; `None` to leave it to a pilot run.
        proposal: Proposal of bridge sampling; `None` for one that is fitted to half of the draws.
        estimators: Names of the estimators that are asked; all by default.
    """

    name: str
    path: AbstractPath
    log_z: float
    sample: Callable[[Any, int], Any] | None
    num_draws: int = 200
    num_temperatures: int | None = None
    proposal: dist.Distribution | None = None
    estimators: tuple[str, ...] | None = None

    def asks(self, estimator: str) -> bool:
        """Whether an estimator is asked."""
        return self.estimators is None or estimator in self.estimators


def analytic() -> list[Problem]:
    """Targets whose partition function is a closed form or an integral in the plane."""
    eye = np.eye(10)
    centres = np.zeros((2, 10))
    centres[1, 0] = 3.0
    mixture = energies.GaussianMixture([0.4, 0.6], centres, np.stack([eye, 0.7 * eye]))
    plane = energies.GaussianMixture(
        [0.3, 0.7], [[-1.5, 0.0], [1.5, 1.0]], np.stack([0.5 * np.eye(2)] * 2)
    )
    spread = 1.0 + 0.5 * (np.arange(10) % 2)
    normal = energies.Gaussian(np.zeros(10), np.diag(spread))
    return [
        _by_quadrature("quartic", energies.Quartic(), dist.Normal(0.0, 1.5)),
        _by_quadrature(
            "double well", energies.DoubleWell(), dist.Normal(0.0, 1.5).expand((1,)).to_event(1)
        ),
        _by_quadrature("ring", energies.Ring(), dist.Normal(0.0, 2.0).expand((2,)).to_event(1)),
        _by_quadrature("mixture, 2-D", plane, dist.Normal(0.0, 2.0).expand((2,)).to_event(1)),
        Problem(
            "normal, 10-D",
            GeometricPath(normal, dist.Normal(0.0, 1.4).expand((10,)).to_event(1)),
            5 * math.log(2 * math.pi) + 0.5 * float(np.log(spread).sum()),
            lambda key, count: jnp.sqrt(spread) * jax.random.normal(key, (count, 10)),
        ),
        Problem(
            "mixture, 10-D",
            GeometricPath(mixture, dist.Normal(*_moments(centres)).to_event(1)),
            5 * math.log(2 * math.pi),
            lambda key, count: _draw_mixture(key, count, centres),
        ),
    ]


def missed_mode(num_draws: int) -> Problem:
    """Two modes, of which the proposal nearly misses one: too few draws do not even see that it is there."""
    target = energies.GaussianMixture([0.5, 0.5], [[0.0], [6.0]], np.ones((2, 1, 1)))
    return Problem(
        f"a mode nearly missed, {num_draws} draws",
        GeometricPath(target, dist.Normal(0.0, 1.3).expand((1,)).to_event(1)),
        0.5 * math.log(2 * math.pi),
        None,
        num_draws,
    )


def machines(num_temperatures: int = TEMPERATURES) -> list[Problem]:
    """Restricted Boltzmann machines: a small one, and some that were trained on digits.

    Where the law of independent units is the proposal it has to be near: the small machine's couplings are
    weak. The digits are learned with weight decay and without, which leaves sharper modes.
    """
    small = RestrictedBoltzmannMachine.random(jax.random.key(2), 10, 6, 0.5)
    sample, log_z = _exact_machine(small)
    mean = jnp.clip(jnp.mean(sample(jax.random.key(3), 10_000), axis=0), 0.02, 0.98)
    problems = [
        Problem(
            "small machine",
            LinearPath.from_means(small, mean),
            log_z,
            sample,
            proposal=dist.Bernoulli(probs=mean).to_event(1),
        )
    ]
    from sklearn.datasets import load_digits  # takes long to import
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    kept, _ = train_test_split(pixels >= 8, test_size=0.2, random_state=0, stratify=labels)
    data = jnp.asarray(kept, dtype=float)
    mean = jnp.clip(data.mean(0), 0.02, 0.98)
    start = RestrictedBoltzmannMachine.random(jax.random.key(0), 64, _HIDDEN, 0.1, mean)
    annealing = ("annealed", "heated")
    for name, decay, asked in (
        ("digits", _WEIGHT_DECAY, (*annealing, "particles", "thermodynamic")),
        ("digits without decay", 0.0, annealing),
    ):
        machine = _train(data, start, decay)
        sample, log_z = _exact_machine(machine)
        common: Any = {"num_temperatures": num_temperatures, "estimators": asked}
        for base, path in (
            ("base from data", LinearPath.from_means(machine, mean)),
            ("fair coins", LinearPath(machine)),
        ):
            problems.append(Problem(f"{name}, {base}", path, log_z, sample, **common))
    return problems


def _exact_machine(
    machine: RestrictedBoltzmannMachine,
) -> tuple[Callable[[Any, int], Any], float]:
    """Independent draws and log Z of a machine whose hidden layer has few states."""
    log_z, hidden = float(EnumerationNormalizer()(machine)), len(machine.hidden_bias)
    states = ((jnp.arange(2**hidden)[:, None] >> jnp.arange(hidden)) & 1).astype(float)
    energy = jax.lax.map(machine.hidden_marginal, states, batch_size=4096)
    cumulated = np.cumsum(np.exp(-np.asarray(energy, np.float64) - log_z))

    def sample(key: Any, count: int) -> Any:
        """Draw the hidden layer from all of its states, and the visible one given it."""
        key_hidden, key_visible = jax.random.split(key)
        levels = np.asarray(jax.random.uniform(key_hidden, (count,)), np.float64)
        chosen = states[np.minimum(np.searchsorted(cumulated, levels), 2**hidden - 1)]
        return jax.vmap(machine.sample_visible)(jax.random.split(key_visible, count), chosen)

    return sample, log_z


def _train(
    data: jax.Array, machine: RestrictedBoltzmannMachine, weight_decay: float
) -> RestrictedBoltzmannMachine:
    """Contrastive divergence along persistent chains with weight decay, written out."""
    optimizer = optax.adam(0.01)

    def step(carry: Any, key: Any) -> tuple[Any, None]:
        machine, state, chains = carry
        key_batch, *keys = jax.random.split(key, 6)
        batch = data[jax.random.randint(key_batch, (100,), 0, len(data))]
        for key_sweep in keys:
            chains = jax.vmap(machine.gibbs_sweep)(jax.random.split(key_sweep, 100), chains)

        def loss(machine: Any) -> Any:
            contrast = jnp.mean(jax.vmap(machine)(batch)) - jnp.mean(jax.vmap(machine)(chains))
            return contrast + 0.5 * weight_decay * jnp.sum(machine.weights**2)

        updates, state = optimizer.update(jax.grad(loss)(machine), state)
        return (optax.apply_updates(machine, updates), state, chains), None

    @jax.jit
    def run(machine: Any) -> Any:
        keys = jax.random.split(jax.random.key(1), 3_000)
        return jax.lax.scan(step, (machine, optimizer.init(machine), data[:100]), keys)[0][0]

    return run(machine)


def _by_quadrature(name: str, energy: energies.AbstractEnergy, base: dist.Distribution) -> Problem:
    density = quadrature.normalize(energy)
    return Problem(
        name,
        GeometricPath(energy, base),
        float(density.log_z),
        lambda key, count: jnp.asarray(density.sample(key, (count,)), dtype=float),
    )


def _moments(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the mixture's coordinates, and deviations above those of either component."""
    variance = 0.4 * 1.0 + 0.6 * 0.7 + 0.24 * (centres[1] - centres[0]) ** 2
    return 0.6 * centres[1], 1.2 * np.sqrt(variance)


def _draw_mixture(key: Any, count: int, centres: np.ndarray) -> Any:
    key_which, key_noise = jax.random.split(key)
    second = jax.random.bernoulli(key_which, 0.6, (count, 1))
    noise = jax.random.normal(key_noise, (count, 10))
    return jnp.where(second, jnp.asarray(centres[1]) + math.sqrt(0.7) * noise, noise)
