r"""What you write to bring a kernel of your own, to have it proved, and to see a wrong one rejected.

MALA's drift $-\epsilon \nabla U$ overshoots where the gradient grows faster than linearly: far out in
the tails of a quartic it lands so much farther out that every proposal is refused, and the chain never
moves. The kernel here bounds the drift,

$$w' = w - \epsilon T(w) + \sqrt{2 \epsilon}\, \xi, \qquad
T = \frac{\nabla U}{1 + \epsilon \|\nabla U\|}, \qquad \xi \sim N(0, I),$$

so no drift is longer than 1. A bug that is easily made is to bound the drift of the proposal but not
that of its density. The kernel with this bug runs without a complaint, and its draws follow another law.

Run it with `python examples/custom_kernel.py --out plots`.

References:
    Roberts & Tweedie (1996). Exponential convergence of Langevin distributions and their discrete
    approximations. Bernoulli 2. (Their MALTA truncates the drift.)
    Brosse, Durmus, Moulines & Sabanis (2019). The tamed unadjusted Langevin algorithm. Stochastic
    Processes and their Applications 129. (The form of $T$.)
"""

import argparse
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from numpyro.infer import MCMC

import ebm_ppl as ebm
from ebm_ppl import validation
from ebm_ppl.samplers import AbstractMetropolisKernel, Point

FAR = 20.0
"""Where the chains start that have to find their way back."""

NUM_CHAINS = 64


class TamedMALA(AbstractMetropolisKernel):
    """MALA with a bounded drift: a proposal and its density ratio are all that has to be written."""

    gradient_evaluations_per_step = 1

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[[Any], jax.Array] | None = None,
        step_size: float = 0.5,
        adapt_step_size: bool = True,
        target_accept_prob: float = 0.574,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            step_size=step_size,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_step_size,
            target_accept_prob=target_accept_prob,
        )

    def propose(self, noise: jax.Array, start: Point, step_size: jax.Array) -> jax.Array:
        r"""$w - \epsilon T(w) + \sqrt{2 \epsilon}\, \xi$."""
        drift = -step_size * tamed(start.gradient, step_size)
        return start.position + drift + jnp.sqrt(2 * step_size) * noise

    def log_proposal_ratio(self, start: Point, end: Point, step_size: jax.Array) -> jax.Array:
        r"""$\left(\|w' - w + \epsilon T(w)\|^2 - \|w - w' + \epsilon T(w')\|^2\right) / 4 \epsilon$."""
        return log_ratio(
            tamed(start.gradient, step_size),
            tamed(end.gradient, step_size),
            end.position - start.position,
            step_size,
        )


class HalfTamedMALA(TamedMALA):
    """The kernel with a planted bug: its density ratio is that of plain MALA."""

    def log_proposal_ratio(self, start: Point, end: Point, step_size: jax.Array) -> jax.Array:
        """Wrong: the drift of the proposal is bounded, and this one is not."""
        return log_ratio(start.gradient, end.gradient, end.position - start.position, step_size)


def tamed(gradient: jax.Array, step_size: jax.Array) -> jax.Array:
    """The gradient, shortened so that `step_size` times it is shorter than 1."""
    return gradient / (1 + step_size * jnp.linalg.norm(gradient))


def log_ratio(
    there: jax.Array, back: jax.Array, move: jax.Array, step_size: jax.Array
) -> jax.Array:
    """Log density of the way back over the way there, for two drifts; squares have cancelled."""
    return 0.5 * jnp.dot(there + back, move + 0.5 * step_size * (there - back))


CASES = tuple(
    validation.KernelCase(
        name=name,
        make=lambda potential, kernel=kernel: kernel(potential_fn=potential),
        exact=True,
        metropolis=True,  # it has `propose` and `log_acceptance`: detailed balance can be checked
        thinning=20,
    )
    for name, kernel in (("tamed MALA", TamedMALA), ("half-tamed MALA", HalfTamedMALA))
)
"""What the suite has to know about the two kernels: how to make them, and what they claim."""


def paths_from_afar(
    kernel: type[TamedMALA] | type[ebm.MALA], rng_key: jax.Array, num_samples: int
) -> np.ndarray:
    """Chains on a quartic energy that all start at `FAR`, shape (NUM_CHAINS, num_samples)."""
    potential = ebm.potential_fn(ebm.energies.Quartic())
    mcmc = MCMC(
        kernel(potential_fn=potential, step_size=0.2, adapt_step_size=False),
        num_warmup=0,
        num_samples=num_samples,
        num_chains=NUM_CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(rng_key, init_params=jnp.full(NUM_CHAINS, FAR))
    return np.asarray(mcmc.get_samples(group_by_chain=True))


def judge(cases: Sequence[validation.KernelCase], seed: int) -> dict[str, list[validation.Row]]:
    """Ask the suite about kernels on an asymmetric target with two modes; rows by kernel."""

    def show(row: validation.Row) -> None:
        result = row.result
        line = f"{result.verdict.upper():5} {row.kernel}: {result.check}"
        print(line if row.kernel != "-" else f"{line} of the energy")

    energy = ebm.energies.TiltedDoubleWell()
    report = validation.run(energy, kernels=cases, mode="quick", seed=seed, on_row=show)
    return {case.name: [row for row in report.rows if row.kernel == case.name] for case in cases}


def plot(path: pathlib.Path, paths_of: Mapping[str, np.ndarray]) -> None:
    """Draw the first steps of some chains of each kernel."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, len(paths_of), sharey=True)
    for ax, (name, paths) in zip(panels, paths_of.items(), strict=True):
        ax.plot(paths[:8, :60].T, linewidth=0.8, color="#1b3a5d", alpha=0.6)
        ax.set(title=f"{name}, from x = {FAR:g}", xlabel="step", ylabel="x")
    figure.savefig(path, dpi=120)
    print(f"plot: {path}")


def require(holds: bool, claim: str) -> None:
    """End the program with an error unless a claim holds."""
    if not holds:
        raise SystemExit(f"This claim does not hold: {claim}.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="shorter paths from afar")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random keys")
    parser.add_argument("--out", type=pathlib.Path, help="folder in which to save the plot")
    options = parser.parse_args(argv)
    if options.seed < 0:
        parser.error(f"argument --seed: must be at least 0; got {options.seed}")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if one of its claims does not hold."""
    options = parse(argv)
    key = jax.random.key(options.seed)
    num_samples = 100 if options.small else 1000
    paths_of = {
        kernel.__name__: paths_from_afar(kernel, key, num_samples)
        for kernel in (ebm.MALA, TamedMALA)
    }
    for name, paths in paths_of.items():
        home = int(np.sum(np.abs(paths[:, -1]) < 4))
        print(f"{name}: {home} of {NUM_CHAINS} chains are home after {num_samples} steps")
    require(bool(np.all(paths_of["MALA"] == FAR)), "MALA never moves from afar")
    require(bool(np.all(np.abs(paths_of["TamedMALA"][:, -1]) < 4)), "tamed MALA comes home")

    rows = judge(CASES, options.seed)
    right, wrong = (rows[case.name] for case in CASES)
    require(all(row.result.passed for row in right), "every check of tamed MALA passes")
    rejecting = {row.result.check for row in wrong if row.result.verdict is validation.Verdict.FAIL}
    expected = {"detailed balance", "exact invariance"}
    require(expected <= rejecting, f"{' and '.join(sorted(expected))} reject the planted bug")
    print(f"The planted bug is rejected by {' and '.join(sorted(rejecting))}.")

    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        plot(options.out / "custom_kernel.png", paths_of)


if __name__ == "__main__":
    main()
