"""A fit in which everything that a checkpoint has to hold changes; run as a program, it is to be killed."""

import functools
import os
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ebm_ppl as ebm
from ebm_ppl.energies import Quartic
from ebm_ppl.trainers import Batch, Checkpoint, Fit, Model, Validation, energies_of

NUM_STEPS = 60
DATA = np.random.default_rng(0).normal(size=11)
ENERGY = Quartic(a=-1.0, b=0.2, gamma=-1.0)
OBJECTIVE = ebm.PersistentCD(
    functools.partial(ebm.RandomWalkMetropolis, step_size=1.0), num_chains=8
)
OPTIMIZER = optax.adam(optax.linear_schedule(0.1, 0.01, 50))


def metric(model: Model, held_out: Batch) -> jax.Array:
    return jnp.mean(energies_of(model.energy, held_out))


def run(
    path: str | os.PathLike[str] | None = None,
    *,
    every: int = 7,
    num_steps: int = NUM_STEPS,
    patience: int = 1000,
    progress_bar: bool = False,
    **settings: Any,
) -> Fit:
    """Mini-batches, chains, an average, a schedule and the best of several evaluations."""
    return ebm.fit(
        ENERGY,
        DATA,
        OBJECTIVE,
        OPTIMIZER,
        rng_key=jax.random.key(3),
        num_steps=num_steps,
        batch_size=4,
        ema_decay=0.9,
        validation=Validation(fraction=0.2, metric=metric, every=10, patience=patience),
        checkpoint=None if path is None else Checkpoint(path, every),
        progress_bar=progress_bar,
        **settings,
    )


def bits(fit: Fit) -> list[bytes]:
    """Every bit of what a fit returns: parameters, chains, optimiser, average, order, key, history."""
    tree = (fit.energy, fit.learned, fit.state, dict(fit.history), fit.history.coords)
    leaves = [
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        for leaf in jax.tree.leaves(tree)
    ]
    return [np.asarray(leaf).tobytes() for leaf in leaves]


if __name__ == "__main__":
    run(sys.argv[1], every=1, num_steps=int(sys.argv[2]))
