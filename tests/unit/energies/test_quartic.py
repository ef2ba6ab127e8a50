import numpy as np
import pytest

from ebm_ppl.energies import Quartic


@pytest.mark.parametrize("x", [-2.0, -0.5, 0.0, 1.5])
def test_value_is_the_polynomial(x):
    energy = Quartic(a=-1.5, b=0.25, gamma=np.log(0.5))
    np.testing.assert_allclose(energy(x), -1.5 * x**2 + 0.25 * x + 0.5 * x**4, rtol=1e-6)


def test_quartic_coefficient_is_the_exponential_of_gamma():
    np.testing.assert_allclose(Quartic(gamma=-2.0).quartic_coefficient, np.exp(-2.0), rtol=1e-6)


@pytest.mark.parametrize("x", [-1e30, 1e30])
def test_overflow_is_plus_infinity_even_with_a_negative_quadratic_term(x):
    assert Quartic(a=-5.0)(x) == np.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": np.nan}, r"`a` must be finite everywhere"),
        ({"b": [1.0, 2.0]}, r"Expected `b` of shape \(\); got \(2,\)"),
        ({"gamma": np.inf}, r"`gamma` must be finite everywhere"),
        ({"gamma": 100.0}, r"`exp\(gamma\)` must be a finite number above 0"),
        ({"gamma": -200.0}, r"`exp\(gamma\)` must be a finite number above 0"),
    ],
)
def test_bad_parameters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Quartic(**arguments)
