r"""One energy from end to end: partition function, exact draws, and two samplers held against them.

The energy is that of an anharmonic oscillator, $E(x) = \frac12 x^2 + \frac1{10} x^4$. Quadrature in
double precision gives its partition function on $[-6, 6]$ to thirteen decimals, its density and its
moments. Exact draws, NUTS and MALA then have to reproduce mean and variance within `BOUND` Monte Carlo
standard errors.

Run it with `python examples/one_dimensional_energy.py --out plots`.
"""

import argparse
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from matplotlib.figure import Figure
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc import MCMCKernel

import ebm_ppl as ebm
from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.validation.diagnostics import convergence

PARTITION_FUNCTION = 2.1497059285906
DENSITIES = {0.0: 0.465180, 1.0: 0.255296, 2.0: 0.012710}
VARIANCE = 0.615527

BOUND = 5.5
"""Largest allowed error in standard errors; one correct figure exceeds it once in 26 million runs."""


def anharmonic(x: jax.Array) -> jax.Array:
    """The energy of one point, a scalar."""
    return 0.5 * x**2 + 0.1 * x**4


def check_truth(truth: QuadratureDensity) -> None:
    """Hold quadrature against the known figures, to their last digit."""
    partition_function = float(np.exp(truth.log_z))
    print(f"Z on [-6, 6]  {partition_function:.13f} ± {truth.log_z_error:.0e} ({truth.rule})")
    require(abs(partition_function - PARTITION_FUNCTION) <= 5e-14, "Z to thirteen decimals")
    for x, known in DENSITIES.items():
        density = float(truth.density(x))
        print(f"p({x:.0f})          {density:.6f}")
        require(abs(density - known) <= 5e-7, f"p({x:.0f}) to six decimals")
    require(abs(float(truth.variance()) - VARIANCE) <= 5e-7, "the variance to six decimals")


def sample(kernel: MCMCKernel, rng_key: jax.Array, num_chains: int, num_samples: int) -> np.ndarray:
    """Draw with a kernel on the energy's model, shape (num_chains, num_samples)."""
    mcmc = MCMC(
        kernel,
        num_warmup=500,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(rng_key)
    return np.asarray(mcmc.get_samples(group_by_chain=True)["x"], dtype=np.float64)


def check_draws(name: str, draws: np.ndarray, truth: QuadratureDensity) -> None:
    """Hold mean and variance of draws of shape (chains, samples) against the truth."""
    mean, variance = float(truth.mean()), float(truth.variance())
    figures = {"mean": (draws, mean), "variance": ((draws - mean) ** 2, variance)}
    text = []
    for figure, (series, expected) in figures.items():
        diagnosis = convergence(series)
        error = (float(np.mean(series)) - expected) / diagnosis.mcse_mean
        text.append(f"{np.mean(series):9.6f} ({error:+.2f} MCSE, ESS {diagnosis.ess_mean:7.0f})")
        require(abs(error) <= BOUND, f"the {figure} of the {name} draws within {BOUND} MCSE")
    print(f"{name:12}  {'  '.join(text)}")


def plot(path: pathlib.Path, truth: QuadratureDensity, draws_of: Mapping[str, np.ndarray]) -> None:
    """Draw the density over a histogram of each set of draws."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    grid = np.linspace(-3.5, 3.5, 300)
    panels = figure.subplots(1, len(draws_of), sharey=True)
    for ax, (name, draws) in zip(panels, draws_of.items(), strict=True):
        ax.hist(draws.ravel(), bins=60, range=(-3.5, 3.5), density=True, color="#c9d6e8")
        ax.plot(grid, truth.density(grid), color="#1b3a5d")
        ax.set(title=f"{name}: {draws.size:,} draws", xlabel="x")
    figure.savefig(path, dpi=120)
    print(f"plot          {path}")


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
    parser.add_argument("--small", action="store_true", help="fewer draws, for a quick look")
    parser.add_argument("--num-exact", type=at_least(100), default=100_000, help="exact draws")
    parser.add_argument("--num-samples", type=at_least(100), help="draws of each chain")
    parser.add_argument("--num-chains", type=at_least(2), help="chains of each sampler")
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of all random keys")
    parser.add_argument("--out", type=pathlib.Path, help="folder in which to save the plot")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if one of its claims does not hold."""
    options = parse(argv)
    num_samples = options.num_samples or (500 if options.small else 2000)
    num_chains = options.num_chains or (8 if options.small else 16)

    energy = ebm.energies.from_callable(anharmonic, event_shape=())
    truth = ebm.quadrature.normalize(energy, bounds=(-6.0, 6.0))
    check_truth(truth)

    keys = jax.random.split(jax.random.key(options.seed), 3)
    model = ebm.as_model(energy)
    draws_of = {
        "exact": truth.sample(keys[0], (4, options.num_exact // 4)),
        "NUTS": sample(NUTS(model), keys[1], num_chains, num_samples),
        "MALA": sample(ebm.MALA(model), keys[2], num_chains, num_samples),
    }
    print(f"{'':12}  {'mean':38}variance")
    print(
        f"{'truth':12}  {round(float(truth.mean()), 6) + 0.0:9.6f}{'':28}{float(truth.variance()):9.6f}"
    )
    for name, draws in draws_of.items():
        check_draws(name, draws, truth)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        plot(options.out / "one_dimensional_energy.png", truth, draws_of)


if __name__ == "__main__":
    main()
