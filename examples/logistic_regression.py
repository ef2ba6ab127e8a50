r"""Bayesian logistic regression on real data, by three kernels that have to agree with a long run.

The data are scikit-learn's breast cancer measurements: 569 tumours, 30 standardised features that are
strongly collinear, benign or malignant. The model is an ordinary NumPyro model,

$$\beta_0 \sim N(0, 2.5^2), \qquad \beta_j \sim N(0, 2.5^2), \qquad
y_i \sim \mathrm{Bernoulli}\left(\frac{1}{1 + e^{-\beta_0 - x_i \cdot \beta}}\right),$$

and NumPyro's NUTS, MALA and random-walk Metropolis sample it with a dense mass matrix. The mean **and**
the standard deviation of every coefficient have to agree with those of a long NUTS run within a number
of Monte Carlo standard errors (MCSE) that counts the errors of both sides.

Run it with `python examples/logistic_regression.py --out plots`.
"""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from matplotlib.figure import Figure
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import potential_energy
from scipy import stats
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import ebm_ppl as ebm
from ebm_ppl import validation
from ebm_ppl.validation import cases
from ebm_ppl.validation.diagnostics import convergence


class Run(NamedTuple):
    """How to sample: a kernel, and the size of its run."""

    kernel: Callable[..., MCMCKernel]
    num_chains: int
    num_warmup: int
    num_samples: int
    thinning: int = 1


class Size(NamedTuple):
    """What is computed, and how strictly it is judged."""

    num_features: int
    bound: float
    reference: Run
    runs: Mapping[str, Run]


FULL = Size(
    num_features=30,
    bound=4.0,
    reference=Run(NUTS, 8, 1000, 3000),
    runs={
        "NUTS": Run(NUTS, 8, 1000, 1000),
        "MALA": Run(ebm.MALA, 32, 1500, 1000, thinning=4),
        "random walk": Run(ebm.RandomWalkMetropolis, 32, 4000, 1000, thinning=30),
    },
)

SMALL = Size(
    num_features=10,  # the means of the ten measurements, without their errors and extremes
    bound=5.5,
    reference=Run(NUTS, 4, 500, 1000),
    runs={
        "NUTS": Run(NUTS, 4, 500, 500),
        "MALA": Run(ebm.MALA, 16, 500, 300, thinning=4),
        "random walk": Run(ebm.RandomWalkMetropolis, 16, 1500, 300, thinning=20),
    },
)
"""For a quick look: fewer features and draws, so larger standard errors; and a wider bound."""

SCALE = 2.5
"""Standard deviation of the prior of every coefficient."""

CASES = tuple(
    dataclasses.replace(
        cases.discover()[name],
        make=lambda potential, kernel=kernel: kernel(potential_fn=potential, dense_mass=True),
        thinning=thinning,
    )
    for name, kernel, thinning in (
        ("nuts", NUTS, 1),
        ("mala", ebm.MALA, 10),
        ("random-walk-metropolis", ebm.RandomWalkMetropolis, 80),
    )
)
"""The suite's cases of the kernels, with dense mass matrices and draws far apart."""

MAXIMUM_RHAT = 1.05


class Moment(NamedTuple):
    """An estimate for each coefficient, and its Monte Carlo standard error."""

    value: np.ndarray
    mcse: np.ndarray


class Summary(NamedTuple):
    """Means and standard deviations of the coefficients, and how well the chains mixed."""

    mean: Moment
    std: Moment
    rhat: float
    ess: float


def model(features: jax.Array, malignant: jax.Array) -> None:
    """Logistic regression with independent normal priors."""
    intercept = numpyro.sample("intercept", dist.Normal(0.0, SCALE))
    prior = dist.Normal(0.0, SCALE).expand([features.shape[1]]).to_event(1)
    coefficients = numpyro.sample("coefficients", prior)
    logits = intercept + features @ coefficients
    numpyro.sample("malignant", dist.Bernoulli(logits=logits), obs=malignant)


def load(num_features: int) -> tuple[jax.Array, jax.Array, list[str]]:
    """The first features, standardised; whether each tumour is malignant; names of coefficients."""
    data: Any = load_breast_cancer()
    features = StandardScaler().fit_transform(data.data[:, :num_features])
    names = ["intercept", *data.feature_names[:num_features]]
    return jnp.asarray(features), jnp.asarray(data.target == 0, dtype=int), names


def sample(run: Run, rng_key: jax.Array, *data: jax.Array) -> np.ndarray:
    """Draws of all coefficients, intercept first, shape (chains, samples, coefficients)."""
    mcmc = MCMC(
        run.kernel(model, dense_mass=True),
        num_warmup=run.num_warmup,
        num_samples=run.num_samples * run.thinning,
        thinning=run.thinning,
        num_chains=run.num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(rng_key, *data)
    draws = mcmc.get_samples(group_by_chain=True)
    columns = [draws["intercept"][..., None], draws["coefficients"]]
    return np.concatenate(columns, axis=-1).astype(np.float64)


def summarise(draws: np.ndarray) -> Summary:
    """Estimates with their standard errors, from draws of shape (chains, samples, coefficients).

    The standard deviation's error follows from that of the mean squared deviation, by the delta method.
    """
    mean = draws.mean(axis=(0, 1))
    deviations = (draws - mean) ** 2
    std = np.sqrt(deviations.mean(axis=(0, 1)))
    coefficients = range(draws.shape[-1])
    of_mean = [convergence(draws[:, :, j]) for j in coefficients]
    of_variance = [convergence(deviations[:, :, j]) for j in coefficients]
    return Summary(
        mean=Moment(mean, np.array([d.mcse_mean for d in of_mean])),
        std=Moment(std, np.array([d.mcse_mean for d in of_variance]) / (2 * std)),
        rhat=max(d.rhat for d in of_mean),
        ess=min(d.ess_mean for d in of_mean + of_variance),
    )


def errors(one: Summary, other: Summary) -> np.ndarray:
    """MCSE of the differences of means and standard deviations, shape (2, coefficients)."""
    pairs = ((one.mean, other.mean), (one.std, other.std))
    return np.stack([np.hypot(a.mcse, b.mcse) for a, b in pairs])


def differences(one: Summary, other: Summary) -> np.ndarray:
    """Differences of means and standard deviations, in MCSE of both sides, shape (2, coefficients)."""
    pairs = ((one.mean, other.mean), (one.std, other.std))
    return np.stack([a.value - b.value for a, b in pairs]) / errors(one, other)


def detectable(one: Summary, other: Summary, bound: float) -> float:
    """Shift that would be seen in 99 of 100 runs at every coefficient, in posterior deviations."""
    return float(np.max((bound + stats.norm.ppf(0.99)) * errors(one, other) / other.std.value))


def measure(name: str, run: Run, rng_key: jax.Array, *data: jax.Array) -> Summary:
    """Sample, print how it went, and refuse chains that have not come to agree."""
    began = time.perf_counter()
    summary = summarise(sample(run, rng_key, *data))
    print(
        f"{name:12} {run.num_chains:2} chains × {run.num_samples} draws, every {run.thinning}."
        f"  smallest ESS {summary.ess:6.0f}  largest R-hat {summary.rhat:.4f}"
        f"  {time.perf_counter() - began:4.0f} s"
    )
    require(summary.rhat <= MAXIMUM_RHAT, f"the chains of {name} agree with each other")
    return summary


def check(found: Mapping[str, np.ndarray], names: Sequence[str], bound: float) -> None:
    """Hold every difference against the bound, and say how often chance alone would break it."""
    print(f"\n{'':12} largest difference from the long run, in MCSE of both")
    for run, table in found.items():
        row, column = divmod(int(np.argmax(np.abs(table))), len(names))
        figure = ("mean", "standard deviation")[row]
        print(f"{run:12} {table[row, column]:+.2f}, the {figure} of `{names[column]}`")
    largest = max(float(np.max(np.abs(table))) for table in found.values())
    num_comparisons = sum(table.size for table in found.values())
    false_alarm = float(2 * stats.norm.sf(bound)) * num_comparisons
    print(f"\nlargest of {num_comparisons} standardised differences: {largest:.2f} (bound {bound})")
    print(f"probability that chance breaks the bound: at most {false_alarm:.1g}")
    require(largest <= bound, f"every difference is at most {bound} MCSE")


def plot(
    path: pathlib.Path,
    reference: Summary,
    found: Mapping[str, np.ndarray],
    names: Sequence[str],
    bound: float,
) -> None:
    """Draw the posterior, and the differences from it in standard errors."""
    figure = Figure(figsize=(9, 1.2 + 0.17 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(names))
    left.errorbar(
        reference.mean.value, rows, xerr=reference.std.value, fmt="o", markersize=3, color="#1b3a5d"
    )
    left.set_yticks(rows, names, fontsize=7)
    left.invert_yaxis()
    left.set(title="posterior: mean ± standard deviation", xlabel="coefficient")
    for (name, table), colour in zip(found.items(), ("#1b3a5d", "#c2571a", "#3f8f5f"), strict=True):
        right.plot(table[0], rows, "o", markersize=3, color=colour, label=f"{name}, mean")
        right.plot(table[1], rows, "x", markersize=4, color=colour, label=f"{name}, sd")
    for side in (-bound, bound):
        right.axvline(side, color="grey", linewidth=0.8, linestyle="--")
    right.set(title="difference from a long NUTS run", xlabel="MCSE")
    figure.legend(fontsize=7, loc="outside lower center", ncols=2 * len(found))
    figure.savefig(path, dpi=100)
    print(f"plot: {path}")


def report(folder: pathlib.Path, *data: jax.Array) -> None:
    """Register the posterior as an energy, and write the suite's report on it."""

    def negative_log_posterior(x: jax.Array) -> jax.Array:
        sites = {"intercept": x[0], "coefficients": x[1:]}
        return jnp.asarray(potential_energy(model, data, {}, sites))

    energy = ebm.energies.from_callable(negative_log_posterior, (1 + data[0].shape[1],))
    verdicts = validation.run({"breast cancer posterior": energy}, CASES, mode="quick")
    for row in verdicts.rows:
        result = row.result
        print(f"{result.verdict.value:5} {row.kernel:24} {result.check:20} {result.detail}")
    verdicts.to_html(folder / "logistic_regression_report.html")
    verdicts.to_markdown(folder / "logistic_regression_report.md")
    require(verdicts.passed, "the validation report passes")


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
    parser.add_argument("--small", action="store_true", help="ten features, shorter runs")
    parser.add_argument("--num-samples", type=at_least(100), help="draws kept of each chain")
    parser.add_argument("--num-chains", type=at_least(2), help="chains of each run")
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of all random keys")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="folder in which to save the plot and the validation report",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if one of its claims does not hold."""
    options = parse(argv)
    size = SMALL if options.small else FULL

    def resized(run: Run) -> Run:
        return run._replace(
            num_samples=options.num_samples or run.num_samples,
            num_chains=options.num_chains or run.num_chains,
        )

    features, malignant, names = load(size.num_features)
    print(f"{len(malignant)} tumours, {features.shape[1]} features, {len(names)} coefficients\n")
    keys = jax.random.split(jax.random.key(options.seed), 1 + len(size.runs))
    reference = measure("long NUTS", resized(size.reference), keys[0], features, malignant)
    found, seen = {}, 0.0
    for key, (name, run) in zip(keys[1:], size.runs.items(), strict=True):
        summary = measure(name, resized(run), key, features, malignant)
        found[name] = differences(summary, reference)
        seen = max(seen, detectable(summary, reference, size.bound))
    print(f"\nseen in 99 of 100 runs: any shift of {seen:.2f} posterior standard deviations")
    check(found, names, size.bound)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        plot(options.out / "logistic_regression.png", reference, found, names, size.bound)
        report(options.out, features, malignant)


if __name__ == "__main__":
    main()
