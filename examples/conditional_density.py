r"""Regression without a shape: a conditional density with two branches, by ranking noise contrast.

The law of $x$ given $y$ has two branches, $x = \pm (1 + \tfrac12 \sin 3y) + 0.3\, \xi$ with a fair sign, so
no regression to a mean describes it. A perceptron of $x$ and $y$ is the energy. Ranking noise contrast tells
each point from noise points under the same condition, and knows no partition function; the exact likelihood,
with $\log Z(y)$ from a grid for every example, is the yardstick. Both see the same 2000 points in the same
order, and are compared with the true law: the mean over $y$ of KL(law ‖ model) by quadrature. Ranking may be
`TOLERANCE` nats worse.

Run it with `python examples/conditional_density.py --out plots`.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from matplotlib.figure import Figure

import ebm_ppl as ebm

TOLERANCE = 0.004
NUM_POINTS = 2000
SPREAD = 0.3
REACH = 4.0
"""Both branches lie well within [-4, 4]; so do the grid and the noise."""

Points = tuple[jax.Array, jax.Array]


def branch(y: Any) -> Any:
    """Centre of the upper branch."""
    return 1.0 + 0.5 * jnp.sin(3.0 * y)


def draw(rng_key: jax.Array, num_points: int) -> Points:
    """Draw points and conditions, each of shape (num_points, 1)."""
    key_y, key_sign, key_noise = jax.random.split(rng_key, 3)
    y = jax.random.uniform(key_y, (num_points, 1), minval=-1.0, maxval=1.0)
    sign = jax.random.rademacher(key_sign, y.shape)
    return sign * branch(y) + SPREAD * jax.random.normal(key_noise, y.shape), y


def log_law(x: jax.Array, y: jax.Array) -> jax.Array:
    """Log density of the law."""
    branches = jnp.stack([branch(y), -branch(y)])[:, None]
    return jax.nn.logsumexp(dist.Normal(branches, SPREAD).log_prob(x), axis=0) - jnp.log(2.0)


def log_model(energy: Any, normalizer: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Log density of a model at points `x`, shape (num_points,), given one `y`."""
    given = energy.at(y=y[None])
    return -jax.vmap(given)(x[:, None]) - normalizer(given)


def divergence(energy: Any, normalizer: Any) -> float:
    """Mean over conditions of KL(law ‖ model), on a grid in both coordinates."""
    x = jnp.linspace(-REACH, REACH, 801)
    conditions = jnp.linspace(-1.0, 1.0, 101)[:-1] + 0.01  # midpoints

    def at(y: jax.Array) -> jax.Array:
        log_p = log_law(x, y)
        gap = log_p - log_model(energy, normalizer, x, y)
        return jnp.sum(jnp.exp(log_p) * gap) * (x[1] - x[0])

    return float(jnp.mean(jax.jit(jax.vmap(at))(conditions)))


def plot(path: pathlib.Path, points: Points, energies: dict[str, Any], normalizer: Any) -> None:
    """Draw the data and each model's conditional density."""
    figure = Figure(figsize=(3.2 * (1 + len(energies)), 3.2), layout="constrained")
    axes = figure.subplots(1, 1 + len(energies), sharex=True, sharey=True)
    x, y = jnp.linspace(-3.0, 3.0, 201), jnp.linspace(-1.0, 1.0, 101)
    axes[0].plot(np.asarray(points[1]), np.asarray(points[0]), ".", markersize=2, color="#1b3a5d")
    axes[0].set(title="data", xlabel="y", ylabel="x")
    for ax, (name, energy) in zip(axes[1:], energies.items(), strict=True):
        model = jax.vmap(lambda y, energy=energy: log_model(energy, normalizer, x, y))
        image = np.exp(np.asarray(model(y))).T
        ax.imshow(image, origin="lower", extent=(-1, 1, -3, 3), aspect="auto", cmap="viridis")
        ax.set(title=name, xlabel="y")
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def require(holds: bool, claim: str) -> None:
    """End the program with an error unless a claim holds."""
    if not holds:
        raise SystemExit(f"This claim does not hold: {claim}.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="smaller network, fewer steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random keys")
    parser.add_argument("--out", type=pathlib.Path, help="folder in which to save the picture")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if its claim does not hold."""
    options = parse(argv)
    width, num_steps, bound = (16, 600, 0.3) if options.small else (32, 2000, 0.1)
    key_data, key_energy, key_fit = jax.random.split(jax.random.key(options.seed), 3)
    x, y = draw(key_data, NUM_POINTS)
    start = ebm.energies.NeuralConditionalEnergy(
        (1,), (1,), rng_key=key_energy, width=width, confinement=0.25
    )
    # A fresh energy reaches beyond the grid; a trained one does not.
    normalizer = ebm.QuadratureNormalizer((-REACH, REACH), num_intervals=128, edge_tolerance=1.0)
    noise = dist.Uniform(-REACH, REACH).expand((1,)).to_event(1)
    objectives = {
        "exact maximum likelihood": ebm.ExactMaximumLikelihood(normalizer),
        "ranking noise contrast": ebm.RankingNoiseContrastive(noise, num_noise=100),
    }
    energies, figures = {}, []
    for name, objective in objectives.items():
        fit = ebm.fit(
            start,
            x,
            objective,
            optax.adam(optax.cosine_decay_schedule(5e-3, num_steps)),
            condition=y,
            num_steps=num_steps,
            rng_key=key_fit,
            progress_bar=False,
        )
        energies[name] = fit.energy
        figures.append(divergence(fit.energy, normalizer))
        print(f"{name:26} {figures[-1]:.4f} nats from the law")
    exact, ranking = figures
    print(f"{'difference':26} {ranking - exact:+.4f}")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        plot(options.out / "conditional_density.png", (x, y), energies, normalizer)
    require(exact < bound, "the network can describe the law")
    require(ranking - exact <= TOLERANCE, f"ranking is at most {TOLERANCE} nats worse")


if __name__ == "__main__":
    main()
