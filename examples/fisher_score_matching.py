r"""A simulator without a likelihood: estimates and posteriors from learned Fisher scores.

The simulator draws $x$ from an energy with an unknown parameter, $E_\theta(x) = \theta x^2 + x^4 / 4$; nobody
tells the algorithms its density. Two ways lead from simulations to $\theta$:

1. `fisher_scoring` fits a score around the current parameter and climbs to the maximum of the likelihood;
2. `FisherScoreMatching` trains an energy $F(\theta \mid x)$ over all parameters that a proposal covers, by
   integration by parts in $\theta$. Summed over observations it is the likelihood, which MALA samples like
   any other energy.

The density is known after all, by quadrature, so both are held against the exact likelihood.

Run it with `python examples/fisher_score_matching.py --out plots`.

References:
    S. Khoo, Y. Wang, S. Liu and M. Beaumont (2025). Direct Fisher score estimation for likelihood
    maximization. arXiv:2506.06542.
"""

import argparse
import pathlib
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from matplotlib.figure import Figure
from numpyro.infer import MCMC

import ebm_ppl as ebm
from ebm_ppl.energies import LikelihoodEnergy, Quartic, from_conditional_callable
from ebm_ppl.trainers import fisher_scoring, newton

TRUTH = -0.5
PRIOR_MEAN, PRIOR_SCALE = -0.3, 0.5
_GRID = jnp.linspace(-4.5, 4.5, 1501)
_DEGREE = 5


def simulator(rng_key: jax.Array, theta: jax.Array) -> jax.Array:
    """One exact draw of the energy, by inversion on a grid."""
    weights = jnp.exp(-theta[0] * _GRID**2 - _GRID**4 / 4)
    below = jnp.cumsum(weights)
    return jnp.interp(jax.random.uniform(rng_key) * below[-1], below, _GRID)


class PolynomialLikelihood(eqx.Module):
    r"""$F(\theta \mid x) = \theta x^2 w + \sum_k c_k \theta^k$: the first term is linear in the statistic."""

    weight: jax.Array
    coefficients: jax.Array

    def __call__(self, theta: jax.Array, x: jax.Array) -> jax.Array:
        """Minus the log likelihood up to a function of what was simulated."""
        powers = theta[0] ** jnp.arange(1, _DEGREE + 1)
        return self.weight * theta[0] * x**2 + jnp.sum(self.coefficients * powers)


def exact_log_likelihood(thetas: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log likelihood of all observations at each parameter, with log Z by quadrature."""
    log_z = [ebm.quadrature.normalize(Quartic(a=t, gamma=np.log(0.25))).log_z for t in thetas]
    return -thetas * np.sum(x**2) - np.sum(x**4) / 4 - len(x) * np.array(log_z)


def main(argv: Sequence[str] | None = None) -> None:
    """Estimate the parameter both ways, and compare with the exact likelihood."""
    parser = argparse.ArgumentParser(description="Fisher scores of a simulator.")
    parser.add_argument("--small", action="store_true", help="Fewer simulations and draws.")
    parser.add_argument("--seed", type=int, default=0, help="Where all random keys come from.")
    parser.add_argument("--out", type=pathlib.Path, help="Folder for the picture; none by default.")
    options = parser.parse_args(argv)
    keys = jax.random.split(jax.random.key(options.seed), 6)

    observed = jax.vmap(simulator, (0, None))(jax.random.split(keys[0], 200), jnp.array([TRUTH]))
    thetas = np.linspace(-1.2, 0.4, 81)
    posterior = exact_log_likelihood(thetas, np.asarray(observed, float))
    posterior = np.exp(posterior - posterior.max())
    posterior /= posterior.sum() * (thetas[1] - thetas[0])
    exact_mode = float(thetas[np.argmax(posterior)])
    exact_mean = float(np.sum(thetas * posterior) * (thetas[1] - thetas[0]))
    exact_sd = float(
        np.sqrt(np.sum((thetas - exact_mean) ** 2 * posterior) * (thetas[1] - thetas[0]))
    )

    climbed = fisher_scoring(
        simulator,
        observed,
        [0.5],
        rng_key=keys[1],
        smoothing=0.2,
        num_simulations=5000,
        num_steps=60 if options.small else 150,
        features=jnp.square,
    )
    estimate, error = float(climbed.theta[0]), float(climbed.standard_errors[0])
    print(
        f"climbing: {estimate:.3f} ± {error:.3f}; the exact likelihood is largest at {exact_mode:.2f}"
    )

    count = 20_000 if options.small else 100_000
    proposed = PRIOR_MEAN + PRIOR_SCALE * jax.random.normal(keys[2], (count, 1))
    simulated = jax.vmap(simulator)(jax.random.split(keys[3], count), proposed)
    start = PolynomialLikelihood(jnp.ones(()), jnp.zeros(_DEGREE).at[1].set(1.0))
    fit = ebm.fit(
        from_conditional_callable(start, (1,), ()),
        proposed,
        ebm.FisherScoreMatching(dist.Normal(jnp.full(1, PRIOR_MEAN), PRIOR_SCALE).to_event(1)),
        newton(),
        condition=simulated,
        num_steps=10,
        batch_size=count,
        rng_key=keys[4],
        progress_bar=False,
    )
    likelihood = LikelihoodEnergy(fit.energy, observed)
    mcmc = MCMC(
        ebm.MALA(potential_fn=ebm.potential_fn(likelihood)),
        num_warmup=300,
        num_samples=500 if options.small else 2000,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(keys[5], init_params=jnp.full((4, 1), estimate))
    draws = np.asarray(mcmc.get_samples()).ravel()
    print(
        f"sampling: {draws.mean():.3f} ± {draws.std():.3f}; by the exact likelihood {exact_mean:.3f} ± "
        f"{exact_sd:.3f}"
    )
    assert abs(estimate - exact_mode) < 0.5 * exact_sd, (estimate, exact_mode)
    assert abs(draws.mean() - exact_mean) < 0.5 * exact_sd, (draws.mean(), exact_mean)
    assert abs(draws.std() / exact_sd - 1) < 0.2, (draws.std(), exact_sd)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        figure = picture(thetas, posterior, draws, np.asarray(climbed.path[:, 0]))
        figure.savefig(options.out / "fisher_score_matching.png", dpi=150)


def picture(
    thetas: np.ndarray, posterior: np.ndarray, draws: np.ndarray, path: np.ndarray
) -> Figure:
    """The climb, and draws under the exact likelihood."""
    figure = Figure(figsize=(7.5, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(path, color="#0b5c8f")
    left.axhline(TRUTH, color="#5d6875", linewidth=0.8)
    left.set_xlabel("step")
    left.set_ylabel("parameter")
    right.hist(draws, 40, density=True, color="#c8d7e6", label="MALA on the learned likelihood")
    right.plot(thetas, posterior, color="#1d2530", label="exact, by quadrature")
    right.set_xlim(-1.0, 0.0)
    right.set_xlabel("parameter")
    right.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
