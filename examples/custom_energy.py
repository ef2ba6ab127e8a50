r"""What you write to bring an energy of your own, as a class or as a function, and to have it proved.

1. A class, where the energy has parameters: the generalised inverse Gaussian law,
   $$E(x) = (1 - p) \log x + \tfrac12 \left(a x + \frac b x\right), \quad x > 0, \qquad
   Z = 2 K_p(\sqrt{ab}) \left(\frac b a\right)^{p/2},$$
   with the modified Bessel function $K_p$.
2. A plain function, where it has none: the three-hump camel in the plane, an optimisation benchmark
   with three wells.

Both are normalised by quadrature, sampled and validated; the verdict of every check is printed. What
`validation.run` asks here, the command line asks too:

    ebm-ppl validate --energy examples/custom_energy.py:GeneralizedInverseGaussian
    ebm-ppl validate --energy examples/custom_energy.py:three_hump_camel --event-shape 2

Run it with `python examples/custom_energy.py --out plots`.

References:
    Jørgensen (1982). Statistical Properties of the Generalized Inverse Gaussian Distribution. Springer.
"""

import argparse
import pathlib
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpyro.distributions import constraints
from numpyro.infer import MCMC, NUTS
from scipy.special import kv

import ebm_ppl as ebm
from ebm_ppl import validation
from ebm_ppl.energies import as_parameter
from ebm_ppl.quadrature import QuadratureDensity


class GeneralizedInverseGaussian(ebm.AbstractEnergy):
    """The energy as a class: array fields are its parameters, `_energy` is the energy of one point."""

    order: jax.Array = eqx.field(converter=as_parameter, default=1.5)
    a: jax.Array = eqx.field(converter=as_parameter, default=2.0)
    b: jax.Array = eqx.field(converter=as_parameter, default=1.0)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: a scalar."""
        return ()

    @property
    def support(self) -> constraints.Constraint:
        """The positive numbers; samplers move in their logarithm, with its Jacobian."""
        return constraints.positive

    def _energy(self, x: jax.Array) -> jax.Array:
        return (1 - self.order) * jnp.log(x) + 0.5 * (self.a * x + self.b / x)

    def closed_form_log_z(self) -> float:
        """Log partition function in double precision."""
        order, a, b = float(self.order), float(self.a), float(self.b)
        return float(np.log(2 * kv(order, np.sqrt(a * b))) + 0.5 * order * np.log(b / a))


def three_hump_camel(x: jax.Array) -> jax.Array:
    """The energy as a function of one point of shape (2,); written in JAX, it returns a scalar."""
    u, v = x
    return 3.0 * (2.0 * u**2 - 1.05 * u**4 + u**6 / 6.0 + u * v + v**2)


def draws_by_model(energy: ebm.AbstractEnergy, rng_key: jax.Array, num_samples: int) -> np.ndarray:
    """MALA on the energy's model: draws by name, in the support."""
    mcmc = MCMC(
        ebm.MALA(ebm.as_model(energy)),
        num_warmup=500,
        num_samples=num_samples,
        num_chains=16,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(rng_key)
    return np.asarray(mcmc.get_samples()["x"])


def draws_by_potential(
    energy: ebm.AbstractEnergy, rng_key: jax.Array, num_samples: int
) -> np.ndarray:
    """NUTS on the energy's potential: draws unconstrained unless `postprocess_fn` maps them back."""
    potential = ebm.potential_fn(energy)
    mcmc = MCMC(
        NUTS(potential_fn=potential),
        num_warmup=500,
        num_samples=num_samples,
        num_chains=16,
        chain_method="vectorized",
        postprocess_fn=potential.constrain,
        progress_bar=False,
    )
    mcmc.run(rng_key, init_params=jax.random.normal(rng_key, (16, *potential.position_shape)))
    return np.asarray(mcmc.get_samples())


def print_row(row: validation.Row) -> None:
    """One line for each verdict, as it falls."""
    result = row.result
    print(
        f"{result.verdict.upper():5} {row.energy} × {row.kernel}: {result.check}. {result.detail}"
    )


def plot(
    path: pathlib.Path, truths: Sequence[QuadratureDensity], draws: Sequence[np.ndarray]
) -> None:
    """Draw both densities with the draws."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    line, plane = figure.subplots(1, 2)
    plot_line(line, truths[0], draws[0])
    plot_plane(plane, truths[1], draws[1])
    figure.savefig(path, dpi=120)
    print(f"plot: {path}")


def plot_line(ax: Axes, truth: QuadratureDensity, draws: np.ndarray) -> None:
    """The density of a positive number over the histogram of its draws."""
    grid = np.linspace(0.01, 8.0, 300)
    ax.hist(draws, bins=60, range=(0, 8), density=True, color="#c9d6e8")
    ax.plot(grid, truth.density(grid), color="#1b3a5d")
    ax.set(title="generalised inverse Gaussian, MALA", xlabel="x")


def plot_plane(ax: Axes, truth: QuadratureDensity, draws: np.ndarray) -> None:
    """Contours of the density of a point of the plane, and its draws."""
    axis = np.linspace(-2.6, 2.6, 121)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    ax.plot(*draws[:3000].T, ".", markersize=1.5, color="#8fa9c9")
    ax.contour(axis, axis, truth.density(grid), levels=8, colors="#1b3a5d", linewidths=0.8)
    ax.set(title="three-hump camel, NUTS", xlabel="u", ylabel="v")


def require(holds: bool, claim: str) -> None:
    """End the program with an error unless a claim holds."""
    if not holds:
        raise SystemExit(f"This claim does not hold: {claim}.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--small",
        action="store_true",
        help="validate the class alone, with one kernel, and draw less",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random keys")
    parser.add_argument("--out", type=pathlib.Path, help="folder in which to save the plot")
    options = parser.parse_args(argv)
    if options.seed < 0:
        parser.error(f"argument --seed: must be at least 0; got {options.seed}")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if one of its claims does not hold."""
    options = parse(argv)
    inverse_gaussian = GeneralizedInverseGaussian()
    camel = ebm.energies.from_callable(three_hump_camel, event_shape=(2,))

    truths = [ebm.quadrature.normalize(energy) for energy in (inverse_gaussian, camel)]
    for name, truth in zip(("generalised inverse Gaussian", "camel"), truths, strict=True):
        print(f"log Z of the {name}: {truth.log_z:.10f} ± {truth.log_z_error:.0e} ({truth.rule})")
    error = abs(truths[0].log_z - inverse_gaussian.closed_form_log_z())
    require(error <= 1e-8, "log Z by quadrature agrees with its closed form to 1e-8")

    questioned: dict[str, ebm.AbstractEnergy] = {"inverse Gaussian": inverse_gaussian}
    if not options.small:
        questioned["camel"] = camel
    report = validation.run(
        questioned,
        kernels=["mala"] if options.small else ["mala", "nuts"],
        mode="quick",
        seed=options.seed,
        on_row=print_row,
    )
    require(report.passed, "every check passes")

    if options.out is not None:
        num_samples = 200 if options.small else 1000
        keys = jax.random.split(jax.random.key(options.seed), 2)
        draws = [
            draws_by_model(inverse_gaussian, keys[0], num_samples),
            draws_by_potential(camel, keys[1], num_samples),
        ]
        options.out.mkdir(parents=True, exist_ok=True)
        plot(options.out / "custom_energy.png", truths, draws)


if __name__ == "__main__":
    main()
