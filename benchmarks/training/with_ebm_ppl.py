"""ebm_ppl: `ebm_ppl.fit` as a user calls it."""

import functools
from collections.abc import Callable

import jax
import optax

import ebm_ppl as ebm
from benchmarks.training import problem
from ebm_ppl.trainers import AbstractObjective
from ebm_ppl.trainers.denoising_score_matching import DenoisingScoreMatching
from ebm_ppl.trainers.sliced_score_matching import SlicedScoreMatching

PACKAGES = ("ebm_ppl", "jax", "equinox", "optax")


def _langevin() -> Callable:
    return functools.partial(ebm.Langevin, step_size=problem.LANGEVIN_STEP_SIZE)


def contrastive_divergence() -> AbstractObjective:
    """CD-10 with unadjusted Langevin steps."""
    return ebm.ContrastiveDivergence(_langevin(), num_steps=problem.NUM_LANGEVIN_STEPS)


def persistent_cd() -> AbstractObjective:
    """Persistent CD with as many chains as examples in a batch."""
    return ebm.PersistentCD(
        _langevin(), num_steps=problem.NUM_LANGEVIN_STEPS, num_chains=problem.BATCH_SIZE
    )


def denoising_score_matching() -> AbstractObjective:
    """One noise scale, and one sign of the noise as in the peers."""
    return DenoisingScoreMatching(problem.NOISE_SCALE, antithetic=False)


def sliced_score_matching() -> AbstractObjective:
    """One sign vector per example, in the form whose variance is not reduced as in the peers."""
    return SlicedScoreMatching(num_projections=1, variance_reduced=False)


def score_matching() -> AbstractObjective:
    """The exact trace of the Hessian."""
    return ebm.ScoreMatching()


OBJECTIVES: dict[str, Callable[[], AbstractObjective]] = {
    function.__name__: function
    for function in (
        contrastive_divergence,
        persistent_cd,
        denoising_score_matching,
        sliced_score_matching,
        score_matching,
    )
}


def start(objective: str) -> Callable[[int], float]:
    """Build the trainer of one objective.

    Returns:
        Function that takes a number of steps and returns their mean loss.
    """
    data = problem.data()
    built = OBJECTIVES[objective]()
    optimizer = optax.adam(problem.LEARNING_RATE)
    key = jax.random.key(0)
    energy = ebm.energies.NeuralEnergy(
        (2,), rng_key=key, width=problem.WIDTH, depth=2, confinement=0.0
    )

    def run(num_steps: int) -> float:
        nonlocal energy, key
        key, subkey = jax.random.split(key)
        fit = ebm.fit(
            energy,
            data,
            built,
            optimizer,
            rng_key=subkey,
            num_steps=num_steps,
            batch_size=problem.BATCH_SIZE,
            progress_bar=False,
        )
        energy = fit.energy
        return float(fit.history["loss"].mean())

    return run
