r"""Toys of the plane by five objectives: what each makes of the same network, told by the divergence.

Eight gaussians, two moons, a pinwheel and a checkerboard are known exactly, so KL(law ‖ model) can be
integrated. Each objective fits them with the same perceptron: exact maximum likelihood on a grid,
noise-contrastive estimation, flow contrastive estimation, whose noise is a flow that begins as a standard
normal law, persistent chains that now and then propose from anywhere in the square, and denoising score
matching over many levels of noise. Every fit has to come much closer to its law than a normal law with the
same moments does: its divergence may be a tenth of that of the normal law.

The pictures show data, densities with their divergence in nats, and draws: exact ones, and those of annealed
Langevin for the energies of denoising.

Run it with `python examples/two_dimensional_toys.py --out plots`.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flowjax.distributions as flows
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from flowjax.flows import coupling_flow
from matplotlib.figure import Figure

import ebm_ppl as ebm
from ebm_ppl.validation.datasets import PLANE_LAWS, AbstractLaw, kl_divergence

HALF_WIDTH = 5.0
"""The laws lie within [-5, 5]²."""

LEAST_NOISE, MOST_NOISE = 0.1, 2.0
NOISE_SCALES = np.geomspace(12.0, LEAST_NOISE, 40)


class Size(NamedTuple):
    """How much to do."""

    laws: tuple[str, ...]
    width: int
    depth: int
    num_steps: int
    num_data: int
    num_intervals: int
    bound: float


FULL = Size(tuple(PLANE_LAWS), 64, 3, 4000, 100_000, 256, bound=0.1)
SMALL = Size(("two_moons",), 32, 2, 800, 20_000, 96, bound=0.75)


@dataclasses.dataclass(frozen=True)
class Learned:
    """A fitted law: its divergence, a density to look at, and how to draw from it."""

    kl: float
    density: ebm.quadrature.QuadratureDensity
    draw: Callable[[jax.Array, int], Any]


def square() -> dist.Distribution:
    """The uniform law of the square that holds the toys."""
    return dist.Uniform(-HALF_WIDTH, HALF_WIDTH).expand((2,)).to_event(1)


def noise() -> dist.Distribution:
    """Noise for contrast: the square, and two normal laws that reach beyond it."""
    normals = [dist.Normal(0.0, scale).expand((2,)).to_event(1) for scale in (2.0, 5.0)]
    weights = dist.Categorical(jnp.array([0.5, 0.375, 0.125]))
    return dist.MixtureGeneral(weights, [square(), *normals], support=dist.constraints.real_vector)


def anywhere(potential_fn: Callable) -> ebm.IndependenceMetropolis:
    """A kernel that proposes from the whole square, whatever lies between."""
    return ebm.IndependenceMetropolis(potential_fn=potential_fn, proposal=square())


def muon(num_steps: int) -> optax.GradientTransformation:
    """Muon for the matrices of weights and Adam for all else, warmed up and decaying to 0."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-2, num_steps // 50, num_steps)
    return optax.contrib.muon(schedule)


def objectives(rng_key: jax.Array, num_steps: int) -> dict[str, Any]:
    """The objectives by the name in the picture."""
    flow = coupling_flow(
        rng_key, base_dist=flows.Normal(jnp.zeros(2)), flow_layers=6, nn_activation=jax.nn.silu
    )
    flow_optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(1e-3, num_steps))
    )
    moves = (ebm.Moves(anywhere), ebm.Moves(ebm.RandomWalkMetropolis, step_size=0.3))
    grid = ebm.QuadratureNormalizer(((-8.0, 8.0),) * 2, num_intervals=64, edge_tolerance=1.0)
    return {
        "exact maximum likelihood": ebm.ExactMaximumLikelihood(grid),
        "noise contrast": ebm.NoiseContrastive(noise()),
        "flow contrast": ebm.FlowContrastive(flow, flow_optimizer),
        "persistent chains": ebm.PersistentCD(moves, num_steps=2),
        "annealed denoising": ebm.AnnealedDenoisingScoreMatching(
            dist.LogUniform(LEAST_NOISE, MOST_NOISE), weight_floor=0.1
        ),
    }


def learn(objective: Any, law: AbstractLaw, size: Size, rng_key: jax.Array) -> Learned:
    """Fit a law with an objective, and compare the two."""
    key_data, key_energy, key_fit = jax.random.split(rng_key, 3)
    shape = {"rng_key": key_energy, "width": size.width, "depth": size.depth}
    is_annealed = isinstance(objective, ebm.AnnealedDenoisingScoreMatching)
    start = (
        ebm.energies.NeuralNoiseConditionalEnergy((2,), data_scale=2.0, **shape)
        if is_annealed
        else ebm.energies.NeuralEnergy((2,), confinement=1 / 16, **shape)
    )
    fit = ebm.fit(
        start,
        law.sample(key_data, size.num_data),
        objective,
        muon(size.num_steps),
        num_steps=size.num_steps,
        rng_key=key_fit,
        progress_bar=False,
    )
    trained = fit.energy.at(sigma=LEAST_NOISE) if is_annealed else fit.energy
    density = ebm.quadrature.normalize(
        trained, bounds=((-12.0, 12.0),) * 2, num_intervals=size.num_intervals
    )

    def draw(rng_key: jax.Array, num_samples: int) -> Any:
        if is_annealed:
            return ebm.samplers.annealed_langevin(fit.energy, NOISE_SCALES, rng_key, num_samples)
        return density.sample(rng_key, (num_samples,))

    return Learned(kl_divergence(law, density).value, density, draw)


def normal_kl(law: AbstractLaw) -> float:
    """Divergence of a law from the normal law with its moments, in closed form."""
    points, masses, _ = law.nodes()
    mean = masses @ points
    covariance = (points - mean).T * masses @ (points - mean)
    normal_entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance).logabsdet
    return float(normal_entropy - law.entropy().value)


def plot(path: pathlib.Path, law: AbstractLaw, models: dict[str, Learned], key: jax.Array) -> None:
    """Draw data and densities above, and draws of each model below."""
    figure = Figure(figsize=(2.4 * (1 + len(models)), 5.0), layout="constrained")
    axes = figure.subplots(2, 1 + len(models))
    ticks = np.linspace(-HALF_WIDTH, HALF_WIDTH, 161)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)

    def show_density(ax: Any, density: np.ndarray, title: str) -> None:
        image = density.reshape(len(ticks), -1)
        ax.imshow(image, origin="lower", extent=(-HALF_WIDTH, HALF_WIDTH) * 2, cmap="viridis")
        ax.set_title(title, fontsize=9)

    def show_draws(ax: Any, draws: Any) -> None:
        ax.plot(*np.asarray(draws).T, ".", markersize=1.2, color="#1b3a5d")
        ax.set(xlim=(-HALF_WIDTH, HALF_WIDTH), ylim=(-HALF_WIDTH, HALF_WIDTH), aspect="equal")

    show_density(axes[0, 0], np.exp(law.log_density(points)), law.name.replace("_", " "))
    show_draws(axes[1, 0], law.sample(key, 2000))
    for column, (name, model) in zip(axes.T[1:], models.items(), strict=True):
        density = np.asarray(model.density.density(points))
        show_density(column[0], density, f"{name}\nKL {model.kl:.4f}")
        show_draws(column[1], model.draw(key, 2000))
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def require(holds: bool, claim: str) -> None:
    """End the program with an error unless a claim holds."""
    if not holds:
        raise SystemExit(f"This claim does not hold: {claim}.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one law, small network, few steps")
    parser.add_argument("--law", choices=tuple(PLANE_LAWS), action="append", help="only this law")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random keys")
    parser.add_argument("--out", type=pathlib.Path, help="folder in which to save the pictures")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the example; raise `SystemExit` if its claim does not hold."""
    options = parse(argv)
    size = SMALL if options.small else FULL
    key_objective, key_fit, key_draw = jax.random.split(jax.random.key(options.seed), 3)
    for law_name in options.law or size.laws:
        law = PLANE_LAWS[law_name]
        reference = normal_kl(law)
        print(f"\n{law_name}: KL in nats; of the normal law with its moments {reference:.4f}")
        models = {}
        for name, objective in objectives(key_objective, size.num_steps).items():
            models[name] = learn(objective, law, size, key_fit)
            print(f"  {name:26} {models[name].kl:.4f}")
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            plot(options.out / f"two_dimensional_toys_{law_name}.png", law, models, key_draw)
        for name, model in models.items():
            claim = f"{name} is at most {size.bound:g} times as far from {law_name} as that"
            require(model.kl <= size.bound * reference, claim)


if __name__ == "__main__":
    main()
