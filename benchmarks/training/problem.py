"""The training problem that every implementation solves: nothing here imports any of them."""

import numpy as np
from jaxtyping import Float

BATCH_SIZE = 256
NUM_DATA = 5120
WIDTH = 128
"""Units in each of the two hidden layers of the energy, an MLP 2-128-128-1 with SiLU."""
LEARNING_RATE = 1e-3
NUM_LANGEVIN_STEPS = 10
LANGEVIN_STEP_SIZE = 0.01
NOISE_SCALE = 0.1
"""Standard deviation of the noise in denoising score matching."""

OBJECTIVES = (
    "contrastive_divergence",
    "persistent_cd",
    "denoising_score_matching",
    "sliced_score_matching",
    "score_matching",
)


def data() -> Float[np.ndarray, "num_data 2"]:
    """Points around a ring of eight Gaussians of radius 2 and standard deviation 0.2."""
    rng = np.random.default_rng(0)
    angle = 2 * np.pi * rng.integers(8, size=NUM_DATA) / 8
    centre = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (centre + 0.2 * rng.standard_normal((NUM_DATA, 2))).astype(np.float32)
