"""A neural energy with fixed weights, which only quadrature can normalise."""

import jax

from ebm_ppl.energies import NeuralEnergy
from ebm_ppl.validation.targets._base import Target


def _neural() -> Target:
    energy = NeuralEnergy((2,), width=8, depth=2, rng_key=jax.random.key(0))
    # Weights as they are initialised make hardly more than a normal law; these make a landscape.
    energy = jax.tree.map(lambda leaf: 3 * leaf, energy)
    return Target(
        name="neural",
        energy=energy,
        log_z=None,
        mean=None,
        variance=None,
        derivation="No closed form; normalisable because the confinement outgrows the network.",
    )


TARGETS = {"neural": _neural}
