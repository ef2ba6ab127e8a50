"""`scale_by_fisher` against the natural gradient computed by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.trainers import Model, scale_by_fisher

POINTS = jnp.array([-1.5, -0.4, 0.2, 0.9, 2.0])


def direction(energy, gradient, learned=None, damping=1e-3):
    fisher = scale_by_fisher(ebm.energies.Quartic(), POINTS, damping)
    params = Model(energy, learned)
    updates, _ = fisher.update(Model(gradient, learned), fisher.init(params), params)
    return updates


def test_solves_with_the_damped_covariance_at_the_parameters_of_the_step() -> None:
    energy = ebm.energies.Quartic(a=-0.7, b=0.2, gamma=-1.0)
    gradient = ebm.energies.Quartic(a=0.3, b=-0.1, gamma=0.5)
    found = direction(energy, gradient).energy
    x = np.asarray(POINTS, dtype=np.float64)
    statistics = np.stack([x**2, x, np.exp(-1.0) * x**4])
    fisher = np.cov(statistics, bias=True)
    expected = np.linalg.solve(fisher + 1e-3 * np.diag(np.diag(fisher)), [0.3, -0.1, 0.5])
    np.testing.assert_allclose([found.a, found.b, found.gamma], expected, rtol=2e-4)


def test_what_is_learned_beside_the_energy_passes_unchanged() -> None:
    energy = ebm.energies.Quartic()
    learned = {"log_z": jnp.array(0.25)}
    assert direction(energy, energy, learned).learned == learned


def test_a_parameter_without_influence_stays() -> None:
    class Idle(ebm.AbstractEnergy):
        scale: jax.Array
        idle: jax.Array
        event_shape = ()
        support = ebm.energies.Quartic().support

        def _energy(self, x):
            return self.scale * x**2

    energy = Idle(jnp.array(1.0), jnp.array(3.0))
    fisher = scale_by_fisher(energy, POINTS)
    gradient = Model(Idle(jnp.array(1.0), jnp.array(0.0)))
    updates, _ = fisher.update(gradient, fisher.init(Model(energy)), Model(energy))
    assert float(updates.energy.idle) == 0
    assert np.isfinite(float(updates.energy.scale))


def test_refuses_what_it_cannot_use() -> None:
    energy = ebm.energies.Quartic()
    with pytest.raises(ValueError, match=r"`damping` must be a finite number above 0; got 0"):
        scale_by_fisher(energy, POINTS, damping=0.0)
    with pytest.raises(ValueError, match=r"Expected `data` of shape"):
        scale_by_fisher(energy, POINTS[:, None])
    fisher = scale_by_fisher(energy, POINTS)
    with pytest.raises(ValueError, match=r"`params` must be given"):
        fisher.update(Model(energy), optax.EmptyState())
    wide = ebm.energies.Gaussian(np.zeros(40), np.eye(40))
    with pytest.raises(ValueError, match=r"`params` must have at most 1000 entries"):
        scale_by_fisher(wide, np.zeros((2, 40))).init(Model(wide))


class _Mean(eqx.Module):
    slope: jax.Array

    def __call__(self, x, y, sigma):
        return 0.5 * ((x - self.slope * y) / sigma) ** 2


def test_points_have_the_conditions_and_levels_that_their_energy_asks_for():
    """At one condition and level for all it is the step of the energy there."""
    regression = ebm.energies.from_conditional_callable(
        _Mean(jnp.asarray(0.5)), (), (), noise_conditional=True
    )
    points = np.array([0.0, 1.0, 3.0])
    both = {"condition": np.full(3, 2.0), "sigma": np.full(3, 0.5)}
    fisher = scale_by_fisher(regression, points, **both)
    gradient = Model(jax.tree.map(jnp.ones_like, regression))
    parameters = Model(regression)
    step, _ = fisher.update(
        eqx.filter(gradient, eqx.is_array),
        fisher.init(eqx.filter(parameters, eqx.is_array)),
        eqx.filter(parameters, eqx.is_array),
    )
    # ∂E/∂m = y (m y − x) / σ², whose variance over the points is that of x times (y / σ²)².
    expected = 1 / (points.var() * 8.0**2 * (1 + 1e-3))
    np.testing.assert_allclose(step.energy.parameters.slope, expected, rtol=1e-4)
    with pytest.raises(
        ValueError, match=r"`sigma` must be given for .*E_sigma\(x \| y\); got None"
    ):
        scale_by_fisher(regression, points, condition=both["condition"])
