r"""Training without a partition function, and no likelihood lost: a quartic energy with two wells.

The data are 5000 draws of $\tfrac12 N(-2, 0.5^2) + \tfrac12 N(2, 0.5^2)$, the model is
$E(x) = a x^2 + b x + e^\gamma x^4$. Persistent contrastive divergence learns it with an exact kernel, whose
random-walk moves are long enough to cross from well to well, along natural gradients, and averages the
parameters. In one dimension quadrature gives the exact maximum-likelihood fit of the same data, and the
claim is that persistent CD ends within `MOST_EXCESS` nats an example of it.

At the maximum of the likelihood the model's moments of order 1, 2 and 4 are those of the data, so mean
and variance are compared as well.

Run it with `python examples/quartic_persistent_cd.py --out plots`.
"""

import argparse
import pathlib
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import ebm_ppl as ebm
from ebm_ppl.trainers import Fit, newton, polyak_averaging, scale_by_fisher
from ebm_ppl.validation.datasets import two_normals

NUM_EXAMPLES = 5000

MOST_EXCESS = {"full": 1e-4, "small": 1e-3}
"""More than ten times the mean excess that the chains' noise causes at each size."""

NUM_BURN_IN = 150
"""Number of first steps whose parameters do not enter the average."""


def exact_fit(start: ebm.AbstractEnergy, data: jax.Array, rng_key: jax.Array) -> Fit:
    """Maximum likelihood by quadrature and Newton's method."""
    typical = ebm.energies.Quartic(a=-1.0, b=0.0, gamma=-2.0)
    objective = ebm.ExactMaximumLikelihood.for_energy(typical)
    return ebm.fit(
        start,
        data,
        objective,
        newton(),
        rng_key=rng_key,
        num_steps=12,
        batch_size=len(data),
        progress_bar=False,
    )


def persistent_cd_fit(
    start: ebm.AbstractEnergy, data: jax.Array, rng_key: jax.Array, num_steps: int
) -> Fit:
    """Persistent CD whose chains cross between the wells."""
    kernel = ebm.Moves(ebm.RandomWalkMetropolis, step_size=3.0)
    optimizer = optax.chain(
        scale_by_fisher(start, data[:300], damping=0.01),
        optax.scale_by_learning_rate(optax.linear_schedule(0.8, 0.08, num_steps)),
    )
    return ebm.fit(
        start,
        data,
        ebm.PersistentCD(kernel, num_steps=2, num_chains=1000),
        optimizer,
        rng_key=rng_key,
        num_steps=num_steps,
        batch_size=len(data),
        ema_decay=polyak_averaging(NUM_BURN_IN),
        progress_bar=False,
    )


def negative_log_likelihood(energy: ebm.AbstractEnergy, data: jax.Array) -> float:
    """Mean over the data, with the partition function by quadrature."""
    density = ebm.quadrature.normalize(energy)
    return -float(np.mean(np.log(density.density(np.asarray(data, dtype=np.float64)))))


def check(name: str, fit: Fit, data: jax.Array, optimum: float, most_excess: float) -> None:
    """Print a fit's figures and hold its likelihood against the optimum."""
    density = ebm.quadrature.normalize(fit.energy)
    excess = negative_log_likelihood(fit.energy, data) - optimum
    energy = fit.energy
    print(
        f"{name:14} {energy.a:9.5f} {energy.b:9.5f} {energy.gamma:9.5f} "
        f"{float(density.mean()):9.5f} {float(density.variance()):9.5f} {excess:10.1e}"
    )
    require(abs(excess) <= most_excess, f"{name} within {most_excess} nats of the exact fit")


def plot(path: pathlib.Path, data: jax.Array, fits: dict[str, Fit]) -> None:
    """Draw the data with the densities, and the path of the energy gap."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(np.asarray(data), bins=80, density=True, color="#c9d6e8", label="data")
    grid = np.linspace(-4.5, 4.5, 400)
    for (name, fit), style in zip(fits.items(), ("-", "--"), strict=True):
        left.plot(grid, ebm.quadrature.normalize(fit.energy).density(grid), style, label=name)
    left.set(xlabel="x", ylabel="density")
    left.legend()
    gap = fits["persistent CD"].history["energy_gap"]
    right.plot(np.asarray(gap), color="#1b3a5d", linewidth=0.7)
    right.set(xlabel="step", ylabel="energy gap of persistent CD")
    figure.savefig(path, dpi=120)
    print(f"plot           {path}")


def require(holds: bool, claim: str) -> None:
    """End the program with an error unless a claim holds."""
    if not holds:
        raise SystemExit(f"This claim does not hold: {claim}.")


def at_least(minimum: int) -> Callable[[str], int]:
    """An argument type: an integer of at least `minimum`."""

    def integer(text: str) -> int:
        if int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}; got {text}")
        return int(text)

    return integer


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="fewer steps, for a quick look")
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of all random keys")
    parser.add_argument("--out", type=pathlib.Path, help="folder in which to save the plot")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if one of its claims does not hold."""
    options = parse(argv)
    num_steps, most_excess = (
        (400, MOST_EXCESS["small"]) if options.small else (1000, MOST_EXCESS["full"])
    )
    keys = jax.random.split(jax.random.key(options.seed), 3)
    data = two_normals().sample(keys[0], NUM_EXAMPLES)[:, 0]
    start = ebm.energies.Quartic(a=0.05, b=0.0, gamma=-0.5)

    exact = exact_fit(start, data, keys[1])
    optimum = negative_log_likelihood(exact.energy, data)
    began = time.perf_counter()
    persistent = persistent_cd_fit(start, data, keys[2], num_steps)
    seconds = time.perf_counter() - began

    print(f"{'':14} {'a':>9} {'b':>9} {'gamma':>9} {'mean':>9} {'variance':>9} {'excess':>10}")
    numbers = np.asarray(data, dtype=np.float64)
    print(f"{'data':14} {'':29} {numbers.mean():9.5f} {numbers.var():9.5f}")
    check("exact", exact, data, optimum, 0.0)
    check("persistent CD", persistent, data, optimum, most_excess)
    print(f"{num_steps} steps in {seconds:.1f} s, compilation included")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        fits = {"exact": exact, "persistent CD": persistent}
        plot(options.out / "quartic_persistent_cd.png", data, fits)


if __name__ == "__main__":
    main()
