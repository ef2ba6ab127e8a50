r"""The magnetisation of the two-dimensional Ising model against Onsager's and Yang's exact result.

Below the critical temperature the spins of an infinite square lattice agree on a direction of their own. With
coupling $J$ (the inverse temperature is part of it) their mean is

$$m = \left(1 - \sinh(2J)^{-4}\right)^{1/8}, \qquad J > J_c = \tfrac12 \log(1 + \sqrt 2) = 0.4407,$$

and 0 above that temperature. `BlockGibbs` samples periodic lattices from ordered starts; of each state the
mean spin is taken in absolute value, since a finite lattice turns over in the end. Error bars are 4 standard
errors of the mean over independent chains. Away from the critical point they have to hold the exact value;
near it a finite lattice is more ordered than the infinite one, as the picture shows.

Run it with `python examples/ising_magnetisation.py --out plots`.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from numpyro.infer import MCMC

import ebm_ppl as ebm

CRITICAL = 0.5 * np.log1p(np.sqrt(2.0))


class Size(NamedTuple):
    """How much is computed."""

    side: int
    couplings: tuple[float, ...]
    num_chains: int
    num_warmup: int
    num_samples: int


FULL = Size(
    side=64,
    couplings=(0.2, 0.3, 0.36, 0.40, 0.42, 0.43, 0.44, 0.445, 0.45, 0.46, 0.48, 0.52, 0.6),
    num_chains=32,
    num_warmup=2_000,
    num_samples=2_000,
)
SMALL = Size(
    side=32,
    couplings=(0.2, 0.44, 0.5, 0.6),
    num_chains=16,
    num_warmup=200,
    num_samples=300,
)

FAR = 0.03
"""Distance from the critical coupling beyond which lattices of these sizes look infinite below it."""


def exact(coupling: float | np.ndarray) -> np.ndarray:
    """Spontaneous magnetisation of the infinite lattice."""
    below = np.maximum(1 - np.sinh(2 * np.asarray(coupling, np.float64)) ** -4, 0.0)
    return below**0.125


def measure(coupling: float, size: Size, rng_key: jax.Array) -> tuple[float, float]:
    """Mean absolute magnetisation of a lattice, and its standard error over chains."""
    shape = (size.side, size.side)
    kernel = ebm.BlockGibbs(ebm.as_model(ebm.energies.Ising(shape, coupling)))
    mcmc = MCMC(
        kernel,
        num_warmup=size.num_warmup,
        num_samples=size.num_samples,
        num_chains=size.num_chains,
        chain_method="vectorized",
        progress_bar=False,
        # Of each state the mean alone is kept.
        postprocess_fn=lambda sites: {"m": jnp.abs(jnp.mean(sites["x"]))},
    )
    mcmc.run(rng_key, init_params={"x": jnp.ones((size.num_chains, *shape))})
    of_chains = np.asarray(mcmc.get_samples(group_by_chain=True)["m"], np.float64).mean(axis=1)
    return float(of_chains.mean()), float(of_chains.std(ddof=1) / np.sqrt(size.num_chains))


def plot(size: Size, means: np.ndarray, errors: np.ndarray, path: pathlib.Path) -> None:
    """The exact curve, and the estimates with their error bars."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    grid = np.concatenate([[size.couplings[0], CRITICAL], np.linspace(CRITICAL, 0.62, 400)])
    axes.plot(grid, exact(grid), color="0.3", linewidth=1.2, label="infinite lattice, exact")
    axes.errorbar(
        size.couplings,
        means,
        yerr=4 * errors,
        fmt="o",
        markersize=3,
        capsize=2,
        color="C0",
        label=f"{size.side}² sites, 4 standard errors",
    )
    axes.axvline(CRITICAL, color="0.7", linewidth=0.8, linestyle="--")
    axes.set_xlabel("coupling")
    axes.set_ylabel("magnetisation")
    axes.legend(fontsize=8)
    figure.savefig(path / "ising_magnetisation.png", dpi=130)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the curve and hold it against the exact one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a smaller lattice, fewer couplings")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), help="plot folder")
    arguments = parser.parse_args(argv)
    size = SMALL if arguments.small else FULL
    arguments.out.mkdir(parents=True, exist_ok=True)

    keys = jax.random.split(jax.random.key(0), len(size.couplings))
    estimates = [measure(c, size, key) for c, key in zip(size.couplings, keys, strict=True)]
    means, errors = np.array(estimates).T
    for coupling, mean, error in zip(size.couplings, means, errors, strict=True):
        truth = float(exact(coupling))
        print(f"J = {coupling:.3f}: {mean:.4f} ± {error:.4f}, infinite lattice {truth:.4f}")
        # In the ordered phase, away from the critical point, what is finite about the lattice is invisible.
        if coupling > CRITICAL + FAR and abs(mean - truth) > 5.5 * error + 1e-4:
            raise SystemExit(f"The magnetisation at J = {coupling} is not the exact one.")
        # In the disordered phase it vanishes like one over the side.
        if coupling < CRITICAL - 0.1 and mean > 4.0 / size.side:
            raise SystemExit(f"The lattice at J = {coupling} is ordered.")
    plot(size, means, errors, arguments.out)


if __name__ == "__main__":
    main()
