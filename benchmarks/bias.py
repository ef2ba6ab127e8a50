"""What objectives converge to where the family does not hold the data: theory beside the package's fits.

`python -m benchmarks.bias` fits the quartic family to the toy mixture, by a sample that stands for
infinitely many examples: the midpoints of equally likely cells. It prints the excess
Kullback-Leibler divergence over maximum likelihood of what `fit` ends at, and of the root of the population
gradient by quadrature. Objectives without a fit in the table are given by theory alone.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import click
import jax
import numpy as np
import numpyro.distributions as dist
import optax

import ebm_ppl as ebm
from ebm_ppl.trainers import newton, polyak_averaging, scale_by_fisher
from ebm_ppl.validation import estimation
from ebm_ppl.validation.estimation import QUARTIC

NUM_EXAMPLES = 20_000
NOISE_VARIANCE = 4.25
NODES = estimation.line()


@dataclasses.dataclass(frozen=True)
class Case:
    """An objective of the package with its theory.

    Attributes:
        name: Name in the table.
        theory: The estimator whose root is expected.
        fit: From examples to the fitted energy; `None` where theory alone is given.
    """

    name: str
    theory: estimation.AbstractEstimator
    fit: Callable[[jax.Array], Any] | None = None


def stratified(count: int) -> jax.Array:
    """Midpoints of equally likely cells of the toy mixture, in random order."""
    law = estimation.toy_mixture(estimation.line(7.0, 0.001))
    levels = (np.arange(count) + 0.5) / count
    points = np.interp(levels, np.cumsum(law.mass) - law.mass / 2, law.nodes)
    return jax.random.permutation(jax.random.key(0), points.astype(np.float32))


def fitted(
    objective: Any, optimizer: Any, num_steps: int, num_burn_in: int
) -> Callable[[jax.Array], Any]:
    """A fit from near the maximum of the likelihood, with averaged parameters."""

    def run(data: jax.Array) -> Any:
        return ebm.fit(
            ebm.energies.Quartic(a=-1.2, b=0.0, gamma=-2.0),
            data,
            objective,
            optimizer,
            rng_key=jax.random.key(1),
            num_steps=num_steps,
            batch_size=len(data),
            ema_decay=polyak_averaging(num_burn_in),
            progress_bar=False,
        ).energy

    return run


def by_newton(objective: Any) -> Callable[[jax.Array], Any]:
    """Newton's method, averaged over the draws of sixty steps."""
    return fitted(objective, newton(), num_steps=70, num_burn_in=10)


def by_natural_gradient(objective: Any, num_steps: int) -> Callable[[jax.Array], Any]:
    """Natural gradients, for chains that follow the parameters."""
    start = ebm.energies.Quartic(a=-1.2, b=0.0, gamma=-2.0)
    points = stratified(300)
    optimizer = optax.chain(scale_by_fisher(start, points), optax.scale_by_learning_rate(0.5))
    return fitted(objective, optimizer, num_steps, num_steps // 2)


def noise_contrastive(ratio: int, *, with_fit: bool) -> Case:
    """NCE with normal noise of the mixture's variance."""
    noise = dist.Normal(0.0, math.sqrt(NOISE_VARIANCE))
    density = estimation.normal_density(NOISE_VARIANCE)
    return Case(
        f"NCE, ν = {ratio}",
        estimation.NoiseContrastive(QUARTIC, density, ratio),
        by_newton(ebm.NoiseContrastive(noise, ratio)) if with_fit else None,
    )


def denoising(sigma: float) -> Case:
    """Denoising score matching."""
    return Case(
        f"denoising score matching, σ = {sigma:g}",
        estimation.DenoisingScoreMatching(QUARTIC, sigma),
        by_newton(ebm.DenoisingScoreMatching(sigma)),
    )


def contrastive_divergence(num_steps: int, fit_steps: int) -> Case:
    """CD-k by MALA of step size 0.01; `fit_steps` 0 for theory alone."""
    objective = ebm.ContrastiveDivergence(ebm.Moves(ebm.MALA, step_size=0.01), num_steps)
    return Case(
        f"CD-{num_steps}, MALA 0.01",
        estimation.ContrastiveDivergence(QUARTIC, estimation.Mala(0.01), num_steps),
        by_natural_gradient(objective, fit_steps) if fit_steps else None,
    )


def persistent(step_size: float, fit_steps: int) -> Case:
    """Persistent CD by unadjusted Langevin steps, in equilibrium; `fit_steps` 0 for theory alone."""
    kernel = estimation.UnadjustedLangevin(step_size)
    move = ebm.Moves(ebm.Langevin, step_size=step_size)
    objective = ebm.PersistentCD(move, num_steps=5, num_chains=NUM_EXAMPLES)
    return Case(
        f"persistent CD, Langevin {step_size:g}",
        estimation.PersistentLangevin(QUARTIC, kernel),
        by_natural_gradient(objective, fit_steps) if fit_steps else None,
    )


def cases() -> list[Case]:
    """All rows of the table."""
    return [
        Case("score matching", estimation.ScoreMatching(QUARTIC), by_newton(ebm.ScoreMatching())),
        *(denoising(sigma) for sigma in (0.05, 0.1, 0.2)),
        noise_contrastive(1, with_fit=True),
        noise_contrastive(10, with_fit=True),
        noise_contrastive(100, with_fit=False),
        contrastive_divergence(1, 2000),
        contrastive_divergence(10, 400),
        contrastive_divergence(30, 0),
        contrastive_divergence(100, 0),
        persistent(0.05, 300),
        persistent(0.02, 600),
        persistent(0.01, 0),
        persistent(0.005, 0),
    ]


@click.command(help=__doc__)
@click.option("--theory-only", is_flag=True, help="Print the population minimisers alone.")
def main(theory_only: bool) -> None:
    """Print the table row by row."""
    law = estimation.toy_mixture(NODES)
    data = stratified(NUM_EXAMPLES)
    click.echo("| objective | excess by theory | excess of the fit |")
    click.echo("|---|---|---|")
    for case in cases():
        root = estimation.population_minimiser(case.theory, law)
        expected = f"{estimation.excess(root, QUARTIC, law):.2e}"
        found = ""
        if case.fit is not None and not theory_only:
            energy = case.fit(data)
            theta = np.array([energy.a, energy.b, np.exp(float(energy.gamma))], dtype=np.float64)
            found = f"{estimation.excess(theta, QUARTIC, law):.2e}"
        click.echo(f"| {case.name} | {expected} | {found} |")


if __name__ == "__main__":
    main()
