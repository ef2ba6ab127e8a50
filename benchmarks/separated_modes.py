"""Weights of two separate modes from annealed Langevin: `python -m benchmarks.separated_modes`.

A multi-level energy learns 0.2 N((-8, -8), I) + 0.8 N((2, 2), I), and annealed Langevin draws from it. The
weight of the minor mode must be 0.20 within 0.01. It exits with 1 if it is not.
"""

import math

import click
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

import ebm_ppl as ebm
from benchmarks.toy_recipes import muon

WEIGHT, TOLERANCE = 0.2, 0.01
_LEAST_NOISE, _MOST_NOISE = 0.1, 40.0
"""The strongest noise is about three times the distance of the modes: the start does not know their mean."""


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Few steps and draws: to see that it runs.")
@click.option("--seed", type=int, default=3, help="Seed of data, fit and draws.")
def main(quick: bool, seed: int) -> None:
    """Train, draw, compare."""
    num_steps, num_data, num_draws = (50, 2**12, 200) if quick else (6000, 2**19, 20_000)
    key_sign, key_data, key_energy, key_fit, key_draw = jax.random.split(jax.random.key(seed), 5)
    is_major = jax.random.bernoulli(key_sign, 1 - WEIGHT, (num_data, 1))
    data = jnp.where(is_major, 2.0, -8.0) + jax.random.normal(key_data, (num_data, 2))
    energy = ebm.energies.NeuralNoiseConditionalEnergy(
        (2,), rng_key=key_energy, width=128, depth=3, data_scale=math.sqrt(17.0)
    )
    fit = ebm.fit(
        energy,
        data,
        ebm.AnnealedDenoisingScoreMatching(
            dist.LogUniform(_LEAST_NOISE, _MOST_NOISE), weight_floor=0.1
        ),
        muon(3e-3, num_steps),
        num_steps=num_steps,
        batch_size=256,
        ema_decay=0.999,
        rng_key=key_fit,
        progress_bar=False,
    )
    ladder = jnp.geomspace(_MOST_NOISE, _LEAST_NOISE, 60)
    draws = ebm.samplers.annealed_langevin(fit.energy, ladder, key_draw, num_draws)
    weight = float((draws.sum(axis=1) < -6.0).mean())
    error = math.sqrt(WEIGHT * (1 - WEIGHT) / num_draws)
    click.echo(f"minor weight {weight:.4f} ± {error:.4f} of {num_draws} draws; true {WEIGHT}")
    if not quick and abs(weight - WEIGHT) > TOLERANCE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
