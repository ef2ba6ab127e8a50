r"""Efficiency and coverage on the quartic family, by simulation with the package's objectives.

`python -m benchmarks.efficiency` draws data sets of 5000 examples from the family's member nearest to the
toy mixture, estimates the parameters on each with each objective, all in one compiled run, and prints

- the efficiency $3 / \operatorname{tr}(I\, \mathrm{Cov})$ beside what theory says (by quadrature, in
  `ebm_ppl.validation.estimation`), and the distance between them in Monte Carlo errors;
- the share of data sets in which the 95% interval of the sandwich standard errors covers the truth, for
  each of the three parameters.

Roots are found from the truth on: by Newton's method where what the objective draws stays as it is, and
for contrastive divergence, whose chains follow the parameters, by Robbins-Monro steps $\theta_t =
\theta_{t-1} - J^{-1} \psi_t / t$ with new chains in each and the expected Jacobian $J$; after $m$ of them the
chains' noise is that of $m$ chains an example.
"""

import dataclasses
import functools
import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from jax.scipy.special import ndtri

import ebm_ppl as ebm
from ebm_ppl.trainers import Batch, Model, standard_errors
from ebm_ppl.validation import estimation
from ebm_ppl.validation.estimation import QUARTIC
from ebm_ppl.validation.problems import PolynomialEnergy

NUM_EXAMPLES = 5000
NOISE_VARIANCE = 4.25
NUM_NEWTON_STEPS = 5
NUM_DRAWS = 4
"""Draws of the objective over which standard errors are averaged."""

_COVERAGE_QUANTILE = 1.959964

Outcome = Callable[[Any], jax.Array]
"""From a data set and a key to the estimate and its standard errors, shape (2, 3)."""


@functools.cache
def truth() -> np.ndarray:
    """The parameter that data are drawn at: the population maximum likelihood on the toy mixture."""
    law = estimation.toy_mixture(estimation.line())
    return estimation.population_minimiser(estimation.MaximumLikelihood(QUARTIC), law)


@dataclasses.dataclass(frozen=True)
class Case:
    """An objective of the package with its theory.

    Attributes:
        name: Name in the table.
        theory: The estimator whose efficiency is expected.
        outcome: Estimate and standard errors of one data set.
        batch_size: Data sets that are worked on at a time.
    """

    name: str
    theory: estimation.AbstractEstimator
    outcome: Outcome
    batch_size: int = 20


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one case.

    Attributes:
        name: Name of the case.
        expected: Efficiency by theory.
        measured: Efficiency by simulation.
        error: Its Monte Carlo standard error.
        coverage: Share of 95% intervals that hold the truth, one number a parameter.
        seconds: Wall time.
    """

    name: str
    expected: float
    measured: float
    error: float
    coverage: list[float]
    seconds: float


def batch_of(x: jax.Array) -> Batch:
    """All examples of a data set."""
    return Batch(x, None, jnp.arange(len(x)))


def with_errors(
    objective: Any,
    model: Model,
    batch: Batch,
    rng_key: jax.Array,
    carried: Any,
    num_averaged: int | None = None,
) -> jax.Array:
    """The estimate above its standard errors."""
    errors = standard_errors(
        objective,
        model,
        batch,
        rng_key,
        carried=carried,
        num_draws=NUM_DRAWS,
        num_averaged=num_averaged,
    )
    return jnp.stack([model.energy.theta, errors.energy.theta])


def by_newton(objective: Any, expected_noise: bool = False) -> Outcome:
    """Newton's method from the truth on, with the objective's draws held fixed.

    Args:
        objective: An objective of the package.
        expected_noise: Whether noise is spread over its quantiles instead of drawn, so that its mean
            stands for an infinity of fresh draws.
    """

    def outcome(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, rng_key = inputs
        batch, energy = batch_of(x), PolynomialEnergy(truth())
        learned, carried = objective.init(energy, batch, rng_key)
        if learned is not None:
            nodes = estimation.line()
            learned = {"log_z": jnp.asarray(QUARTIC.log_z(truth(), nodes), dtype=float)}
        flat, unravel = ravel_pytree(Model(energy, learned))
        key_draw, key_errors = jax.random.split(rng_key)
        if expected_noise:
            sample = objective.source.contrast(batch, quantiles(x, objective.source.num_noise))
        else:
            prepared = objective.prepare(
                Model(energy, learned), batch, carried, jnp.asarray(0), key_draw
            )
            sample = prepared.sample

        def loss(flat: jax.Array) -> jax.Array:
            return jnp.mean(objective.losses(unravel(flat), batch, sample))

        def step(_: jax.Array, flat: jax.Array) -> jax.Array:
            return flat - jnp.linalg.solve(jax.hessian(loss)(flat), jax.grad(loss)(flat))

        model = unravel(jax.lax.fori_loop(0, NUM_NEWTON_STEPS, step, flat))
        return with_errors(objective, model, batch, key_errors, carried)

    return outcome


def quantiles(x: jax.Array, num_noise: int) -> jax.Array:
    """Midpoints of equally likely cells of the noise, one row an example."""
    count = len(x) * num_noise
    levels = (jnp.arange(count) + 0.5) / count
    return math.sqrt(NOISE_VARIANCE) * ndtri(levels).reshape(num_noise, len(x)).T


def by_robbins_monro(objective: Any, jacobian: np.ndarray, num_steps: int) -> Outcome:
    """Steps with the expected Jacobian, divided by their number, new chains in each."""
    inverse = np.linalg.inv(jacobian)

    def outcome(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, rng_key = inputs
        batch = batch_of(x)
        key_steps, key_errors = jax.random.split(rng_key)

        def step(theta: jax.Array, count: jax.Array) -> tuple[jax.Array, None]:
            model = Model(PolynomialEnergy(theta))
            key = jax.random.fold_in(key_steps, count)
            prepared = objective.prepare(model, batch, None, jnp.asarray(0), key)

            def loss(theta: jax.Array) -> jax.Array:
                at = Model(PolynomialEnergy(theta))
                return jnp.mean(objective.losses(at, batch, prepared.sample))

            return theta - inverse @ jax.grad(loss)(theta) / (count + 1), None

        theta, _ = jax.lax.scan(step, jnp.asarray(truth()), jnp.arange(num_steps))
        model = Model(PolynomialEnergy(theta))
        return with_errors(objective, model, batch, key_errors, None, num_averaged=num_steps)

    return outcome


def noise_contrastive(num_noise: int, fresh: bool) -> Case:
    """NCE with normal noise of the toy mixture's variance."""
    noise = dist.Normal(0.0, math.sqrt(NOISE_VARIANCE))
    objective = ebm.NoiseContrastive(noise, num_noise, fresh_noise=fresh)
    density = estimation.normal_density(NOISE_VARIANCE)
    theory = estimation.NoiseContrastive(QUARTIC, density, num_noise, fresh=fresh)
    name = f"NCE, {'fresh' if fresh else 'fixed'} noise, ν = {num_noise}"
    return Case(name, theory, by_newton(objective, expected_noise=fresh), max(1, 20 // num_noise))


def contrastive_divergence(kernel: Any, theory_kernel: Any, num_steps: int, m: int) -> Case:
    """CD-k with m chains an example, one at a time."""
    theory = estimation.ContrastiveDivergence(QUARTIC, theory_kernel, num_steps, m)
    nodes = estimation.line()
    law = QUARTIC.law(truth(), nodes)
    jacobian = estimation.sensitivity(theory, truth(), law)
    move = ebm.Moves(kernel, step_size=theory_kernel.step_size)
    objective = ebm.ContrastiveDivergence(move, num_steps)
    name = f"CD-{num_steps}, {kernel.__name__} {theory_kernel.step_size:g}, m = {m}"
    return Case(name, theory, by_robbins_monro(objective, jacobian, m))


def random_walk(num_steps: int, m: int) -> Case:
    """CD-k by random-walk moves of standard deviation 2.5."""
    return contrastive_divergence(
        ebm.RandomWalkMetropolis, estimation.RandomWalk(2.5), num_steps, m
    )


def mala(num_steps: int, m: int) -> Case:
    """CD-k by MALA of step size 0.05, which does not cross between the wells."""
    return contrastive_divergence(ebm.MALA, estimation.Mala(0.05), num_steps, m)


def exact_maximum_likelihood() -> Case:
    """The yardstick itself."""
    grid = ebm.ExactMaximumLikelihood.for_energy(PolynomialEnergy(truth()))
    return Case("exact maximum likelihood", estimation.MaximumLikelihood(QUARTIC), by_newton(grid))


CASES: dict[str, Callable[[], Case]] = {
    "exact": exact_maximum_likelihood,
    "score_matching": lambda: Case(
        "score matching", estimation.ScoreMatching(QUARTIC), by_newton(ebm.ScoreMatching())
    ),
    "nce-1": lambda: noise_contrastive(1, fresh=False),
    "nce-3": lambda: noise_contrastive(3, fresh=False),
    "nce-10": lambda: noise_contrastive(10, fresh=False),
    "nce-100": lambda: noise_contrastive(100, fresh=False),
    "nce-fresh-1": lambda: noise_contrastive(1, fresh=True),
    "nce-fresh-10": lambda: noise_contrastive(10, fresh=True),
    "rw-1": lambda: random_walk(1, 100),
    "rw-10": lambda: random_walk(10, 4),
    "rw-1-single": lambda: random_walk(1, 1),
    "rw-10-single": lambda: random_walk(10, 1),
    "mala-1": lambda: mala(1, 20),
    "mala-30": lambda: mala(30, 2),
}


def measure(case: Case, data: jax.Array, control: np.ndarray, seed: int) -> Row:
    """Estimate on every data set and compare with theory."""
    began = time.perf_counter()
    keys = jax.random.split(jax.random.key(seed), len(data))

    def flat(inputs: Any) -> jax.Array:
        return case.outcome(inputs).ravel()

    results = estimation.estimate_all(flat, (data, keys), batch_size=case.batch_size)
    estimates, errors = results[:, :3], results[:, 3:]
    nodes = estimation.line()
    information = QUARTIC.information(truth(), nodes)
    # Where the estimates are maximum likelihood's, these as a control variate would leave no error.
    is_control = isinstance(case.theory, estimation.MaximumLikelihood)
    found = estimation.measured_efficiency(
        estimates, truth(), information, NUM_EXAMPLES, None if is_control else control
    )
    expected = estimation.well_specified_efficiency(case.theory, truth(), nodes).overall
    covered = np.abs(estimates - truth()) <= _COVERAGE_QUANTILE * errors
    return Row(
        name=case.name,
        expected=expected,
        measured=found.value,
        error=found.error,
        coverage=np.mean(covered, axis=0).tolist(),
        seconds=time.perf_counter() - began,
    )


def draw(num_data_sets: int, seed: int) -> tuple[jax.Array, np.ndarray]:
    """Data sets at the truth, and their maximum likelihood estimates by code of another hand."""
    law = QUARTIC.law(truth(), estimation.line(7.0, 0.002))
    data = estimation.draw_data_sets(law, jax.random.key(seed), num_data_sets, NUM_EXAMPLES)
    reference = estimation.maximum_likelihood_estimator(QUARTIC, truth(), estimation.line())
    return data, estimation.estimate_all(reference, data)


@click.command(help=__doc__)
@click.option("--seed", type=int, default=0, help="Seed of data and draws.")
@click.option("--num-data-sets", type=click.IntRange(10), default=1000)
@click.option("--case", "names", multiple=True, type=click.Choice(tuple(CASES)))
@click.option("--out", type=click.Path(path_type=pathlib.Path), help="JSON file for the figures.")
def main(seed: int, num_data_sets: int, names: tuple[str, ...], out: pathlib.Path | None) -> None:
    """Run the benchmark and print its table row by row."""
    data, control = draw(num_data_sets, seed)
    click.echo("| objective | theory | simulation | errors | coverage a, b, λ (%) | s |")
    click.echo("|---|---|---|---|---|---|")
    rows = []
    for number, name in enumerate(names or CASES):
        row = measure(CASES[name](), data, control, seed + 1 + number)
        rows.append(row)
        coverage = ", ".join(f"{100 * share:.1f}" for share in row.coverage)
        click.echo(
            f"| {row.name} | {row.expected:.3f} | {row.measured:.4f} ± {row.error:.4f} | "
            f"{(row.measured - row.expected) / row.error:+.1f} | {coverage} | {row.seconds:.0f} |"
        )
        if out is not None:
            out.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
