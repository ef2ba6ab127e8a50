"""What the tests of estimators share: nodes, the toy law, a truth that nothing is symmetric about."""

import numpy as np

from ebm_ppl.validation.estimation import (
    QUARTIC,
    GridLaw,
    MaximumLikelihood,
    line,
    normal_density,
    population_minimiser,
    toy_mixture,
)

NODES = line(6.0, 0.04)
TOY = toy_mixture(NODES)
BEST = population_minimiser(MaximumLikelihood(QUARTIC), TOY)
NOISE = normal_density(4.25)

TILTED = np.array([-1.1, 0.4, 0.14])


def uneven_density(x):
    """0.3 N(-2, 0.5²) + 0.7 N(1.5, 0.55²)."""
    left, right = normal_density(0.25), normal_density(0.55**2)
    return 0.3 * left(x + 2.0) + 0.7 * right(x - 1.5)


UNEVEN = GridLaw.of(uneven_density, NODES)
