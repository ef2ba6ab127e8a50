r"""Flow contrastive estimation: a normalising flow that learns to be mistaken for the data.

Noise-contrastive estimation tells data from noise, and learns little from noise that is easily told. Here
the noise is a FlowJAX flow that starts as a standard normal law and is trained against the energy (Gao et al.
2020), so that it comes closer to the data, and the estimate of the energy and of $\log Z$ closer to maximum
likelihood. The data are four normal clusters on a circle; the divergence of each model from them is known by
quadrature.

Run it with `python examples/flow_contrastive.py --out plots`.

References:
    R. Gao, E. Nijkamp, D. P. Kingma, Z. Xu, A. M. Dai and Y. N. Wu (2020). Flow contrastive estimation of
    energy-based models. Conference on Computer Vision and Pattern Recognition.
"""

import argparse
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow
from matplotlib.figure import Figure

import ebm_ppl as ebm
from ebm_ppl.quadrature import QuadratureDensity


def clusters() -> ebm.energies.GaussianMixture:
    """Four clusters of unequal weight."""
    angles = np.pi / 2 * np.arange(4)
    centres = 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    covariances = np.broadcast_to(0.15 * np.eye(2), (4, 2, 2))
    return ebm.energies.GaussianMixture(
        weights=[0.4, 0.3, 0.2, 0.1], locs=centres, covariance_matrices=covariances
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Train energy and flow against one another, and hold both against the truth."""
    parser = argparse.ArgumentParser(description="Energy and flow, trained against one another.")
    parser.add_argument("--small", action="store_true", help="Fewer steps and a smaller flow.")
    parser.add_argument("--seed", type=int, default=0, help="Where all random keys come from.")
    parser.add_argument("--out", type=pathlib.Path, help="Folder for the picture; none by default.")
    options = parser.parse_args(argv)
    key_data, key_flow, key_energy, key_fit = jax.random.split(jax.random.key(options.seed), 4)

    truth = ebm.quadrature.normalize(clusters())
    data = truth.sample(key_data, (20_000,))
    flow = coupling_flow(
        key_flow,
        base_dist=Normal(jnp.zeros(2)),
        flow_layers=2 if options.small else 4,
        nn_width=32,
        nn_depth=1,
    )
    num_steps = 1500 if options.small else 6000
    energy = ebm.energies.NeuralEnergy((2,), rng_key=key_energy, width=64, confinement=0.25)
    fit = ebm.fit(
        energy,
        data,
        ebm.FlowContrastive(flow, optax.adam(1e-3)),
        optax.adam(optax.cosine_decay_schedule(3e-3, num_steps)),
        num_steps=num_steps,
        rng_key=key_fit,
        progress_bar=False,
    )
    learned = ebm.quadrature.normalize(fit.energy, bounds=(-8.0, 8.0), num_intervals=256)
    trained_flow = fit.state.carried.flow
    points = truth.sample(jax.random.key(options.seed + 1), (20_000,))
    of_truth = np.mean(truth.log_density(points))
    of_flow = {
        "the flow as it began": float(of_truth - jnp.mean(flow.log_prob(points))),
        "the trained flow": float(of_truth - jnp.mean(trained_flow.log_prob(points))),
    }
    of_energy = truth.kl(learned)
    print("divergence from the truth, in nats:")
    for name, value in of_flow.items():
        print(f"  {name}: {value:.3f}")
    print(f"  the energy: {of_energy:.3f}")
    log_z = float(fit.learned["log_z"])
    print(f"log Z: {log_z:.3f} learned, {learned.log_z:.3f} by quadrature")
    assert of_energy < min(of_flow.values()), (of_energy, of_flow)
    assert of_energy < 0.2 if options.small else of_energy < 0.02, of_energy
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        draws = np.asarray(trained_flow.sample(jax.random.key(options.seed + 2), (2000,)))
        figure = picture(np.asarray(data[:2000]), draws, learned)
        figure.savefig(options.out / "flow_contrastive.png", dpi=150)


def picture(data: np.ndarray, flow: np.ndarray, learned: QuadratureDensity) -> Figure:
    """Data, draws of the flow, and the density of the energy."""
    figure = Figure(figsize=(9.0, 3.1), layout="constrained")
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for ax, title, points in ((axes[0], "data", data), (axes[1], "flow", flow)):
        ax.plot(points[:, 0], points[:, 1], ".", markersize=1.5, color="#1d2530", alpha=0.5)
        ax.set_title(title)
    grid = np.linspace(-3.5, 3.5, 161)
    mesh = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    values = learned.density(mesh).reshape(161, 161)
    axes[2].contourf(grid, grid, values.T, levels=12, cmap="Blues")
    axes[2].set_title("energy")
    for ax in axes:
        ax.set_aspect("equal")
        ax.set_xlim(-3.5, 3.5)
        ax.set_ylim(-3.5, 3.5)
    return figure


if __name__ == "__main__":
    main()
