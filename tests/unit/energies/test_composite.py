import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpyro.distributions import constraints

from ebm_ppl.energies import (
    Beta,
    DoubleWell,
    Gamma,
    Gaussian,
    Quartic,
    SumEnergy,
    TemperedEnergy,
    from_callable,
    from_logdensity,
)
from ebm_ppl.validation import strategies

# beartype samples the entries of containers with the global `random`, on which Hypothesis frowns.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


@given(st.data())
def test_identities_of_compositions(data):
    energy = data.draw(strategies.energies())
    x = data.draw(strategies.points(energy))
    value = float(energy(x))
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(TemperedEnergy(energy, 0.25)(x), 0.25 * value, **close)
    np.testing.assert_allclose(SumEnergy(energy, energy)(x), 2 * value, **close)
    alone = SumEnergy(energy)
    np.testing.assert_allclose(alone(x), value, **close)
    assert (alone.event_shape, repr(alone.support)) == (energy.event_shape, repr(energy.support))
    again = from_callable(energy, energy.event_shape, energy.support)
    np.testing.assert_allclose(again(x), value, **close)
    negated = from_logdensity(lambda y: -energy(y), energy.event_shape, energy.support)
    np.testing.assert_allclose(negated(x), value, **close)


def test_a_product_of_normal_laws_is_normal():
    first = Gaussian([0.0, 0.0], np.eye(2))
    second = Gaussian([2.0, 0.0], np.diag([0.5, 2.0]))
    # Precisions add; the mean is the precision-weighted one.
    product = Gaussian([4 / 3, 0.0], np.diag([1 / 3, 2 / 3]))
    points = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    gaps = jax.vmap(SumEnergy(first, second))(points) - jax.vmap(product)(points)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-5)


def test_members_and_inverse_temperature_are_parameters():
    energy = TemperedEnergy(SumEnergy(Quartic(), Quartic()), 0.5)
    assert len(jax.tree.leaves(energy)) == 7
    ladder = jax.vmap(lambda beta: TemperedEnergy(Quartic(), beta)(1.0))(np.array([0.5, 1.0]))
    np.testing.assert_allclose(ladder, [1.0, 2.0])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ((), "`energies` must have at least one member"),
        ((Quartic(), DoubleWell()), r"one event shape; got \(\) and \(1,\)"),
        ((Quartic(), Beta()), "`energies` must share one support"),
        ((Gamma(), Beta()), "`energies` must share one support"),
    ],
)
def test_members_that_do_not_fit_are_refused(members, message):
    with pytest.raises(ValueError, match=message):
        SumEnergy(*members)


def test_supports_agree_by_value():
    def on_interval(upper):
        bounds = np.zeros(2), np.full(2, upper)
        support = constraints.independent(constraints.interval(*bounds), 1)
        return from_callable(lambda x: x[0], (2,), support)

    assert SumEnergy(on_interval(1.0), on_interval(1.0))([0.25, 0.5]) == 0.5
    with pytest.raises(ValueError, match="share one support"):
        SumEnergy(on_interval(1.0), on_interval(2.0))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_bad_inverse_temperatures_are_refused(value):
    with pytest.raises(ValueError, match="`inverse_temperature` must be a finite number above 0"):
        TemperedEnergy(Quartic(), value)
