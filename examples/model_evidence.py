r"""How much the data prefer one model to another, by bridge sampling from NumPyro's NUTS.

The data are scikit-learn's breast cancer measurements: 569 tumours, benign or malignant. Two nested logistic
regressions explain them, one by the ten means of the measurements, one also by how much the measurements
scatter,

$$\beta_j \sim N(0, 2.5^2), \qquad
y_i \sim \mathrm{Bernoulli}\left(\frac{1}{1 + e^{-\beta_0 - x_i \cdot \beta}}\right).$$

The evidence of a model is the partition function of its posterior,
$$p(y) = \int p(y \mid \beta)\, p(\beta)\, d\beta,$$
since a NumPyro potential is minus the log of the integrand. Draws of NUTS are all that bridge sampling needs;
the difference of two log evidences is the log Bayes factor, with an error bar. Replica exchange, which draws
for itself at temperatures from the prior to the posterior, has to agree.

Run it with `python examples/model_evidence.py --out plots`.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from matplotlib.figure import Figure
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import potential_energy, unconstrain_fn
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import ebm_ppl as ebm
from ebm_ppl.partition import LogPartitionEstimate, bridge_sampling, exchange_estimate

SCALE = 2.5
"""Standard deviation of the prior of every coefficient."""


class Size(NamedTuple):
    """How much is computed."""

    small_model: int
    large_model: int
    num_samples: int
    num_draws: int


FULL = Size(small_model=10, large_model=20, num_samples=2_000, num_draws=1_000)
SMALL = Size(small_model=3, large_model=5, num_samples=500, num_draws=300)


def load(num_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The first measurements, standardised, behind a column of ones; and whether a tumour is benign."""
    data: Any = load_breast_cancer()
    features = StandardScaler().fit_transform(data.data[:, :num_features])
    return np.column_stack([np.ones(len(features)), features]), data.target


def model(x: np.ndarray, y: np.ndarray) -> None:
    """Logistic regression: an ordinary NumPyro model."""
    with numpyro.plate("features", x.shape[1]):
        weights = jnp.asarray(numpyro.sample("weights", dist.Normal(0.0, SCALE)))
    numpyro.sample("y", dist.Bernoulli(logits=x @ weights), obs=y)


def run(
    kernel: MCMCKernel,
    num_draws: int,
    num_chains: int,
    rng_key: jax.Array,
    data: tuple[np.ndarray, np.ndarray],
) -> MCMC:
    """Run vectorised chains, with as many steps of warm-up as draws."""
    mcmc = MCMC(
        kernel,
        num_warmup=num_draws,
        num_samples=num_draws,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(rng_key, *data)
    return mcmc


def by_bridge(x: np.ndarray, y: np.ndarray, size: Size, rng_key: jax.Array) -> LogPartitionEstimate:
    """Log evidence from NUTS's draws."""
    key_mcmc, key_bridge = jax.random.split(rng_key)
    mcmc = run(NUTS(model, dense_mass=True), size.num_samples, 4, key_mcmc, (x, y))
    samples = mcmc.get_samples(group_by_chain=True)
    unconstrain = jax.vmap(jax.vmap(lambda params: unconstrain_fn(model, (x, y), {}, params)))
    return bridge_sampling(
        lambda z: potential_energy(model, (x, y), {}, z), unconstrain(samples), key_bridge
    )


def by_replica_exchange(
    x: np.ndarray, y: np.ndarray, size: Size, rng_key: jax.Array
) -> LogPartitionEstimate:
    """Log evidence from exchanges between temperatures, of which the prior is the hottest."""
    kernel = ebm.ReplicaExchange(ebm.ChEESHMC(model, dense_mass=True), num_replicas=12)
    return exchange_estimate(run(kernel, size.num_draws, 32, rng_key, (x, y)))


def plot(panels: dict[str, dict[str, LogPartitionEstimate]], path: pathlib.Path) -> None:
    """Both intervals of each model, on a scale of its own: the models are many error bars apart."""
    figure = Figure(figsize=(9, 2.2), layout="constrained")
    for axes, (title, estimates) in zip(
        figure.subplots(1, len(panels)), panels.items(), strict=True
    ):
        for height, estimate in enumerate(estimates.values()):
            if estimate.interval is not None:
                axes.plot(estimate.interval, [height, height], color="C0", linewidth=2)
            axes.plot(estimate.log_z, height, "o", color="C0")
        axes.set_yticks(range(len(estimates)), list(estimates))
        axes.set_ylim(len(estimates) - 0.5, -0.5)
        axes.locator_params(axis="x", nbins=4)
        axes.set_title(title)
        axes.set_xlabel("log evidence, 95% interval")
    figure.savefig(path / "model_evidence.png", dpi=150)


def main(argv: Sequence[str] | None = None) -> None:
    """Estimate both evidences in both ways; check that the ways agree."""
    parser = argparse.ArgumentParser(description="Evidence of two nested logistic regressions.")
    parser.add_argument("--small", action="store_true", help="fewer features and draws")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), help="plot folder")
    arguments = parser.parse_args(argv)
    size = SMALL if arguments.small else FULL
    arguments.out.mkdir(parents=True, exist_ok=True)

    panels, bridges = {}, []
    for number, features in enumerate((size.small_model, size.large_model)):
        x, y = load(features)
        key_bridge, key_exchange = jax.random.split(jax.random.key(number))
        bridge = by_bridge(x, y, size, key_bridge)
        exchange = by_replica_exchange(x, y, size, key_exchange)
        print(f"{features} features, bridge:           {bridge}")
        print(f"{features} features, replica exchange: {exchange}")
        distance = (bridge.log_z - exchange.log_z) / float(
            np.hypot(bridge.std_error, exchange.std_error)
        )
        print(f"  they differ by {distance:+.1f} standard errors")
        if abs(distance) > 5.5:
            raise SystemExit("The two estimates of one evidence disagree.")
        panels[f"{features} features"] = {"bridge": bridge, "replica exchange": exchange}
        bridges.append(bridge)
    factor = bridges[1].log_z - bridges[0].log_z
    error = float(np.hypot(bridges[0].std_error, bridges[1].std_error))
    print(f"log Bayes factor of the larger model: {factor:.3f} ± {error:.3f}")
    plot(panels, arguments.out)


if __name__ == "__main__":
    main()
