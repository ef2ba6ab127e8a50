"""Every target with a closed form, at the default grid."""

import jax
import numpy as np
import pytest

from ebm_ppl.energies import NeuralEnergy
from ebm_ppl.quadrature import NotNormalizableError, normalize
from ebm_ppl.validation.targets import discover

TARGETS = discover()


@pytest.mark.parametrize("name", TARGETS)
def test_target(name):
    target = TARGETS[name]
    density = normalize(target.energy)
    bound = 1e-8 if density.dim == 1 else 1e-6
    assert density.log_z_error < bound
    if target.log_z is not None:
        assert abs(density.log_z - target.log_z) < bound
        assert abs(density.log_z - target.log_z) <= density.log_z_error + 1e-13
    if target.mean is not None:
        np.testing.assert_allclose(density.mean().reshape(-1), np.ravel(target.mean), atol=1e-6)
    if target.variance is not None:
        variance = density.variance().reshape(-1)
        np.testing.assert_allclose(variance, np.ravel(target.variance), rtol=1e-6)


def test_unconfined_network_is_refused():
    energy = NeuralEnergy((1,), rng_key=jax.random.key(0), confinement=0.0)
    with pytest.raises(NotNormalizableError):
        normalize(energy)
