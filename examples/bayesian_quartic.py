r"""A posterior over an energy's parameters, twice: with its partition function, and without.

The model is $p(x \mid a, \gamma) = \exp(-a x^2 - e^\gamma x^4) / Z(a, \gamma)$ with normal priors. The same
NumPyro model is sampled by NUTS, with $Z$ by quadrature, and by the exchange algorithm, which sees no $Z$
but draws auxiliary data; the claim is that means and mean squares agree within `CRITICAL` Monte Carlo
errors. NUTS on the likelihood without its $Z$ runs beside them, and away.

Run it with `python examples/bayesian_quartic.py --out plots`.
"""

import argparse
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from matplotlib.figure import Figure
from numpyro.infer import MCMC, NUTS

import ebm_ppl as ebm
from ebm_ppl.doubly_intractable import ExactDraws, Exchange, normalized
from ebm_ppl.validation.diagnostics import convergence

TRUTH = {"a": -1.0, "gamma": -1.5}
NUM_EXAMPLES = 100
NUM_CHAINS = 16

CRITICAL = 5.0
"""In four comparisons a false alarm happens once in 400,000 runs."""

Draws: TypeAlias = dict[str, np.ndarray]


def model(data: jax.Array) -> None:
    """The model; nothing in it says how its likelihood is computed."""
    a = numpyro.sample("a", dist.Normal(0.0, 2.0))
    gamma = numpyro.sample("gamma", dist.Normal(0.0, 2.0))
    energy = ebm.energies.Quartic(a=a, b=0.0, gamma=gamma)
    with numpyro.plate("data", len(data)):
        numpyro.sample("x", ebm.EnergyDistribution(energy), obs=data)


def draw(kernel: Any, data: jax.Array, rng_key: jax.Array, num_samples: int) -> Draws:
    """Draws of each parameter, shape `(num_chains, num_samples)`."""
    mcmc = MCMC(
        kernel,
        num_warmup=500,
        num_samples=num_samples,
        num_chains=NUM_CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(rng_key, data)
    draws = mcmc.get_samples(group_by_chain=True)
    return {name: np.asarray(values, np.float64) for name, values in draws.items()}


def disagreement(one: Draws, other: Draws) -> float:
    """Largest difference of means and mean squares, in Monte Carlo standard errors."""
    largest = 0.0
    for name in TRUTH:
        centre = one[name].mean()
        for power in (1, 2):
            first, second = ((draws[name] - centre) ** power for draws in (one, other))
            errors = np.hypot(convergence(first).mcse_mean, convergence(second).mcse_mean)
            largest = max(largest, abs(first.mean() - second.mean()) / errors)
    return largest


def plot(path: pathlib.Path, posteriors: dict[str, Draws]) -> None:
    """Draw the marginal posteriors over each other, and where the truth is."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, (name, truth) in zip(figure.subplots(1, 2), TRUTH.items(), strict=True):
        for label, draws in posteriors.items():
            axes.hist(draws[name].ravel(), bins=60, density=True, histtype="step", label=label)
        axes.axvline(truth, color="grey", linestyle=":")
        axes.set(xlabel=name, ylabel="posterior density")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
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
    parser.add_argument("--small", action="store_true", help="fewer draws, for a quick look")
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of all random keys")
    parser.add_argument("--out", type=pathlib.Path, help="folder in which to save the plot")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if one of its claims does not hold."""
    options = parse(argv)
    num_samples = 500 if options.small else 4000
    key_data, *keys = jax.random.split(jax.random.key(options.seed), 4)
    normalizer = ebm.QuadratureNormalizer(bounds=(-8.0, 8.0))
    truth = ebm.energies.Quartic(b=0.0, **TRUTH)
    data = ebm.EnergyDistribution(truth, normalizer).sample(key_data, (NUM_EXAMPLES,))

    kernels = {
        "NUTS, Z by quadrature": NUTS(normalized(model, normalizer)),
        "exchange algorithm": Exchange(model, ExactDraws(normalizer), dense_mass=True),
        "NUTS, Z left out": NUTS(normalized(model, log_z=0.0)),
    }
    posteriors = {
        name: draw(kernel, data, key, num_samples)
        for (name, kernel), key in zip(kernels.items(), keys, strict=True)
    }
    exact, exchange, careless = posteriors.values()
    print(f"{'':22} {'a':>16} {'gamma':>16}")
    for name, draws in posteriors.items():
        row = "".join(f" {draws[p].mean():8.3f} ± {draws[p].std():5.3f}" for p in TRUTH)
        print(f"{name:22}{row}")
    agreement, departure = disagreement(exact, exchange), disagreement(exact, careless)
    print(
        f"largest difference: {agreement:.1f} Monte Carlo errors; with Z left out {departure:.0f}"
    )
    require(agreement < CRITICAL, "the exchange algorithm agrees with NUTS")
    require(departure > 10 * CRITICAL, "leaving the partition function out is seen")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        right = dict(list(posteriors.items())[:2])  # the third is far outside the picture
        plot(options.out / "bayesian_quartic.png", right)


if __name__ == "__main__":
    main()
