import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from ebm_ppl.energies import DoubleWell, Quartic, TiltedDoubleWell


def test_wells_and_barrier_lie_where_they_are_said_to():
    energy = DoubleWell(dim=1, barrier_height=3.0, separation=3.0)
    np.testing.assert_allclose([energy([-1.5]), energy([0.0]), energy([1.5])], [0.0, 3.0, 0.0])
    np.testing.assert_allclose(energy.score([1.5]), [0.0])


def test_other_coordinates_are_springs():
    energy = DoubleWell(dim=3)
    np.testing.assert_allclose(energy([1.25, 2.0, -1.0]), 2.5)


@pytest.mark.parametrize("tilt", [-0.75, 0.5])
def test_tilt_adds_a_constant_force(tilt):
    x = jnp.array([0.3, -0.7])
    difference = TiltedDoubleWell(dim=2, tilt=tilt)(x) - DoubleWell(dim=2)(x)
    np.testing.assert_allclose(difference, tilt * 0.3, rtol=1e-5)


def test_it_is_a_shifted_quartic():
    half = 1.25
    quartic = Quartic(a=-2 * 2.0 / half**2, b=0.5, gamma=np.log(2.0 / half**4))
    for x in (-2.0, -0.3, 1.7):
        np.testing.assert_allclose(TiltedDoubleWell()([x]), 2.0 + quartic(x), rtol=1e-5)


@pytest.mark.parametrize("family", [DoubleWell, TiltedDoubleWell])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "`dim` must be an integer of at least 1; got 0"),
        ({"dim": 1.0}, "`dim` must be an integer of at least 1"),
        ({"barrier_height": -1.0}, "`barrier_height` must be a finite number above 0"),
        ({"separation": 0.0}, "`separation` must be a finite number above 0"),
        ({"separation": "wide"}, "must be a number or an array of numbers; got 'wide'"),
        ({"separation": None}, "must be a number or an array of numbers; got None"),
        ({"separation": [1.0]}, r"Expected `separation` of shape \(\); got \(1,\)"),
    ],
)
def test_bad_arguments_are_refused(family, arguments, message, monkeypatch):
    # A user has no run-time type checker, and gets these messages in its place.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        family(**arguments)


def test_a_tilt_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="`tilt` must be finite everywhere"):
        TiltedDoubleWell(tilt=np.inf)
