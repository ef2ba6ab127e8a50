import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints

from ebm_ppl.energies import ConditionedEnergy, Gaussian, Quartic, from_callable

COVARIANCE = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]])
JOINT = Gaussian([1.0, -2.0, 0.5], COVARIANCE)


def test_coordinates_go_where_they_belong():
    energy = ConditionedEnergy(JOINT, [10.0, 20.0], [2, 0])
    assert energy.fixed == (2, 0)
    assert energy.free == (1,)
    assert energy.event_shape == (1,)
    assert energy([3.0]) == JOINT([20.0, 3.0, 10.0])


@pytest.mark.parametrize("fixed", [(1,), 1, -2, [False, True, False], np.array([1])])
def test_ways_to_name_the_fixed_coordinates(fixed):
    energy = ConditionedEnergy(JOINT, [5.0], fixed)
    assert energy([3.0, 4.0]) == JOINT([3.0, 5.0, 4.0])


def test_it_is_the_conditional_normal_law():
    value = -1.0
    energy = ConditionedEnergy(JOINT, [value], [1])
    free = [0, 2]
    gain = COVARIANCE[free, 1] / COVARIANCE[1, 1]
    conditional = Gaussian(
        np.array([1.0, 0.5]) + gain * (value + 2.0),
        COVARIANCE[np.ix_(free, free)] - np.outer(gain, COVARIANCE[1, free]),
    )
    points = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    scores = jax.vmap(energy.score)(points)
    np.testing.assert_allclose(scores, jax.vmap(conditional.score)(points), rtol=1e-4, atol=1e-4)


def test_values_may_be_traced_and_batched():
    values = jnp.array([[0.0], [1.0]])
    energies = jax.vmap(lambda value: ConditionedEnergy(JOINT, value, [1]))(values)
    batched = jax.vmap(lambda energy: energy(jnp.array([3.0, 4.0])))(energies)
    np.testing.assert_allclose(batched, [JOINT([3.0, v, 4.0]) for v in (0.0, 1.0)], rtol=1e-6)


def test_bounds_follow_their_coordinates():
    bounds = constraints.interval(np.array([0.0, 10.0, 20.0]), np.array([1.0, 11.0, 21.0]))
    joint = from_callable(jnp.sum, (3,), constraints.independent(bounds, 1))
    energy = ConditionedEnergy(joint, [10.5], [1])
    assert bool(energy.support(jnp.array([0.5, 20.5])))
    assert not bool(energy.support(jnp.array([0.5, 10.5])))
    with pytest.raises(ValueError, match="`values` must lie in the energy's support"):
        ConditionedEnergy(joint, [0.5], [1])


@pytest.mark.parametrize(
    ("values", "fixed", "message"),
    [
        ([1.0, 2.0], [0], r"Expected `values` of shape \(1,\); got \(2,\)"),
        ([np.nan], [0], "`values` must be finite everywhere"),
        ([], [], "`fixed` must select at least one"),
        ([1.0, 2.0, 3.0], [0, 1, 2], "fewer than all of the 3 coordinates"),
        ([1.0], [3], "`fixed` must select"),
        ([1.0, 2.0], [0, -3], "each once"),
        ([1.0], [0.5], "`fixed` must select"),
        ([1.0], [True, False], r"Expected `fixed` of shape \(3,\); got \(2,\)"),
    ],
)
def test_bad_selections_are_refused(values, fixed, message):
    with pytest.raises(ValueError, match=message):
        ConditionedEnergy(JOINT, values, fixed)


def test_energies_that_cannot_be_conditioned_are_refused():
    with pytest.raises(ValueError, match=r"`energy` must have event shape \(dim,\)"):
        ConditionedEnergy(Quartic(), [0.0], [0])
    simplex = from_callable(jnp.sum, (3,), constraints.simplex)
    with pytest.raises(ValueError, match="must constrain each coordinate by itself"):
        ConditionedEnergy(simplex, [0.5], [0])
